// Stacks that one operating-system thread switches between, and what the sanitizers must be told of it.
#pragma once
#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__) && !defined(EMU_UCONTEXT)
#define EMU_UCONTEXT
#endif
#ifdef EMU_UCONTEXT
#include <ucontext.h>
#endif

#ifdef EMU_ASAN
extern "C" void __sanitizer_start_switch_fiber(void** save, const void* bottom, size_t size);
extern "C" void __sanitizer_finish_switch_fiber(void* saved, const void** bottom, size_t* size);
#endif
#ifdef EMU_TSAN
extern "C" void* __tsan_get_current_fiber();
extern "C" void* __tsan_create_fiber(unsigned flags);
extern "C" void __tsan_destroy_fiber(void*);
extern "C" void __tsan_switch_to_fiber(void*, unsigned flags);
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#endif

namespace emu {

// Sanitizers make frames larger.
#if defined(EMU_ASAN) || defined(EMU_TSAN)
constexpr size_t STACK_BYTES = 256 << 10;
#else
constexpr size_t STACK_BYTES = 64 << 10;
#endif

// The pages below each stack that may not be touched.
constexpr size_t GUARD_BYTES = 16 << 10;

struct Fiber {
#ifdef EMU_UCONTEXT
    ucontext_t context;
#else
    void* stack_pointer;
#endif
    const void* stack;
    size_t stack_bytes;
#ifdef EMU_ASAN
    void* fake_stack;
#endif
#ifdef EMU_TSAN
    void* thread;
#endif
};

// Makes a fiber that will begin in `entry`, on `STACK_BYTES` from `stack` on.
void prepare(Fiber&, char* stack, void (*entry)());

// Makes the running stack a fiber, to come back to.
void adopt(Fiber&);

// Leaves one fiber for another. `ends`: it will never be come back to.
void switch_fiber(Fiber& from, Fiber& to, bool ends);

// The first thing in `entry`. `back`: the fiber from which the switch came, whose stack is not known yet, or null.
void begin(Fiber* back);

// What one thread does between release and another's acquire of the same object happens before.
inline void release([[maybe_unused]] void* object) {
#ifdef EMU_TSAN
    __tsan_release(object);
#endif
}

inline void acquire([[maybe_unused]] void* object) {
#ifdef EMU_TSAN
    __tsan_acquire(object);
#endif
}

// Forgets a fiber.
inline void destroy([[maybe_unused]] Fiber& fiber) {
#ifdef EMU_TSAN
    __tsan_destroy_fiber(fiber.thread);
#endif
}

}  // namespace emu
