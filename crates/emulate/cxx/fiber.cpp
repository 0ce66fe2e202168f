#include "fiber.h"

#ifndef EMU_UCONTEXT
// The System V convention: a call keeps rbx, rbp and r12 to r15, which lie on the stack while a fiber waits.
extern "C" __attribute__((visibility("hidden"))) void emu_switch(void** save, void* to);
asm(R"(
    .text
    .p2align 4
    .globl emu_switch
    .hidden emu_switch
    .type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emu_switch, . - emu_switch
)");
#endif

namespace emu {

void prepare(Fiber& fiber, char* stack, void (*entry)()) {
    fiber.stack = stack;
    fiber.stack_bytes = STACK_BYTES;
#ifdef EMU_UCONTEXT
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = STACK_BYTES;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
#else
    // As if `entry` had been called: a return address that nobody uses at 8 modulo 16, then what emu_switch pops.
    auto top = reinterpret_cast<uint64_t*>(stack + STACK_BYTES);
    *--top = 0;
    *--top = reinterpret_cast<uint64_t>(entry);
    for (int i = 0; i < 6; i++) *--top = 0;
    fiber.stack_pointer = top;
#endif
#ifdef EMU_ASAN
    fiber.fake_stack = nullptr;
#endif
#ifdef EMU_TSAN
    fiber.thread = __tsan_create_fiber(0);
#endif
}

void adopt([[maybe_unused]] Fiber& fiber) {
#ifdef EMU_TSAN
    fiber.thread = __tsan_get_current_fiber();
#endif
}

void switch_fiber(Fiber& from, Fiber& to, [[maybe_unused]] bool ends) {
#ifdef EMU_TSAN
    // 1: a switch orders nothing; release and acquire do.
    __tsan_switch_to_fiber(to.thread, 1);
#endif
#ifdef EMU_ASAN
    __sanitizer_start_switch_fiber(ends ? nullptr : &from.fake_stack, to.stack, to.stack_bytes);
#endif
#ifdef EMU_UCONTEXT
    swapcontext(&from.context, &to.context);
#else
    emu_switch(&from.stack_pointer, to.stack_pointer);
#endif
#ifdef EMU_ASAN
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void begin([[maybe_unused]] Fiber* back) {
#ifdef EMU_ASAN
    const void* stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
    if (back) {
        back->stack = stack;
        back->stack_bytes = bytes;
    }
#endif
}

}  // namespace emu
