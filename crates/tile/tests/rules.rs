//! Single rules of the printers.

mod kernels;

use tessera_tile::{
    Program,
    ir::{Access, Const, Expr, Kind},
    kernel::Parameter,
    prelude::*,
    print, record,
};

/// The lines of a body, without comments.
fn body(text: &str) -> Vec<&str> {
    let lines = text.lines().skip_while(|line| *line != "{").skip(1);
    lines.map(|line| line.split("  //").next().unwrap_or_default().trim()).collect()
}

/// A program of 32 threads.
fn made(kernel: impl FnOnce()) -> Program {
    record::record("made".into(), 32, kernel).unwrap()
}

#[device]
fn clear_if(x: Val<u32>, z: InOut<U32>) {
    if x == 0 {
        z.set(8, 0);
    }
}

#[device]
fn add_twice(sum: Tile, a: Tile, b: Tile) {
    for _ in 0..val(2u32) {
        sum.multiply_add(a, b);
    }
}

/// Asserts that a line is in the text.
#[track_caller]
fn says(text: &str, line: &str) {
    assert!(body(text).contains(&line), "no {line:?} in\n{text}");
}

#[test]
fn floats_read_back_to_the_same_bits() {
    let mut bits = 1u32;
    let mut floats = kernels::FLOATS.to_vec();
    floats.extend((0..4000).map(|_| {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from_bits(bits)
    }));
    let program = made(|| {
        let y = Out::<F32>::declare("y", None);
        for &x in &floats {
            y.set(0, x);
        }
    });
    for (text, open) in
        [(print::metal(&program), "as_type<float>("), (print::cuda(&program), "__uint_as_float(")]
    {
        let lines: Vec<&str> =
            body(&text).into_iter().filter(|line| line.starts_with("y[")).collect();
        assert_eq!(lines.len(), floats.len());
        for (line, x) in lines.into_iter().zip(&floats) {
            let literal = line.strip_prefix("y[0u] = ").unwrap().strip_suffix(';').unwrap();
            let read = match literal.strip_prefix(open) {
                Some(bits) => {
                    let digits = bits.strip_prefix("0x").unwrap().strip_suffix("u)").unwrap();
                    u32::from_str_radix(digits, 16).unwrap()
                }
                None => {
                    let digits = literal.strip_suffix('f').unwrap();
                    assert!(digits.contains(['.', 'e']), "{literal} is no float in C++");
                    digits.parse::<f32>().unwrap().to_bits()
                }
            };
            assert_eq!(read, x.to_bits(), "{line}");
        }
    }
}

#[test]
fn memories_are_declared_by_their_access() {
    let program = made(|| {
        let x = In::<F16>::declare("x", None);
        let y = Out::<BF16>::declare("y", None);
        let z = InOut::<I8>::declare("z", None);
        let s = shared::<F16>("s", 5);
        s.set(0, x.at(0));
        y.set(0, s.at(0));
        z.set(0, z.at(1));
    });
    let metal = print::metal(&program);
    for line in [
        "    device const half* x [[buffer(0)]],",
        "    device ushort* y [[buffer(1)]],",
        "    device char* z [[buffer(2)]],",
        "    alignas(16) threadgroup half s[5];",
        "[[max_total_threads_per_threadgroup(32)]]",
    ] {
        assert!(metal.lines().any(|found| found == line), "no {line:?} in\n{metal}");
    }
    let cuda = print::cuda(&program);
    for line in [
        "extern \"C\" __global__ void __launch_bounds__(32) made(",
        "    const half* __restrict__ x,",
        "    ushort* y,",
        "    schar* z)",
        "    __shared__ __align__(32) half s[5];",
    ] {
        assert!(cuda.lines().any(|found| found == line), "no {line:?} in\n{cuda}");
    }
    // no arguments, no struct
    assert!(!metal.contains("args") && !cuda.contains("args"));
}

#[test]
fn a_kernel_without_parameters_is_one_too() {
    let program = made(barrier);
    assert!(print::cuda(&program).contains("made(\n    )\n{\n    __syncthreads();"));
    assert!(print::metal(&program).contains("made(\n    uint3 group_index"));
}

#[test]
fn loads_do_not_pass_what_may_change_them() {
    let program = made(|| {
        let x = In::<U32>::declare("x", None);
        let y = InOut::<U32>::declare("y", None);
        let z = InOut::<U32>::declare("z", None);
        let s = shared::<U32>("s", 512);
        let other = shared::<U32>("other", 512);
        // what is read passes everything
        let read = [x.at(1)];
        barrier_all();
        y.set(1, read[0]);
        // a shared array passes stores to others
        let free = [s.at(2)];
        y.set(2, 0);
        other.set(2, 0);
        y.set(2, free[0]);
        // but no store to itself, no atomic operation, no barrier of any kind
        let held = [s.at(3)];
        s.set(3, 0);
        y.set(3, held[0]);
        let held = [s.at(4)];
        atomic_add(s, 4, 1);
        y.set(4, held[0]);
        let held = [s.at(5)];
        simd_barrier();
        y.set(5, held[0]);
        // a buffer passes no store to another, which may be the same memory
        let held = [y.at(6)];
        z.set(6, 0);
        y.set(6, held[0]);
        let held = [y.at(7)];
        atomic_max(z, 7, 1);
        y.set(7, held[0]);
        // not even one in a block
        let held = [y.at(8)];
        clear_if(x.at(0), z);
        y.set(8, held[0]);
    });
    let text = print::metal(&program);
    says(&text, "y[1u] = x[1u];");
    says(&text, "y[2u] = s[2u];");
    for (held, memory) in [(3, "s"), (4, "s"), (5, "s"), (6, "y"), (7, "y"), (8, "y")] {
        let line =
            body(&text).into_iter().find(|line| line.ends_with(&format!(" = {memory}[{held}u];")));
        assert!(line.is_some_and(|line| line.starts_with("const uint t")), "{held} in\n{text}");
    }
}

#[test]
fn a_tile_holds_loads_too() {
    let program = made(|| {
        let y = Out::<F32>::declare("y", None);
        let s = shared::<F32>("s", 256);
        let sum = Tile::sum(0.5);
        let held = [s.at(0)];
        sum.store(s, 0, 16);
        y.set(0, held[0]);
    });
    let text = print::cuda(&program);
    says(&text, "tile_fill(sum, 0.5f);");
    says(&text, "const float t = s[0u];");
    says(&text, "tile_store(sum, s, 16u);");
    // a sum of nothing is of some kind
    says(&text, "tile_f16_sum sum;");
    says(&print::metal(&program), "tile_f32 sum;");
}

#[test]
fn a_sum_is_of_the_kind_of_what_it_sums() {
    let of = |elem: Elem| {
        made(|| {
            let s = shared_of::<AnyFloat>("s", elem, 256);
            let sum = Tile::sum(0.0);
            let (a, b) = (Tile::left(s, 0, 16), Tile::right_transposed(s, 0, 16));
            add_twice(sum, a, b);
            sum.restore(shared::<F32>("back", 256), 0, 16);
        })
    };
    let half = print::cuda(&of(Elem::F16));
    says(&half, "tile_f16_sum sum;");
    says(&half, "tile_f16_left left;");
    says(&half, "tile_f16_right_transposed right;");
    says(&half, "tile_load_transposed(right, s, 16u);");
    says(&half, "tile_multiply(sum, left, right);");
    says(&half, "tile_load(sum, back, 16u);");
    let single = print::cuda(&of(Elem::F32));
    says(&single, "tile_f32_sum sum;");
    says(&single, "tile_f32_left left;");
    let metal = print::metal(&of(Elem::F16));
    says(&metal, "tile_f32 sum;");
    says(&metal, "tile_f16 left;");
}

#[test]
fn what_nobody_needs_is_not_printed() {
    let program = made(|| {
        let x = In::<F32>::declare("x", None);
        let y = Out::<F32>::declare("y", None);
        let [a, _] = x.load::<2>(0);
        let _ = exp(a) + x.at(4);
        y.set(0, 1.0);
    });
    assert_eq!(body(&print::metal(&program)), ["y[0u] = 1.0f;", "}"]);
}

#[test]
fn each_source_line_is_told_once() {
    let text = print::metal(&Record::record(&kernels::RmsNorm { elem: Elem::F16 }).unwrap());
    let told: Vec<&str> = text.lines().filter_map(|line| line.split("  // ").nth(1)).collect();
    assert!(told.iter().all(|place| place.starts_with("matrices.rs:")), "{told:?}");
    assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
    assert!(told.len() > 10);
}

#[test]
fn all_of_the_program_comes_from_the_record() {
    let program = made(|| {
        record::buffer("b", Elem::F32, Access::Write);
    });
    assert!(program.body.is_empty());
    // a constant is written wherever it is used
    let program = made(|| {
        let y = Out::<F32>::declare("y", None);
        let c = val(1.5f32);
        y.set(9, c + c);
    });
    let constants = program.body.iter();
    let constants =
        constants.filter(|s| matches!(s.kind, Kind::Let(_, Expr::Const(Const::F32(_)))));
    assert_eq!(constants.count(), 1);
    says(&print::metal(&program), "y[9u] = 1.5f + 1.5f;");
}
