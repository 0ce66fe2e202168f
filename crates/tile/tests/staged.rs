//! Staged copies in the simulator: right uses give numbers, each wrong one is told with its line and thread.

mod kernels;

use std::panic::Location;

use half::f16;
use kernels::Ring;
use tessera_tile::{
    Program, Record,
    ir::{Block, Kind},
    kernel::Parameter,
    prelude::*,
    record,
    sim::{Binding, Checks, Fault, Kernel, Memory, What},
};

const THREADS: u32 = 64;

/// A kernel of 64 threads that reads `x` and writes `y`, words.
fn made(kernel: impl FnOnce(In<U32>, InOut<U32>, Shared<U32>)) -> Program {
    let program = record::record("made".into(), THREADS, || {
        let (x, y) = (In::declare("x", None), InOut::declare("y", None));
        kernel(x, y, shared("ring", 4 * THREADS));
    });
    program.unwrap_or_else(|error| panic!("{error}"))
}

fn launch(program: Program, x: &Memory, y: &Memory, checks: Checks) -> Result<(), Fault> {
    let bindings = [Binding::all(x), Binding::all(y)];
    Kernel::new(program).launch([1, 1, 1], &[], &bindings, checks).map(drop)
}

/// What is in `y` after a launch, `x` being 1000, 1001 and so on.
fn run(program: Program, checks: Checks) -> Result<Vec<u32>, Fault> {
    let words: Vec<u8> = (1000..1256u32).flat_map(u32::to_le_bytes).collect();
    let (x, y) = (Memory::of(&words), Memory::zeroed(4 * THREADS as usize));
    launch(program, &x, &y, checks)?;
    Ok(y.to_vec().as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)).collect())
}

/// The fault of a kernel, which names the kernel and a line of this file.
fn fault(kernel: impl FnOnce(In<U32>, InOut<U32>, Shared<U32>)) -> Fault {
    let fault = run(made(kernel), Checks::All).expect_err("a mistake");
    assert_eq!((fault.kernel.as_str(), fault.group), ("made", [0; 3]));
    fault
}

fn line(line: u32) -> String {
    format!("staged.rs:{line}")
}

#[track_caller]
fn here() -> u32 {
    Location::caller().line()
}

#[test]
fn what_is_staged_is_seen_after_the_wait_and_a_barrier() {
    for checks in [Checks::All, Checks::Access] {
        let program = made(|x, y, ring| {
            ring.stage::<4>(thread() * 4, x, thread() * 4);
            commit_staged();
            wait_staged(0);
            y.set(thread(), ring.at(thread() * 4 + 1)); // its own needs no barrier
            barrier();
            y.set(thread(), y.at(thread()) + ring.at(255 - thread()));
        });
        let wanted: Vec<u32> = (0..THREADS).map(|i| 1001 + 4 * i + 1255 - i).collect();
        assert_eq!(run(program, checks).unwrap(), wanted);
    }
}

#[test]
fn copies_are_done_when_they_are_waited_for() {
    // without checks nothing stops who looks too early: what was there before is there still
    let program = made(|x, y, ring| {
        let i = thread();
        ring.store::<2>(i * 2, [7, 8]);
        ring.stage::<2>(i * 2, x, i * 2);
        commit_staged();
        ring.stage::<2>(i * 2 + 128, x, i * 2);
        commit_staged();
        let early = [ring.at(i * 2)];
        wait_staged(1);
        let late = [ring.at(i * 2)];
        wait_staged(0);
        y.set(i, early[0] * 10_000 + late[0]);
    });
    let wanted: Vec<u32> = (0..THREADS).map(|i| 71_000 + 2 * i).collect();
    assert_eq!(run(program, Checks::Access).unwrap(), wanted);
}

#[test]
fn zeros_are_put_where_it_is_not_inside() {
    let program = made(|x, y, ring| {
        let (i, inside) = (thread(), below(thread(), 20));
        ring.stage_if::<1>(inside, i, x, select(inside, i, u32::MAX));
        commit_staged();
        wait_staged(0);
        y.set(i, ring.at(i));
    });
    let wanted: Vec<u32> = (0..THREADS).map(|i| if i < 20 { 1000 + i } else { 0 }).collect();
    assert_eq!(run(program, Checks::All).unwrap(), wanted);
}

#[device]
fn below(a: Val<u32>, b: u32) -> Val<bool> {
    a < b
}

/// One thread's copy of one element.
#[device]
fn stage_one(by: u32, ring: Shared<U32>, at: u32, x: In<U32>) {
    if thread() == by {
        ring.stage::<1>(at, x, 0);
    }
}

#[device]
fn touch_as(by: u32, touch: impl Fn()) {
    if thread() == by {
        touch();
    }
}

/// Something that a thread does with the ring.
type Touch = dyn Fn(Shared<U32>, InOut<U32>, In<U32>);

#[test]
fn what_is_on_its_way_is_not_touched() {
    // by nobody, in any way
    for by in [3, 40] {
        let touches: [&Touch; 4] = [
            &|ring, y, _| y.set(0, ring.at(5)),
            &|ring, _, _| ring.set(5, 1),
            &|ring, _, _| _ = atomic_add(ring, 5, 1),
            &|ring, _, x| ring.stage::<1>(5, x, 1),
        ];
        for (i, touch) in touches.into_iter().enumerate() {
            for barriers in [false, true] {
                let found = fault(|x, y, ring| {
                    stage_one(3, ring, 5, x);
                    commit_staged();
                    if barriers {
                        barrier();
                    }
                    touch_as(by, || touch(ring, y, x));
                    commit_staged();
                    wait_staged(0);
                });
                // without a barrier another thread's access is a race with the copy's beginning, too
                let wanted = What::Flight { memory: "ring", index: 5, by: 3 };
                assert_eq!((found.thread, found.what), (by, wanted), "touch {i}");
            }
        }
    }
}

#[test]
fn a_missing_wait_is_told_where_it_shows() {
    let mut at = 0;
    let found = fault(|x, y, ring| {
        ring.stage::<1>(thread(), x, thread());
        commit_staged();
        ring.stage::<1>(thread() + 64, x, thread());
        commit_staged();
        wait_staged(1);
        barrier();
        y.set(thread(), ring.at(thread()));
        at = here() + 1;
        y.set(thread(), ring.at(thread() ^ 1 | 64));
        wait_staged(0);
    });
    assert_eq!((found.line, found.thread), (line(at), 0));
    assert_eq!(found.what, What::Flight { memory: "ring", index: 65, by: 1 });
    let text = "ring[65] is touched while a copy that thread 1 staged is on its way";
    assert_eq!(found.what.to_string(), text);
}

#[test]
fn a_missing_barrier_is_a_race() {
    // after the wait
    let found = fault(|x, y, ring| {
        ring.stage::<1>(thread(), x, thread());
        commit_staged();
        wait_staged(0);
        y.set(thread(), ring.at(thread() ^ 1));
    });
    let race = |index, other| What::Race { memory: "ring", index, other, group: 1 };
    assert_eq!((found.thread, found.what), (0, race(1, 1)));
    // a barrier before the wait is not one after it
    let found = fault(|x, y, ring| {
        ring.stage::<1>(thread(), x, thread());
        commit_staged();
        barrier();
        wait_staged(0);
        y.set(thread(), ring.at(thread() ^ 1));
    });
    assert_eq!((found.thread, found.what), (0, race(1, 1)));
    // before the copy: others may still read what was there
    let found = fault(|x, y, ring| {
        ring.set(thread(), 1);
        barrier();
        y.set(thread(), ring.at(thread() ^ 1));
        ring.stage::<1>(thread(), x, thread());
        commit_staged();
        barrier();
        wait_staged(0);
    });
    assert_eq!((found.thread, found.what), (0, race(0, 1)));
}

#[test]
fn places_are_where_they_may_be() {
    let bounds = |memory, index, count, len| What::Bounds { memory, index, count, len };
    let alignment = |memory, index, count| What::Alignment { memory, index, count };
    let of = |at: u32, from: u32| {
        fault(|x, _, ring| {
            ring.stage::<4>(thread() * 4 + at, x, thread() * 4 + from);
            commit_staged();
            wait_staged(0);
        })
    };
    let ends = |found: Fault| (found.thread, found.what);
    assert_eq!(ends(of(4, 0)), (63, bounds("ring", 256, 4, 256)));
    assert_eq!(ends(of(0, 4)), (63, bounds("x", 256, 4, 256)));
    assert_eq!(ends(of(2, 0)), (0, alignment("ring", 2, 4)));
    assert_eq!(ends(of(0, 1)), (0, alignment("x", 1, 4)));
}

#[test]
fn what_nobody_wrote_is_not_copied() {
    let program = made(|x, _, ring| {
        ring.stage::<1>(thread(), x, thread());
        commit_staged();
        wait_staged(0);
    });
    let (x, y) = (Memory::undefined(4 * 64), Memory::zeroed(4));
    x.write(0, &[0; 4 * 33]);
    let found = launch(program, &x, &y, Checks::All).expect_err("undefined");
    assert_eq!((found.thread, found.what), (33, What::Undefined { memory: "x", index: 33 }));
}

/// Two buffers may be one, whatever the kernel says of them.
#[test]
fn what_is_being_copied_is_not_written() {
    let copied = |early: bool| {
        let program = made(|x, y, ring| {
            ring.stage::<1>(thread(), x, thread());
            ring.stage::<1>(thread() + 64, x, thread());
            commit_staged();
            if early {
                y.set(thread(), 5);
            }
            wait_staged(0);
            y.set(thread(), 6);
        });
        let both = Memory::zeroed(4 * 64);
        launch(program, &both, &both, Checks::All)
    };
    copied(false).unwrap();
    let found = copied(true).expect_err("written while it is copied");
    assert_eq!(found.what, What::Flight { memory: "y", index: 0, by: 0 });
}

fn without_waits(block: &mut Block) {
    block.retain(|stmt| !matches!(stmt.kind, Kind::Wait(_)));
    for stmt in block {
        if let Kind::For { body, .. } = &mut stmt.kind {
            without_waits(body);
        }
    }
}

/// The check refuses such a kernel; a mistake may be made later.
#[test]
fn copies_that_nobody_waits_for_are_told() {
    for committed in [false, true] {
        let mut at = 0;
        let mut program = made(|x, _, ring| {
            commit_staged();
            wait_staged(0);
            at = here() + 1;
            stage_one(9, ring, 0, x);
            commit_staged();
            wait_staged(0);
        });
        without_waits(&mut program.body);
        if !committed {
            program.body.retain(|stmt| !matches!(stmt.kind, Kind::Commit));
        }
        let found = run(program, Checks::Access).expect_err("left");
        assert_eq!((found.thread, found.what), (9, What::Left { count: 1 }));
        assert!(found.line.starts_with("staged.rs:"), "{}", found.line);
    }
}

#[test]
fn rings_of_any_depth_give_the_same() {
    for depth in [2, 3, 4] {
        for len in [0, 1, 2, 3, 5, 8] {
            let program = Ring { depth }.record().unwrap();
            let values: Vec<f16> = (0..len * 512).map(|i| f16::from_f32(i as f32)).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let (x, y) = (Memory::of(&bytes), Memory::undefined(4 * THREADS as usize));
            let bindings = [Binding::all(&x), Binding::all(&y)];
            let kernel = Kernel::new(program);
            let ran = kernel.launch([1, 1, 1], &[len], &bindings, Checks::All);
            ran.unwrap_or_else(|fault| panic!("depth {depth}, {len} blocks: {fault}"));
            for (i, found) in y.to_vec().as_chunks::<4>().0.iter().enumerate() {
                let of = |block: usize| &values[block * 512 + (i + 1) % 64 * 8..][..8];
                let all = (0..len as usize).flat_map(of);
                let wanted = all.fold(0.0, |sum, x| sum + x.to_f32());
                assert_eq!(f32::from_le_bytes(*found), wanted, "depth {depth}, {len}, thread {i}");
            }
        }
    }
}
