// What the headers of Metal and CUDA ask of the runtime. Plain C, so that both the C++ and the OpenCL C++ front end read it.
//
// Lanes that meet in different places are told by their return addresses: everything between the printed kernel and these
// functions is inlined, and no call of them is duplicated or merged.
#pragma once

enum emu_operation {
    emu_sum_float,
    emu_sum_int,
    emu_max_float,
    emu_max_int,
    emu_max_uint,
    emu_min_float,
    emu_min_int,
    emu_min_uint,
    emu_prefix_float,
    emu_prefix_int,
    emu_shuffle,
    emu_ballot,
    // Those below have no value to combine.
    emu_order,
    emu_matrix_move,
    emu_matrix_multiply,
};

#ifdef __OPENCL_CPP_VERSION__
#define EMU_PRIVATE __private
#else
#define EMU_PRIVATE
#endif

extern "C" {
// Where things are: addresses as numbers, since address spaces differ.
__attribute__((const)) unsigned long emu_buffer(unsigned index);
__attribute__((const)) unsigned long emu_arguments(void);
__attribute__((const)) unsigned emu_group(unsigned axis);
__attribute__((const)) unsigned emu_thread(void);

// Waits for the threads of the threadgroup, and orders all memory among them.
void emu_barrier(void);

// Waits for the lanes of the simdgroup, and orders all memory among them.
void emu_simdgroup_barrier(void);

// Waits for the lanes of the simdgroup, which orders no memory.
void emu_meet(enum emu_operation operation);

// Combines the lanes' values, 32 bits each; `lane` is the one a shuffle asks.
unsigned emu_combine(enum emu_operation operation, unsigned value, unsigned lane);

// sum = left * right + addend, of rows x depth and depth x columns; each lane has an equal share of each matrix, the
// rows one after another. `sum` may be `addend`.
void emu_multiply(EMU_PRIVATE float* sum, const EMU_PRIVATE float* left, const EMU_PRIVATE float* right,
                   const EMU_PRIVATE float* addend, unsigned rows, unsigned columns, unsigned depth);

#ifndef __OPENCL_CPP_VERSION__
// A staged copy of 4, 8 or 16 bytes; zeros, if `from` is null.
struct emu_copy {
    void* to;
    const void* from;
    unsigned bytes;
};

// Keeps a copy of the thread for when it is waited for.
void emu_stage(struct emu_copy copy);

// Makes a group of what the thread has staged since its last one.
void emu_commit(void);

// A copy of the thread's groups but the `left` latest, which is to be done now and is kept no longer; null when there is
// none.
const struct emu_copy* emu_landing(unsigned left);
#endif
}
