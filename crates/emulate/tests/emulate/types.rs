//! What the type check accepts, and what it refuses.

use tessera_emulate::{Error, Language};

use crate::constructs;

/// Metal text with a bit of everything.
const TEXT: &str = "\
#include <metal_stdlib>
using namespace metal;

struct sample_args {
    uint len;
    float factor;
};

inline float twice(threadgroup const float* from) {
    return 2.0f * from[0];
}

kernel void sample(
    device const half* x [[buffer(0)]],
    device float* y [[buffer(1)]],
    constant sample_args& args [[buffer(2)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup float part[64];
    const float4 x_v = float4(*(device const half4*)(x + 4u * thread_index));
    part[thread_index] = x_v.x * args.factor;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    simdgroup_half8x8 left;
    simdgroup_float8x8 sum = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    simdgroup_store(sum, part, 8);
    *(threadgroup float4*)(part + 4u) = x_v;
    if (thread_index < args.len) {
        y[group_index.x] = simd_sum(twice(part)) + max(x_v.w, 0.0f);
    }
}
";

/// A change, and what the message must say.
const MISTAKES: &[(&str, &str, &str)] = &[
    // What clang sees.
    ("twice(part)", "twice(y)", "cannot pass pointer to address space"),
    ("*(threadgroup float4*)(part + 4u)", "*(threadgroup float4*)(y + 4u)", "address space"),
    ("(device const half4*)(x", "(constant half4*)(x", "address space"),
    ("y[group_index.x] = ", "x[group_index.x] = ", "read-only variable"),
    ("simd_sum(", "simd_total(", "simd_total"),
    ("args.len", "args.length", "length"),
    ("max(x_v.w, 0.0f)", "max(x_v.w, 0u)", "ambiguous"),
    ("group_index.x", "group_index.w", "vector component"),
    (
        "float4(*(device const half4*)",
        "float3(*(device const half4*)",
        "another number of components",
    ),
    (
        "const float4 x_v = float4(*(device const half4*)(x + 4u * thread_index));",
        "const float4 x_v = *(device const half4*)(x + 4u * thread_index);",
        "float4",
    ),
    ("simdgroup_store(sum, part, 8)", "simdgroup_store(left, part, 8)", "simdgroup_store"),
    ("simdgroup_store(sum, part, 8)", "simdgroup_load(sum, x, 8)", "simdgroup_load"),
    (
        "y[group_index.x] = ",
        "atomic_fetch_add_explicit(y, 1u, memory_order_relaxed);\n        y[group_index.x] = ",
        "atomic_fetch_add_explicit",
    ),
    (
        "    if (thread",
        "    threadgroup float late[2];\n    for (;;) { threadgroup float inner[2]; }\n    if (thread",
        "outermost scope",
    ),
    ("const float4 x_v", "uint fragment = 1;\n    const float4 x_v", "reserved_by_metal"),
    ("const float4 x_v", "uint* p = new uint(3);\n    const float4 x_v", "address space"),
    ("args.factor;", "args.factor", "expected ';'"),
    // What the lints see.
    ("x_v.x * args.factor", "x_v.x * 0.5", "0.5 is of double precision"),
    ("float factor;", "double factor;", "double precision"),
    ("threadgroup const float* from", "const float* from", "without an address space"),
    (
        "return 2.0f * from[0];",
        "return from[0] > 1.0f ? 1.0f : twice(from + 1);",
        "twice calls itself",
    ),
    ("thread_index_in_threadgroup", "thread_index_in_group", "no attribute thread_index_in_group"),
];

#[test]
fn mistakes_of_types_are_refused() {
    let programs = [crate::meet::sample()];
    Language::Metal.check(TEXT, &programs).unwrap();
    let mut accepted = Vec::new();
    for (old, new, message) in MISTAKES {
        assert!(TEXT.contains(old), "{old}");
        let text = TEXT.replacen(old, new, 1);
        let said = match Language::Metal.check(&text, &programs) {
            Err(error @ (Error::Rejected { .. } | Error::Lint { .. })) => error.to_string(),
            other => format!("{other:?}"),
        };
        if !said.contains(message) {
            accepted.push(format!("{new}: not {message:?} but {said}"));
        }
    }
    assert!(accepted.is_empty(), "{}", accepted.join("\n"));
}

#[test]
fn buffers_in_another_order_are_refused() {
    let text = TEXT.replace("[[buffer(0)]]", "[[buffer(1)]]");
    let refused = Language::Metal.check(&text, &[crate::meet::sample()]);
    assert!(matches!(refused, Err(Error::Lint { .. })), "{refused:?}");
}

#[test]
fn all_that_the_language_has_is_well_typed() {
    let programs = constructs::all();
    for language in [Language::Metal, Language::Cuda] {
        let checked = language.check(&language.print(&programs), &programs);
        checked.unwrap_or_else(|error| panic!("{error}"));
    }
}
