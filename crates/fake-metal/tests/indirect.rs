//! Steps that come again are one call, with the same results; what they need is there; and the fake finds what is not.

mod common;

use std::time::Duration;

use common::{ARENA, WIDTH, clean, expected, indirect, random};
use fake_metal::{
    Settings, World,
    spy::{Mistake, Spy},
};
use tessera_gpu::{
    MetalOptions,
    device::{Device, DeviceError},
    queue::Queue,
    replay::Replays,
};

#[test]
fn what_comes_again_is_one_call() {
    for (macos, seed) in [(14, 1), (15, 1), (14, 2), (15, 2), (15, 3)] {
        let world = World::enter(Settings { macos, seed, ..Settings::default() });
        let mut step = indirect(None);
        for round in 0..5 {
            let x = random(seed * 10 + round, WIDTH);
            assert_eq!(step.run(&x).unwrap(), expected(&x), "seed {seed}, round {round}");
        }
        assert_eq!((world.commits(), world.dispatches(), world.indirect()), (5, 45, 4));
        let replays = Replays { plain: 1, captured: 1, replayed: 3 };
        assert_eq!(step.queue.device().replays(), replays);
        assert_eq!(world.texts(), 1, "kernels are compiled once, when they are built");
        drop(step);
        clean(&world);
    }
}

#[test]
fn other_memory_is_another_step() {
    let world = World::enter(Settings::default());
    let mut step = indirect(None);
    for round in 0..9 {
        if round % 3 == 0 {
            // the old one is gone, and what was encoded for it is never run again
            step.arena = step.queue.device().allocate(ARENA, "vectors").unwrap();
        }
        let x = random(round, WIDTH);
        assert_eq!(step.run(&x).unwrap(), expected(&x), "round {round}");
    }
    let replays = Replays { plain: 3, captured: 3, replayed: 3 };
    assert_eq!(step.queue.device().replays(), replays);
    drop(step);
    clean(&world);
}

/// What the fourth of a few steps comes to, in a world of these settings, and what should.
fn fourth(
    settings: Settings,
    mistake: Option<Mistake>,
) -> (Result<Vec<f32>, DeviceError>, Vec<f32>) {
    let world = World::enter(settings);
    let mut step = indirect(mistake);
    let run = |round: u64| {
        let x = random(round, WIDTH);
        (step.run(&x), expected(&x))
    };
    let last = (0..4).map(run).last().unwrap();
    assert_eq!(world.violations(), [""; 0]);
    last
}

/// In how many of 12 orders a mistake shows.
fn shows(deaf: Option<&'static str>, mistake: Option<Mistake>) -> usize {
    let wrong = |&seed: &u64| {
        let (found, wanted) = fourth(Settings { seed, deaf, ..Settings::default() }, mistake);
        found != Ok(wanted)
    };
    (1..=12).filter(wrong).count()
}

#[test]
fn missing_barriers_show() {
    assert_eq!(shows(None, None), 0);
    let shown = shows(Some("setBarrier"), None);
    assert!(shown > 9, "{shown} of 12 without setBarrier");
    for barrier in 0..5 {
        let shown = shows(None, Some(Mistake::NoBarrier(barrier)));
        println!("without barrier {barrier}: {shown} of 12");
        assert!(shown > 1, "barrier {barrier}: {shown} of 12");
    }
}

#[test]
fn wrong_bindings_show_always() {
    assert_eq!(shows(None, Some(Mistake::Shifted(16))), 12);
    assert_eq!(shows(None, Some(Mistake::Exchanged)), 12);
}

#[test]
fn memory_that_is_not_resident_is_a_fault() {
    for (macos, deaf) in [
        (15, "addAllocation:"),
        (15, "addResidencySet:"),
        (15, "commit"),
        (14, "useResource:usage:"),
    ] {
        let deaf = Some(deaf);
        let (found, _) = fourth(Settings { macos, deaf, ..Settings::default() }, None);
        let Err(DeviceError::Run(why)) = found else { panic!("{deaf:?}: {found:?}") };
        assert!(why.contains("is not resident (FakeMetalDomain 3)"), "{deaf:?}: {why}");
    }
    // what a system does not ask for need not be said
    for (macos, deaf) in [(14, "addAllocation:"), (15, "useResource:usage:")] {
        let deaf = Some(deaf);
        let (found, wanted) = fourth(Settings { macos, deaf, ..Settings::default() }, None);
        assert_eq!(found, Ok(wanted), "{deaf:?}");
    }
}

#[test]
fn a_step_that_does_not_end_is_an_error() {
    for indirect in [false, true] {
        let world = World::enter(Settings { hangs: true, ..Settings::default() });
        let options = MetalOptions { indirect, patience: Duration::from_millis(20) };
        let mut queue = Queue::new(Spy::with(None, &options).unwrap());
        let buffer = queue.device().allocate(64, "a test").unwrap();
        let recording = queue.record().unwrap();
        let hung = recording.commit().unwrap().wait(&mut Vec::new()).unwrap_err();
        assert_eq!(hung, DeviceError::Hung { seconds: 1 });
        // nothing runs beside it
        assert_eq!(queue.record().map(drop).unwrap_err(), hung);
        drop((buffer, queue));
        assert_eq!(world.violations(), [""; 0]);
    }
}

#[test]
fn a_fault_in_indirect_commands_is_the_steps_error() {
    let world = World::enter(Settings::default());
    let mut step = indirect(None);
    for round in 0..3 {
        step.run(&random(round, WIDTH)).unwrap();
    }
    // the row that is chosen is the third of two
    step.choose(2);
    let DeviceError::Run(why) = step.run(&random(3, WIDTH)).unwrap_err() else { panic!() };
    assert!(why.contains("select"), "{why}");
    step.choose(1);
    let x = random(4, WIDTH);
    assert_eq!(step.run(&x).unwrap(), expected(&x), "and the next one is right");
    assert_eq!(step.queue.device().replays().replayed, 3);
    drop(step);
    clean(&world);
}
