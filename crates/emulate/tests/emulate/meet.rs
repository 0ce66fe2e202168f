//! Threads that do not meet are told: which, where, and who waits for whom.

use crate::ready;
use std::time::Duration;

use tessera_emulate::{Error, Language, Library, Order, Sanitizer};
use tessera_tile::{
    Program, ir,
    ir::{Access, Buffer, Elem},
    prelude::*,
};

/// Two kinds of meeting.
#[derive(Name)]
struct Meet;

#[derive(Clone, Copy, tessera_tile::Args)]
struct MeetArgs {
    factor: f32,
}

impl Spec for Meet {
    type Args = MeetArgs;
    fn threads(&self) -> u32 {
        64
    }
    fn grid(&self, _: &MeetArgs) -> [u32; 3] {
        [1, 2, 1]
    }
    fn check(&self, _: &MeetArgs) -> Result<(), String> {
        Ok(())
    }
}

#[kernel]
fn meet(_k: &Meet, x: In<F32>, y: Out<F32>, a: Args<MeetArgs>) {
    let stage = shared::<F32>("stage", 64);
    stage.set(thread(), x.at(thread()) * a.factor);
    barrier();
    let asked = shuffle(stage.at(63 - thread()), (lane() + 1) % 32);
    let sum = simd_sum(asked);
    y.set(thread(), sum);
}

/// What the sample text of the type check says of itself.
pub fn sample() -> Program {
    let mut program = Meet.record().unwrap();
    program.name = "sample".into();
    program.buffers = vec![
        Buffer { name: "x", elem: Elem::F16, access: Access::Read },
        Buffer { name: "y", elem: Elem::F32, access: Access::Write },
    ];
    let field = |name, ty| ir::Field { name, ty };
    program.fields = vec![field("len", ir::Type::U32), field("factor", ir::Type::F32)];
    program
}

/// Runs the kernel with a part of its text changed.
fn changed(
    language: Language,
    sanitizer: Sanitizer,
    old: &str,
    new: &str,
) -> Result<Vec<f32>, Error> {
    let program = Meet.record().unwrap();
    let text = language.print(std::slice::from_ref(&program));
    assert!(text.contains(old), "no {old} in {text}");
    let text = text.replacen(old, new, 1);
    let library = Library::from_text(language, text, &[program], sanitizer)?;
    let mut x: Vec<u8> = (0..64).flat_map(|i| (i as f32).to_ne_bytes()).collect();
    let mut y = vec![0; 4 * 64];
    library.launch("meet", [1, 2, 1], &[1.0f32.to_bits()], &mut [&mut x, &mut y])?;
    Ok(y.as_chunks().0.iter().map(|&y| f32::from_ne_bytes(y)).collect())
}

#[test]
fn whole_simdgroups_meet() {
    for language in [Language::Metal, Language::Cuda] {
        let y = changed(language, Sanitizer::None, "meet", "meet").unwrap();
        let (upper, lower) = ((32..64).sum::<u32>() as f32, (0..32).sum::<u32>() as f32);
        assert!(
            y[..32].iter().all(|&y| y == upper) && y[32..].iter().all(|&y| y == lower),
            "{y:?}"
        );
    }
}

#[test]
fn threads_that_do_not_meet_are_told() {
    // A part of the text, what takes its place, and what is told.
    let of_metal = [
        (
            "threadgroup_barrier(",
            "if (lane_index < 3u) threadgroup_barrier(",
            "thread 0 waits for its threadgroup, but thread 3 waits for its simdgroup",
        ),
        (
            "threadgroup_barrier(",
            "if (thread_index == 5u) return; threadgroup_barrier(",
            "thread 0 waits for its threadgroup, but thread 5 has ended",
        ),
        (
            "sum_of_lanes(asked)",
            "lane_index == 1u ? asked : sum_of_lanes(asked)",
            "thread 0 waits for its simdgroup, but thread 1 has ended",
        ),
        (
            "sum_of_lanes(asked)",
            "thread_index == 1u ? simd_max(asked) : sum_of_lanes(asked)",
            "thread 1 comes to a max of floats, but other lanes wait in a shuffle",
        ),
        (
            "sum_of_lanes(asked)",
            "thread_index == 1u ? -sum_of_lanes(-asked) : sum_of_lanes(asked)",
            "thread 1 comes to a shuffle, but other lanes wait in a shuffle",
        ),
        ("ushort((lane_index + 1u) % 32u)", "ushort(lane_index + 1u)", "lane 31 asks lane 32"),
    ];
    let of_cuda = [
        (
            "__syncthreads();",
            "if (lane_index < 3u) __syncthreads(); else __syncthreads();",
            "thread 3 comes to a barrier, but others wait at another",
        ),
        (
            "__syncthreads();",
            "if (thread_index < 32u) __syncthreads();",
            "thread 0 waits for its threadgroup, but thread 32 has ended",
        ),
    ];
    let of_metal = of_metal.map(|seed| (Language::Metal, seed));
    for (language, (old, new, told)) in
        of_metal.into_iter().chain(of_cuda.map(|seed| (Language::Cuda, seed)))
    {
        for sanitizer in [Sanitizer::None, Sanitizer::Address] {
            let error = changed(language, sanitizer, old, new).unwrap_err();
            let Error::Divergent { kernel, group, what, lines } = &error else { panic!("{error}") };
            assert_eq!((kernel.as_str(), *group), ("meet", [0, 0, 0]), "{error}");
            assert!(what.contains(told), "{new}: {what}");
            // The kernel's line, not that of a function it calls, and where it comes from.
            let named = |text: &str| text.contains(new) && text.contains("// meet.rs:");
            assert!(lines.first().is_some_and(|(_, text)| named(text)), "{error}");
        }
    }
}

#[test]
fn a_later_group_is_named() {
    let new = "if (group_index.y * lane_index == 7u) return; threadgroup_barrier";
    let error = changed(Language::Metal, Sanitizer::None, "threadgroup_barrier", new).unwrap_err();
    assert!(matches!(error, Error::Divergent { group: [0, 1, 0], .. }), "{error}");
}

#[test]
fn accesses_outside_of_a_buffer_are_told() {
    for (old, new) in [
        ("y[thread_index]", "y[thread_index + 1u]"),
        ("y[thread_index]", "y[thread_index - 1u]"),
        ("x[thread_index]", "x[thread_index + 1u]"),
        ("x[thread_index]", "x[thread_index * 1000000000u]"),
    ] {
        let error = changed(Language::Cuda, Sanitizer::None, old, new).unwrap_err();
        let Error::Fault { what, lines, .. } = &error else { panic!("{error}") };
        assert!(what.ends_with("reads or writes where no memory is"), "{error}");
        assert!(lines.iter().any(|(_, text)| text.contains(new)), "{error}");
    }
}

#[test]
fn the_address_sanitizer_tells_what_and_where() {
    let seeds = [
        ("y[thread_index]", "y[thread_index + 1u]", "heap-buffer-overflow"),
        ("stage[thread_index]", "stage[thread_index + 1u]", "out of bounds"),
        ("stage[thread_index] =", "*(stage + 1u + thread_index) =", "global-buffer-overflow"),
        (
            "x[thread_index]",
            "float4(*(device const float4*)(x + thread_index / 8u)).x",
            "misaligned",
        ),
    ];
    let seeds = seeds.map(|seed| (Language::Metal, seed));
    // In OpenCL a shift is modulo 32, so it is seen in CUDA text only.
    let shift = ("args.factor", "float(1u << uint(args.factor * 33.0f))", "shift exponent 33");
    let seeds = seeds.into_iter().chain([(Language::Cuda, shift)]);
    for (language, (old, new, told)) in seeds {
        let ended = changed(language, Sanitizer::Address, old, new);
        let Err(error) = ended else { panic!("{new}: nothing is found") };
        let Error::Found { finding, .. } = &error else { panic!("{new}: {error}") };
        assert!(finding.kind.contains(told), "{new}: {error}");
        assert!(
            finding.lines.first().is_some_and(|(_, text)| text.contains(new)),
            "{new}: {error}"
        );
    }
}

#[test]
fn writes_within_the_last_sixteen_bytes_are_told() {
    let library = ready(Library::cuda(&[Meet.record().unwrap()]));
    let (mut x, mut y) = (vec![0; 256], vec![0; 252]);
    let error = library.launch("meet", [1, 2, 1], &[0], &mut [&mut x, &mut y]).unwrap_err();
    assert!(matches!(error, Error::Outside { buffer: "y", byte: 252, bytes: 252, .. }), "{error}");
}

#[test]
fn indices_outside_of_a_shared_array_are_told() {
    for language in [Language::Metal, Language::Cuda] {
        let error = changed(
            language,
            Sanitizer::None,
            "stage[63u - thread_index]",
            "stage[64u - thread_index]",
        );
        let error = error.unwrap_err();
        let Error::Fault { what, .. } = &error else { panic!("{error}") };
        assert_eq!(what, "thread 0 is outside of a shared array", "{error}");
    }
}

#[test]
fn what_would_end_the_process_ends_the_launch() {
    let seeds = [
        (
            "= sum;",
            "= x[thread_index == 1u ? 4294967295u : 0u];",
            "thread 1 reads or writes where no memory is",
        ),
        (
            "y[thread_index] = sum;",
            "y[63u / (thread_index ^ 7u)] = sum;",
            "thread 7 divides by zero",
        ),
    ];
    for (old, new, told) in seeds {
        let error = changed(Language::Metal, Sanitizer::None, old, new).unwrap_err();
        let Error::Fault { what, lines, .. } = &error else { panic!("{error}") };
        assert!(what.contains(told), "{error}");
        assert!(lines.iter().any(|(_, text)| text.contains(new)), "{error}");
    }
}

#[test]
fn endless_loops_end() {
    let program = Meet.record().unwrap();
    let text = Language::Metal.print(std::slice::from_ref(&program));
    let endless =
        "for (uint i = 0u; i < 2u; i += args.factor > 0.0f ? 0u : 1u) threadgroup_barrier";
    let text = text.replacen("threadgroup_barrier", endless, 1);
    for sanitizer in [Sanitizer::None, Sanitizer::Address] {
        let programs = std::slice::from_ref(&program);
        let library = ready(Library::from_text(Language::Metal, text.clone(), programs, sanitizer));
        let library = library.with_limit(Duration::from_secs(3));
        let launch = |factor: f32| {
            let mut buffers = [vec![0; 256], vec![0; 256]];
            let [x, y] = &mut buffers;
            library.launch("meet", [1, 2, 1], &[factor.to_bits()], &mut [x, y])
        };
        assert!(matches!(launch(1.0), Err(Error::TooLong { seconds: 3.0, .. })));
        launch(-1.0).unwrap();
    }
}

#[test]
fn a_library_survives_a_failure() {
    let program = Meet.record().unwrap();
    let text = Language::Metal.print(std::slice::from_ref(&program));
    let text = text.replacen(
        "threadgroup_barrier",
        "if (args.factor > 0.0f || lane_index == 0u) threadgroup_barrier",
        1,
    );
    let library = ready(Library::from_text(Language::Metal, text, &[program], Sanitizer::None));
    let launch = |factor: f32, order| {
        let (mut x, mut y) = (vec![0; 256], vec![0; 256]);
        library.launch_ordered(order, "meet", [1, 2, 1], &[factor.to_bits()], &mut [&mut x, &mut y])
    };
    for order in [Order::Forward, Order::Backward] {
        assert!(matches!(launch(-1.0, order), Err(Error::Divergent { .. })));
        launch(1.0, order).unwrap();
    }
}
