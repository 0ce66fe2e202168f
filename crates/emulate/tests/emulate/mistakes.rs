//! Mistakes in kernels are found: by a wrong number, by the runtime, or by a sanitizer.

use std::time::Duration;

use tessera_emulate::{
    Error, Finding, Language, Library, Order, Sanitizer,
    mutate::{self, Mistake, Mutant},
};

use crate::kernels::{self, Case};
use crate::ready;

/// Who finds a mistake, the cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    /// The compiler: an index that is plainly outside.
    Compiler,
    /// A result is wrong.
    Numbers,
    /// The runtime: an access outside, threads that do not meet, an endless loop.
    Runtime,
    /// The address sanitizer.
    Address,
    /// The thread sanitizer.
    Thread,
    /// Nobody.
    Nobody,
}

/// A case with a mistake, under a name of its own.
fn wrong(case: &Case, mutant: &Mutant, number: usize) -> Case {
    let mut program = mutant.program.clone();
    program.name = format!("{}_{number}", program.name);
    case.of(program)
}

/// The three libraries of a language, each with all the kernels: a compilation costs more than a launch.
struct Libraries([Library; 3]);

impl Libraries {
    fn new(language: Language, cases: &[Case]) -> Self {
        let programs: Vec<_> = cases.iter().map(|case| case.program.clone()).collect();
        let sanitizers = [Sanitizer::None, Sanitizer::Address, Sanitizer::Thread];
        Self(sanitizers.map(|sanitizer| {
            ready(Library::build(language, &programs, sanitizer))
                .with_limit(Duration::from_secs(20))
        }))
    }

    /// Who finds what is wrong with a case, and what a sanitizer says.
    fn judge(&self, case: &Case) -> (By, Option<Finding>) {
        for (library, sanitizer) in self.0.iter().zip([By::Runtime, By::Address, By::Thread]) {
            for order in [Order::Forward, Order::Backward] {
                match case.launch(library, order) {
                    Ok(None) => {}
                    Ok(Some(_)) => return (By::Numbers, None),
                    Err(
                        Error::Divergent { .. }
                        | Error::Outside { .. }
                        | Error::Fault { .. }
                        | Error::TooLong { .. },
                    ) => {
                        return (By::Runtime, None);
                    }
                    Err(Error::Found { finding, .. }) => return (sanitizer, Some(finding)),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        (By::Nobody, None)
    }
}

#[test]
fn seeded_mistakes_are_found() {
    let (norm, matmul) = (kernels::norm(2, 200), kernels::matmul(33, 47, 40));
    let (histogram, prefix) = (kernels::histogram(700), kernels::prefix(300));
    let matvec = kernels::matvec(64, 5, 320);
    // Which mistake, at which of its places, and who finds it.
    let seeds = [
        (&norm, Mistake::NoBarrier, 0, By::Numbers),
        (&norm, Mistake::NoBarrier, 1, By::Numbers),
        (&norm, Mistake::NarrowBarrier, 1, By::Numbers),
        (&norm, Mistake::LongerLoop, 0, By::Runtime),
        (&norm, Mistake::SwappedIndices, 0, By::Runtime),
        (&norm, Mistake::NoCheck, 0, By::Thread),
        (&matvec, Mistake::NoCheck, 0, By::Runtime),
        (&matvec, Mistake::NoCheck, 1, By::Thread),
        (&matvec, Mistake::OneTooMany, 0, By::Runtime),
        (&matmul, Mistake::NoBarrier, 0, By::Numbers),
        (&matmul, Mistake::NoBarrier, 1, By::Numbers),
        (&matmul, Mistake::NoBarrier, 2, By::Numbers),
        (&matmul, Mistake::NoCheck, 0, By::Runtime),
        (&matmul, Mistake::SwappedIndices, 0, By::Runtime),
        (&histogram, Mistake::NoBarrier, 0, By::Numbers),
        (&histogram, Mistake::NoBarrier, 1, By::Numbers),
        (&histogram, Mistake::LongerLoop, 1, By::Runtime),
        (&prefix, Mistake::NoBarrier, 0, By::Numbers),
        (&prefix, Mistake::NoCheck, 0, By::Runtime),
        (&prefix, Mistake::OneTooMany, 0, By::Runtime),
    ];
    let mutants: Vec<_> = seeds
        .iter()
        .map(|&(case, mistake, nth, _)| mutate::make(&case.program, mistake, nth).unwrap())
        .collect();
    let numbered = seeds.iter().zip(&mutants).enumerate();
    let cases: Vec<_> = numbered.map(|(i, (seed, mutant))| wrong(seed.0, mutant, i)).collect();
    let mut failures = Vec::new();
    for language in [Language::Metal, Language::Cuda] {
        let libraries = Libraries::new(language, &cases);
        for ((case, mutant), &(.., expected)) in cases.iter().zip(&mutants).zip(&seeds) {
            let (by, finding) = libraries.judge(case);
            let what =
                format!("{language} {} {:?} at {}", case.program.name, mutant.mistake, mutant.at);
            if by != expected {
                failures.push(format!("{what}: found by {by:?}, not {expected:?}"));
            }
            if let Some(finding) = finding
                && finding.lines.is_empty()
            {
                failures.push(format!("{what}: no line in {}", finding.report));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Metal does copies at once, so its text cannot show that nobody waits for them; the simulator does.
#[test]
fn mistakes_with_staged_copies_are_found() {
    let (two, three) = (kernels::ring(2, 6, 0), kernels::ring(3, 6, 0));
    let mutant = |case: &Case, mistake, nth| {
        case.of(mutate::make(&case.program, mistake, nth).expect("it can be made").program)
    };
    let (flight, race, left) = ("is on its way", "a race with", "on their way when");
    // A case, what the simulator says, and who finds it in Metal's text and in CUDA's.
    let seeds = [
        (kernels::ring(3, 6, 1), flight, [By::Numbers, By::Numbers]),
        (mutant(&two, Mistake::NoWait, 0), flight, [By::Nobody, By::Numbers]),
        (mutant(&two, Mistake::NoWait, 1), left, [By::Nobody, By::Runtime]),
        (mutant(&three, Mistake::EarlyWait, 0), flight, [By::Nobody, By::Numbers]),
        (mutant(&two, Mistake::NoBarrier, 0), race, [By::Numbers, By::Numbers]),
        (mutant(&three, Mistake::NarrowBarrier, 0), race, [By::Numbers, By::Numbers]),
    ];
    let named = |(i, seed): (usize, &(Case, &str, [By; 2]))| {
        let mut program = seed.0.program.clone();
        program.name = format!("{}_{i}", program.name);
        seed.0.of(program)
    };
    let cases: Vec<_> = seeds.iter().enumerate().map(named).collect();
    for (case, (_, what, _)) in cases.iter().zip(&seeds) {
        let fault = case.simulate().expect_err(&case.program.name).to_string();
        assert!(fault.contains(what) && fault.contains("ring.rs:"), "{fault}");
    }
    for (i, language) in [Language::Metal, Language::Cuda].into_iter().enumerate() {
        let libraries = Libraries::new(language, &cases);
        for (case, (.., by)) in cases.iter().zip(&seeds) {
            let found = libraries.judge(case).0;
            assert_eq!(found, by[i], "{language} {}", case.program.name);
        }
    }
}

/// `cargo test -p tessera-emulate --test emulate -- --ignored --nocapture survey`
#[test]
#[ignore = "makes every mistake there is, and prints who finds it"]
fn survey() {
    let cases = [
        kernels::norm(2, 200),
        kernels::matvec(64, 5, 320),
        kernels::matmul(33, 47, 40),
        kernels::histogram(700),
        kernels::prefix(300),
        kernels::ring(3, 6, 0),
    ];
    for case in cases {
        let language = Language::Metal;
        let (mut mutants, mut wrongs) = (Vec::new(), Vec::new());
        for (number, mutant) in mutate::mutants(&case.program).enumerate() {
            let wrong = wrong(&case, &mutant, number);
            let programs = std::slice::from_ref(&wrong.program);
            match language.check(&language.print(programs), programs) {
                Ok(()) => {
                    mutants.push(mutant);
                    wrongs.push(wrong);
                }
                Err(_) => report(&mutant, By::Compiler),
            }
        }
        let libraries = Libraries::new(language, &wrongs);
        for (mutant, wrong) in mutants.iter().zip(&wrongs) {
            report(mutant, libraries.judge(wrong).0);
        }
    }
}

fn report(mutant: &Mutant, by: By) {
    println!("{} {:?} {} {by:?}", mutant.program.name, mutant.mistake, mutant.at);
}
