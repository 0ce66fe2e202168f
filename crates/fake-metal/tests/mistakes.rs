//! Mistakes of those who use the device are found: by the simulator, or because results change with the order.

mod common;

use common::{expected, random, watched};
use fake_metal::{Settings, World, spy::Mistake};

/// In how many of 12 orders a mistake shows.
fn shows(mistake: Option<Mistake>) -> usize {
    let x = random(11, common::WIDTH);
    let wanted = expected(&x);
    (1..=12)
        .filter(|&seed| {
            let world = World::enter(Settings { seed, ..Settings::default() });
            let found = watched(mistake).run(&x);
            // a mistake of the host's against Metal's rules would be another test's
            assert_eq!(world.violations(), [""; 0]);
            // not a number is not what was wanted either
            found.as_ref() != Ok(&wanted)
        })
        .count()
}

#[test]
fn without_a_mistake_all_orders_agree() {
    assert_eq!(shows(None), 0);
}

#[test]
fn every_missing_barrier_shows() {
    for barrier in 0..5 {
        let shown = shows(Some(Mistake::NoBarrier(barrier)));
        println!("without barrier {barrier}: {shown} of 12");
        assert!(shown > 1, "barrier {barrier}: {shown} of 12");
    }
    // there is no sixth
    assert_eq!(shows(Some(Mistake::NoBarrier(5))), 0);
}

#[test]
fn no_barriers_at_all_show_nearly_always() {
    let shown = shows(Some(Mistake::NoBarriers));
    assert!(shown > 9, "{shown} of 12");
}

#[test]
fn wrong_bindings_show_always() {
    assert_eq!(shows(Some(Mistake::Shifted(16))), 12);
    assert_eq!(shows(Some(Mistake::Exchanged)), 12);
}
