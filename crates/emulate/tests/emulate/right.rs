//! Printed text computes what plain Rust does, in either language, in either order, under every sanitizer.

use std::collections::BTreeMap;

use crate::kernels::{self, Case, cases};
use crate::ready;
use tessera_emulate::{Error, Language, Library, Order, Sanitizer};
use tessera_tile::Program;

/// The kernels of the cases, each once.
fn programs(cases: &[Case]) -> Vec<Program> {
    let named = cases.iter().map(|case| (case.program.name.clone(), case.program.clone()));
    named.collect::<BTreeMap<_, _>>().into_values().collect()
}

fn all_right(language: Language, sanitizer: Sanitizer) {
    let cases = cases();
    let library = ready(Library::build(language, &programs(&cases), sanitizer));
    for case in &cases {
        for order in [Order::Forward, Order::Backward] {
            let wrong = case.launch(&library, order).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(wrong, None, "{order:?}, {language} text:\n{}", library.text());
        }
    }
}

#[test]
fn metal() {
    all_right(Language::Metal, Sanitizer::None);
}

#[test]
fn cuda() {
    all_right(Language::Cuda, Sanitizer::None);
}

#[test]
fn metal_within_bounds() {
    all_right(Language::Metal, Sanitizer::Address);
}

#[test]
fn cuda_within_bounds() {
    all_right(Language::Cuda, Sanitizer::Address);
}

#[test]
fn metal_without_races() {
    all_right(Language::Metal, Sanitizer::Thread);
}

#[test]
fn cuda_without_races() {
    all_right(Language::Cuda, Sanitizer::Thread);
}

#[test]
fn launches_must_fit() {
    let case = kernels::matvec(32, 1, 32);
    let library = ready(Library::metal(std::slice::from_ref(&case.program)));
    let launch = |name: &str, args: &[u32], count| {
        let mut buffers = vec![vec![0; 64]; count];
        let mut slices: Vec<_> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
        library.launch(name, [1, 1, 1], args, &mut slices)
    };
    assert!(matches!(launch("nothing", &[], 5), Err(Error::Unknown { .. })));
    assert!(matches!(launch("matvec_g32", &[1], 5), Err(Error::Mismatch { expected: 2, .. })));
    assert!(matches!(launch("matvec_g32", &[1, 8], 4), Err(Error::Mismatch { given: 4, .. })));
}

#[test]
fn races_of_many_threads_are_refused() {
    let mut program = kernels::matvec(32, 1, 32).program;
    program.threads = 512;
    let refused = Library::build(Language::Metal, &[program], Sanitizer::Thread);
    assert!(matches!(refused, Err(Error::Threads { threads: 512, limit: 256, .. })));
}

/// `cargo test -p tessera-emulate --test emulate -- --ignored --nocapture speed`
#[test]
#[ignore = "measures"]
fn speed() {
    let case = kernels::matvec(64, 2048, 2048);
    for language in [Language::Metal, Language::Cuda] {
        let programs = std::slice::from_ref(&case.program);
        let library = ready(Library::build(language, programs, Sanitizer::None));
        let times = (0..100).map(|_| {
            let start = nanoseconds();
            assert_eq!(case.launch(&library, Order::Forward).unwrap(), None);
            nanoseconds() - start
        });
        let least = times.min().unwrap() as f64 / 1e6;
        println!("{language}: matvec 2048 x 2048 of 4 bits: {least:.2} ms of one core");
    }
}

/// What this thread has run so far.
fn nanoseconds() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    told.split(' ').next().unwrap().parse().unwrap()
}
