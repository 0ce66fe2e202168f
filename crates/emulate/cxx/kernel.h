// A launch, and what the generated table tells of each kernel.
#pragma once
#include <cstdint>

namespace emu {

constexpr uint32_t LANES = 32;
constexpr uint32_t MAX_THREADS = 1024;

struct Kernel {
    const char* name;
    void (*run)();          // calls the printed function as one thread, with the arguments of the launch
    uint32_t threads;       // of a threadgroup
    uint32_t buffers;
    uint32_t words;         // of the argument struct
    uint32_t arrays;        // of the threadgroup
    void* const* addresses; // of the arrays
    const uint32_t* bytes;  // of the arrays
};

extern const Kernel KERNELS[];
extern const uint32_t KERNEL_COUNT;

// How a launch ends; also in Rust, src/load.rs.
enum Ending { WELL = 0, DIVERGENT = 1, NOBODYS_MEMORY = 2, DIVISION = 3, TOO_LONG = 4, OUTSIDE_ARRAY = 5 };

// Also laid out in Rust, src/load.rs.
struct Launch {
    uint32_t kernel;   // index in KERNELS
    uint32_t grid[3];  // threadgroups
    uint32_t backward; // whether groups and threads run from the last to the first
    const void* arguments;
    void* const* buffers;
    char* report; // what went wrong: x y z place other why, the places as hexadecimal offsets in this file
    uint64_t report_bytes;
};

}  // namespace emu

#define EMU_EXPORT extern "C" __attribute__((visibility("default")))

// 0, or one of the endings with a report.
EMU_EXPORT int emu_launch(const emu::Launch*);

// Called in a signal handler on the thread that launches. Ends the launch, as `ending`, and does not return if a kernel
// is running; `place` is the instruction, or null.
EMU_EXPORT void emu_escape(int ending, const void* place);
