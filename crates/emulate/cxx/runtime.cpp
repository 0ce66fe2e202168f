// A threadgroup on one operating-system thread: a fiber for each of its threads, and a rendezvous for each barrier and
// each operation of a simdgroup. A fiber runs until it must wait; whoever comes last does the work for all.
//
// This file is never instrumented: sanitizers see what kernels do, and of the runtime only what fiber.h tells them. Of
// the C library they see all, therefore lanes' values are copied by loops (which -fno-builtin leaves alone).
#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstring>

#include "fiber.h"
#include "lanes.h"

namespace emu {
namespace {

enum class Wait : uint8_t { None, Simdgroup, Threadgroup, Done };

const char* const OPERATIONS[] = {
    "sum of floats", "sum", "max of floats", "max", "max", "min of floats", "min", "min", "prefix sum of floats",
    "prefix sum", "shuffle", "ballot", "simdgroup barrier", "matrix load or store", "matrix multiplication",
};

// Copies of a thread that are on their way, the oldest first, round and round.
struct Flight {
    static constexpr uint32_t MOST = 256;
    emu_copy copy[MOST];
    uint32_t group[MOST];  // each copy's
    uint32_t begin, end;   // how many were done, and begun
    uint32_t groups;       // how many were made
};

struct Thread {
    Fiber fiber;
    Flight flight;
    Wait wait;
    const void* place;  // where it waits
};

struct Simdgroup {
    Part part[LANES];
    uint32_t ready;  // bits of lanes that can run
    uint32_t arrived;
    const void* place;
    emu_operation operation;
    uint32_t turn;
    char order[2];  // objects of release and acquire, used in turn
};

// The state of the one launch that runs.
struct {
    const Launch* launch;
    const Kernel* kernel;
    uint32_t group[3];
    uint32_t threads, current, live;
    uint32_t ready;  // bits of simdgroups with lanes that can run
    uint32_t arrived, turn;
    const void* place;  // of the barrier that is waited at
    bool entered;
    volatile bool in_fiber;  // whether the host waits
    volatile int ending;
    const void* escaped_from;
    char* stacks;
    Fiber host;
    Thread thread[MAX_THREADS];
    Simdgroup simdgroup[MAX_THREADS / LANES];
    char order[2], ends;
} g;

Thread& me() { return g.thread[g.current]; }
Simdgroup& my_simdgroup() { return g.simdgroup[g.current / LANES]; }
Part& my_part() { return my_simdgroup().part[g.current % LANES]; }

void set_ready(uint32_t thread) {
    g.thread[thread].wait = Wait::None;
    g.simdgroup[thread / LANES].ready |= 1u << thread % LANES;
    g.ready |= 1u << thread / LANES;
}

void set_waiting(Wait wait, const void* place) {
    me().wait = wait;
    me().place = place;
    auto& simdgroup = my_simdgroup();
    simdgroup.ready &= ~(1u << g.current % LANES);
    if (!simdgroup.ready) g.ready &= ~(1u << g.current / LANES);
}

// The next bit of `set` after `bit`, round and round; downwards when the launch runs backward.
uint32_t next_bit(uint32_t set, uint32_t bit) {
    if (g.launch->backward) {
        uint32_t below = set & ((1u << bit) - 1);
        return 31 - __builtin_clz(below ? below : set);
    }
    uint32_t above = set & ~(((2u << bit) - 1));
    return __builtin_ctz(above ? above : set);
}

[[noreturn]] void leave() {
    g.in_fiber = false;
    switch_fiber(me().fiber, g.host, true);
    __builtin_unreachable();
}

// What addr2line calls a place; 0 if there is none.
unsigned long offset(const void* place) {
    Dl_info info;
    if (!place || !dladdr(place, &info)) return 0;
    // A return address is the place after the call.
    return static_cast<const char*>(place) - static_cast<const char*>(info.dli_fbase) - 1;
}

// `other`: a second place that the report speaks of, or null.
void report(const void* place, const void* other, const char* format, auto... values) {
    const auto* group = g.group;
    size_t room = g.launch->report_bytes;
    int used = snprintf(g.launch->report, room, "%x %x %x %lx %lx ", group[0], group[1], group[2], offset(place),
                        offset(other));
    if (used > 0 && size_t(used) < room) snprintf(g.launch->report + used, room - used, format, values...);
}

// Ends the launch where threads do not meet.
[[noreturn]] void fail(const void* place, const void* other, const char* format, auto... values) {
    g.ending = DIVERGENT;
    report(place, other, format, values...);
    leave();
}

// Nobody can run. Tells where the first thread waits, and the first that is elsewhere.
[[noreturn]] void deadlock() {
    const char* const waits[] = {"runs", "waits for its simdgroup", "waits for its threadgroup", "has ended"};
    auto same = [](const Thread& a, const Thread& b) { return a.wait == b.wait && a.place == b.place; };
    uint32_t one = 0;
    while (g.thread[one].wait == Wait::Done) one++;
    const Thread& a = g.thread[one];
    // Of a simdgroup that waits, a lane of its own.
    uint32_t other = a.wait == Wait::Simdgroup ? one / LANES * LANES : 0;
    while (other < g.threads && same(a, g.thread[other])) other++;
    const Thread& b = g.thread[other];
    fail(a.place, b.place, "thread %u %s, but thread %u %s", one, waits[int(a.wait)], other, waits[int(b.wait)]);
}

// Runs another thread; comes back when this one can run.
void run_another(bool ends = false) {
    if (!g.ready) deadlock();
    uint32_t simdgroup = g.current / LANES, lane = g.current % LANES;
    if (!g.simdgroup[simdgroup].ready) {
        simdgroup = next_bit(g.ready, simdgroup);
        lane = g.launch->backward ? 0 : LANES - 1;
    }
    uint32_t next = simdgroup * LANES + next_bit(g.simdgroup[simdgroup].ready, lane);
    Fiber& from = me().fiber;
    g.current = next;
    switch_fiber(from, me().fiber, ends);
}

void meet(emu_operation operation, const void* place) {
    auto& simdgroup = my_simdgroup();
    if (!simdgroup.arrived) {
        simdgroup.operation = operation;
        simdgroup.place = place;
    } else if (simdgroup.place != place || simdgroup.operation != operation) {
        fail(place, simdgroup.place, "thread %u comes to a %s, but other lanes wait in a %s", g.current,
             OPERATIONS[operation], OPERATIONS[simdgroup.operation]);
    }
    set_waiting(Wait::Simdgroup, place);
    void* order = operation == emu_order ? &simdgroup.order[simdgroup.turn & 1] : nullptr;
    if (order) release(order);
    if (++simdgroup.arrived < LANES) {
        run_another();
    } else {
        simdgroup.arrived = 0;
        simdgroup.turn += operation == emu_order;
        uint32_t first = g.current / LANES * LANES;
        combine(operation, simdgroup.part);
        for (uint32_t lane = 0; lane < LANES; lane++) set_ready(first + lane);
    }
    if (order) acquire(order);
}

void entry() {
    begin(g.entered ? nullptr : &g.host);
    g.entered = true;
    g.in_fiber = true;
    acquire(&g.ends);
    g.kernel->run();
    if (me().flight.begin != me().flight.end) {
        fail(nullptr, nullptr, "thread %u ends while copies that it staged are on their way", g.current);
    }
    set_waiting(Wait::Done, nullptr);
    release(&g.ends);
    if (--g.live == 0) leave();
    run_another(true);
    __builtin_unreachable();
}

void run_group() {
    for (uint32_t i = 0; i < g.kernel->arrays; i++) {
        // Floats that are not numbers, and numbers that are no index.
        memset(g.kernel->addresses[i], 0xff, g.kernel->bytes[i]);
    }
    memset(g.simdgroup, 0, sizeof(Simdgroup) * g.threads / LANES);
    g.live = g.threads;
    g.ready = g.arrived = 0;
    g.entered = false;
    for (uint32_t i = 0; i < g.threads; i++) {
        Flight& flight = g.thread[i].flight;
        flight.begin = flight.end = flight.groups = 0;
        prepare(g.thread[i].fiber, g.stacks + i * (STACK_BYTES + GUARD_BYTES) + GUARD_BYTES, entry);
        set_ready(i);
    }
    release(&g.ends);
    g.current = g.launch->backward ? g.threads - 1 : 0;
    switch_fiber(g.host, me().fiber, false);
    acquire(&g.ends);
    for (uint32_t i = 0; i < g.threads; i++) destroy(g.thread[i].fiber);
}

constexpr size_t STACKS_BYTES = (STACK_BYTES + GUARD_BYTES) * MAX_THREADS;

bool make_stacks() {
    if (g.stacks) return true;
    size_t each = STACK_BYTES + GUARD_BYTES;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* stacks = mmap(nullptr, STACKS_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (stacks == MAP_FAILED) return false;
    g.stacks = static_cast<char*>(stacks);
    for (uint32_t i = 0; i < MAX_THREADS; i++) mprotect(g.stacks + i * each, GUARD_BYTES, PROT_NONE);
    return true;
}

__attribute__((destructor)) void free_stacks() {
    if (g.stacks) munmap(g.stacks, STACKS_BYTES);
}

}  // namespace
}  // namespace emu

using namespace emu;

extern "C" {

unsigned long emu_buffer(unsigned index) { return reinterpret_cast<unsigned long>(g.launch->buffers[index]); }
unsigned long emu_arguments() { return reinterpret_cast<unsigned long>(g.launch->arguments); }
unsigned emu_group(unsigned axis) { return g.group[axis]; }
unsigned emu_thread() { return g.current; }

void emu_barrier() {
    const void* place = __builtin_return_address(0);
    if (!g.arrived) g.place = place;
    if (g.place != place) {
        fail(place, g.place, "thread %u comes to a barrier, but others wait at another", g.current);
    }
    set_waiting(Wait::Threadgroup, place);
    void* order = &g.order[g.turn & 1];
    release(order);
    if (++g.arrived < g.threads) {
        run_another();
    } else {
        g.arrived = 0;
        g.turn++;
        for (uint32_t i = 0; i < g.threads; i++) set_ready(i);
    }
    acquire(order);
}

void emu_simdgroup_barrier() { meet(emu_order, __builtin_return_address(0)); }

void emu_meet(emu_operation operation) { meet(operation, __builtin_return_address(0)); }

unsigned emu_combine(emu_operation operation, unsigned value, unsigned lane) {
    const void* place = __builtin_return_address(0);
    if (lane >= LANES) fail(place, nullptr, "lane %u asks lane %u", g.current % LANES, lane);
    my_part().value = value;
    my_part().lane = lane;
    meet(operation, place);
    return my_part().value;
}

void emu_multiply(float* sum, const float* left, const float* right, const float* addend, unsigned rows,
                   unsigned columns, unsigned depth) {
    Multiplication mine = {sum, left, right, addend, rows, columns, depth};
    my_part().multiplication = &mine;
    meet(emu_matrix_multiply, __builtin_return_address(0));
}

void emu_stage(emu_copy copy) {
    Flight& flight = me().flight;
    if (flight.end - flight.begin == Flight::MOST) {
        fail(__builtin_return_address(0), nullptr, "thread %u stages more than %u copies", g.current, Flight::MOST);
    }
    flight.copy[flight.end % Flight::MOST] = copy;
    flight.group[flight.end++ % Flight::MOST] = flight.groups;
}

void emu_commit() { me().flight.groups++; }

const emu_copy* emu_landing(unsigned left) {
    Flight& flight = me().flight;
    if (flight.begin == flight.end || flight.group[flight.begin % Flight::MOST] + left >= flight.groups) return nullptr;
    return &flight.copy[flight.begin++ % Flight::MOST];
}

int emu_launch(const Launch* launch) {
    g.launch = launch;
    g.kernel = &KERNELS[launch->kernel];
    g.threads = g.kernel->threads;
    g.ending = WELL;
    g.in_fiber = false;
    g.escaped_from = nullptr;
    g.group[0] = g.group[1] = g.group[2] = 0;
    if (!make_stacks()) {
        report(nullptr, nullptr, "no memory for the stacks of %u threads", MAX_THREADS);
        return NOBODYS_MEMORY;
    }
    adopt(g.host);
    const uint32_t* grid = launch->grid;
    uint64_t groups = uint64_t(grid[0]) * grid[1] * grid[2];
    for (uint64_t i = 0; i < groups && g.ending == WELL; i++) {
        uint64_t at = launch->backward ? groups - 1 - i : i;
        g.group[0] = at % grid[0];
        g.group[1] = at / grid[0] % grid[1];
        g.group[2] = at / grid[0] / grid[1];
        run_group();
    }
    // What an escape could not do within a signal handler.
    if (g.ending > DIVERGENT) report(g.escaped_from, nullptr, "thread %u", g.current);
    return g.ending;
}

void emu_escape(int ending, const void* place) {
    g.ending = ending;
    // The place is not a return address.
    g.escaped_from = place ? static_cast<const char*>(place) + 1 : nullptr;
    if (g.in_fiber) leave();
}
}
