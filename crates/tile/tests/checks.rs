//! What the check refuses, and what it lets pass beside it.

use std::cell::Cell;

use tessera_tile::{
    BuildError, Program, check, flow::Branch, kernel::Parameter, prelude::*, record,
};

/// What recording a kernel of 64 threads gives.
fn made<T>(kernel: impl FnOnce() -> T) -> Result<Program, BuildError> {
    record::record("made".into(), 64, || {
        kernel();
    })
}

/// Asserts that a kernel is refused, and what the error says.
#[track_caller]
fn refused<T>(kernel: impl FnOnce() -> T, what: &str) {
    let error = made(kernel).map(|program| program.body.len()).unwrap_err().to_string();
    assert!(error.starts_with("kernel made") && error.contains(what), "{error}");
}

#[track_caller]
fn accepted<T>(kernel: impl FnOnce() -> T) {
    made(kernel).unwrap();
}

/// `if`, with a block that the test gives.
fn when<T>(condition: Val<bool>, then: impl FnOnce() -> T) {
    let mut branch: Branch = tessera_tile::flow::Condition::begin(condition);
    if branch.then() {
        then();
    }
    branch.otherwise();
    branch.end();
}

/// `for` from 0.
fn times(count: Val<u32>, each: impl Fn(Val<u32>)) {
    tessera_tile::flow::Bounds::each(0u32, count, 1u32).for_each(each);
}

#[device]
fn is(a: Val<u32>, b: u32) -> Val<bool> {
    a == b
}

#[test]
fn barriers_are_for_all() {
    let message = "a barrier where not all threads of the threadgroup come by";
    refused(|| when(is(thread(), 0), barrier), message);
    refused(|| when(is(simdgroup(), 0), barrier_all), message);
    refused(|| times(thread(), |_| barrier()), message);
    refused(
        || when(is(lane(), 0), simd_barrier),
        "a barrier where not all threads of the simdgroup come by",
    );
    accepted(|| when(is(group(0), 0), barrier));
    accepted(|| when(is(simdgroup(), 0), simd_barrier));
    accepted(|| times(val(3), |_| barrier()));
    // a buffer that others write tells each thread something else, perhaps
    let written = || InOut::<U32>::declare("y", None).at(0);
    refused(|| when(is(written(), 0), barrier), message);
    accepted(|| when(is(In::<U32>::declare("x", None).at(0), 0), barrier));
}

#[test]
fn operations_of_a_simdgroup_are_for_all_its_lanes() {
    let message = "an operation of the simdgroup where not all threads of the simdgroup come by";
    let sum = || {
        simd_sum(val(1u32));
    };
    refused(|| when(is(lane(), 0), sum), message);
    accepted(|| when(is(simdgroup(), 0), sum));
    // what all lanes got from one is the same for all
    accepted(|| when(is(simd_max(lane()), 31), sum));
    accepted(|| when(is(shuffle(lane(), 3), 3), sum));
    refused(|| when(is(shuffle(lane(), lane()), 3), sum), message);
    refused(|| when(is(simd_prefix_sum(lane()), 3), sum), message);
    let message = "an operation on a tile where not all threads of the simdgroup come by";
    refused(|| when(is(lane(), 0), || Tile::sum(0.0)), message);
}

#[test]
fn vectors_are_of_widths_that_devices_have() {
    let of = |elem: Elem| move || In::<AnyWord>::declare("x", Some(elem));
    refused(|| of(Elem::U32)().load::<3>(0), "3 elements of U32 at once");
    refused(|| of(Elem::U32)().load::<8>(0), "8 elements of U32 at once");
    refused(|| of(Elem::U8)().load::<16>(0), "16 elements of U8 at once");
    refused(|| Out::<F16>::declare("y", None).store(0, [1.0f32; 3]), "3 elements of F16 at once");
    accepted(|| of(Elem::U32)().load::<4>(0));
    accepted(|| of(Elem::U16)().load::<8>(0));
    accepted(|| of(Elem::U8)().load::<8>(0));
}

#[test]
fn values_keep_to_their_blocks() {
    refused(
        || {
            let y = Out::<U32>::declare("y", None);
            let kept = Cell::new(None);
            when(is(thread(), 0), || kept.set(Some(thread() + 1)));
            y.set(0, kept.get().unwrap());
        },
        "checks.rs:",
    );
    refused(
        || {
            let y = Out::<U32>::declare("y", None);
            let kept = Cell::new(None);
            times(val(4), |i| kept.set(Some(i)));
            y.set(0, kept.get().unwrap());
        },
        "a value is used outside of the block that makes it",
    );
    refused(
        || {
            let kept = Cell::new(None);
            when(is(group(0), 0), || kept.set(Some(Tile::sum(0.0))));
            kept.get().unwrap().store(shared::<F32>("s", 256), 0, 16);
        },
        "a tile is used outside of the block that makes it",
    );
    refused(
        || {
            let kept = Cell::new(None);
            when(is(group(0), 0), || kept.set(Some(Tile::sum(0.0))));
            kept.get().unwrap().restore(shared::<F32>("s", 256), 0, 16);
        },
        "a tile is used outside of the block that makes it",
    );
    refused(
        || {
            let kept = Cell::new(None);
            when(is(group(0), 0), || {
                kept.set(Some(tessera_tile::flow::Mutable::variable(1u32, "count")));
            });
            tessera_tile::flow::Assign::assign(&kept.get().unwrap(), kept.get().unwrap() + 1);
        },
        "count is used outside of the block that makes it",
    );
    accepted(|| {
        let y = Out::<U32>::declare("y", None);
        let outer = thread() + 1;
        when(is(outer, 1), || times(outer, |i| y.set(i, outer)));
    });
}

#[test]
fn tiles_are_of_elements_that_devices_multiply() {
    let tile = |elem: Elem| move || Tile::left(shared_of::<AnyFloat>("s", elem, 256), 0, 16);
    let error = made(tile(Elem::BF16)).map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, BuildError::Tile { elem: Elem::BF16, line, .. } if line.starts_with("checks.rs:"))
    );
    assert!(
        error.to_string().contains("a matrix tile of BF16; tiles are of F16 or F32"),
        "{error}"
    );
    accepted(tile(Elem::F16));
    accepted(tile(Elem::F32));
}

#[test]
fn tiles_take_their_places() {
    let half = || shared::<F16>("half", 256);
    let single = || shared::<F32>("single", 256);
    let message = "a multiplication is `sum.multiply_add(left, right)`";
    refused(
        || {
            let (s, sum) = (half(), Tile::sum(0.0));
            sum.multiply_add(Tile::right(s, 0, 16), Tile::left(s, 0, 16));
        },
        message,
    );
    refused(
        || {
            let (s, sum) = (half(), Tile::sum(0.0));
            Tile::left(s, 0, 16).multiply_add(sum, Tile::right(s, 0, 16));
        },
        message,
    );
    let message = "the tiles of a sum are all of one element type";
    refused(
        || Tile::sum(0.0).multiply_add(Tile::left(half(), 0, 16), Tile::right(single(), 0, 16)),
        message,
    );
    refused(
        || {
            let (h, s, sum) = (half(), single(), Tile::sum(0.0));
            sum.multiply_add(Tile::left(h, 0, 16), Tile::right(h, 0, 16));
            sum.multiply_add(Tile::left(s, 0, 16), Tile::right(s, 0, 16));
        },
        message,
    );
    accepted(|| Tile::sum(0.0).restore(single(), 0, 16));
    refused(|| Tile::left(half(), 0, 12).restore(single(), 0, 12), "not a multiple of 8");
    refused(|| Tile::left(half(), 0, 16).store(single(), 0, 16), "a sum is stored");
    refused(|| Tile::left(half(), 0, 12), "rows of a tile lie 12 elements apart");
    refused(
        || Tile::left(half(), lane() * 16, 16),
        "the lanes of a simdgroup address different tiles",
    );
    accepted(|| {
        let (h, sum) = (half(), Tile::sum(0.0));
        sum.multiply_add(Tile::left(h, 0, 16), Tile::right(h, 0, 16));
        sum.store(single(), 0, 16);
    });
}

#[test]
fn atomic_operations_are_on_words() {
    let message = "an element of U8 is not changed at once; of U32 it is";
    refused(|| atomic_add(InOut::<U8>::declare("y", None), 0, 1), message);
    refused(|| atomic_or(shared::<U16>("s", 4), 0, 1), "an element of U16");
    accepted(|| atomic_max(InOut::<U32>::declare("y", None), 0, 1));
}

#[test]
fn names_and_sizes() {
    let named = |name: &str, threads: u32| {
        let error = record::record(name.into(), threads, || ()).map(|_| ());
        error.map_err(|error| error.to_string())
    };
    assert_eq!(named("fine", 32), Ok(()));
    assert_eq!(named("2d", 32), Err("kernel 2d: its name \"2d\" is not an identifier".into()));
    for word in ["kernel", "half", "float4", "exp2", "main", "tile_load", "blockIdx"] {
        let message = format!("kernel {word}: its name {word:?} is a word of Metal or CUDA");
        assert_eq!(named(word, 32), Err(message));
    }
    assert_eq!(named("k", 33), Err("kernel k: 33 threads are not whole simdgroups".into()));
    assert_eq!(named("k", 0), Err("kernel k: 0 threads are not whole simdgroups".into()));
    assert_eq!(named("k", 1056), Err("kernel k: 1056 threads, at most 1024".into()));
    refused(
        || {
            In::<F32>::declare("x", None);
            shared::<F32>("x", 4);
        },
        "the memory \"x\" is named twice",
    );
    refused(|| shared::<F32>("s", 8193), "32784 bytes of shared memory, at most 32768");
    accepted(|| shared::<F32>("s", 8192));
    let buffers = |count: usize| {
        const NAMES: &str = "abcdefghijklmnopqrstuvwxyzABCDE";
        move || {
            (0..count).for_each(|i| {
                In::<F32>::declare(&NAMES[i..=i], None);
            })
        }
    };
    accepted(buffers(check::MAX_BUFFERS));
    refused(buffers(check::MAX_BUFFERS + 1), "31 buffers, at most 30");
}

#[test]
fn staged_copies_are_of_sizes_that_devices_have() {
    let of = |elem: Elem| {
        move || {
            let (x, s) =
                (In::<AnyWord>::declare("x", Some(elem)), shared_of::<AnyWord>("s", elem, 256));
            (x, s)
        }
    };
    let staged = |elem: Elem, count: u32| {
        move || {
            let (x, s) = of(elem)();
            match count {
                1 => s.stage::<1>(0, x, 0),
                2 => s.stage::<2>(0, x, 0),
                3 => s.stage::<3>(0, x, 0),
                8 => s.stage::<8>(0, x, 0),
                _ => s.stage::<16>(0, x, 0),
            }
            commit_staged();
            wait_staged(0);
        }
    };
    let error = made(staged(Elem::U16, 1)).map(drop).unwrap_err();
    assert!(
        matches!(&error, BuildError::Staged { count: 1, elem: Elem::U16, line, .. } if line.starts_with("checks.rs:"))
    );
    refused(staged(Elem::U16, 1), "1 elements of U16 staged at once; they are 4, 8 or 16 bytes");
    refused(staged(Elem::U32, 3), "3 elements of U32 staged at once");
    refused(staged(Elem::U32, 8), "8 elements of U32 staged at once");
    refused(staged(Elem::U8, 2), "2 elements of U8 staged at once");
    for (elem, count) in [
        (Elem::U32, 1),
        (Elem::U32, 2),
        (Elem::U16, 2),
        (Elem::U16, 8),
        (Elem::U8, 8),
        (Elem::U8, 16),
    ] {
        accepted(staged(elem, count));
    }
    refused(
        || {
            let (x, _) = of(Elem::U8)();
            shared_of::<AnyWord>("t", Elem::U16, 8).stage::<8>(0, x, 0);
        },
        "a copy is staged to elements of another type",
    );
}

#[test]
fn groups_of_copies_are_for_all() {
    let stage = || shared::<U32>("s", 64).stage::<1>(thread(), In::declare("x", None), thread());
    let all = || {
        stage();
        commit_staged();
        wait_staged(0);
    };
    let wherever = "where not all threads of the threadgroup come by";
    refused(|| when(is(thread(), 0), all), &format!("a group of staged copies {wherever}"));
    refused(|| when(is(simdgroup(), 0), all), &format!("a group of staged copies {wherever}"));
    refused(
        || {
            stage();
            commit_staged();
            when(is(lane(), 0), || wait_staged(0));
            wait_staged(0);
        },
        &format!("a wait for staged copies {wherever}"),
    );
    accepted(|| when(is(group(0), 0), all));
    accepted(|| {
        when(is(thread(), 0), stage);
        commit_staged();
        wait_staged(0);
    });
}

#[test]
fn copies_are_waited_for() {
    let left = "the kernel may end while copies are on their way: wait for all";
    let idle = "no groups can be on their way but those that may stay so";
    let (commit, wait) = (commit_staged, wait_staged);
    refused(commit, left);
    accepted(|| {
        commit();
        wait(0);
    });
    refused(
        || {
            shared::<U32>("s", 64).stage::<1>(0, In::declare("x", None), 0);
        },
        "what is staged here is in no group",
    );
    refused(
        || {
            (0..3).for_each(|_| commit());
            wait(1);
        },
        left,
    );
    refused(|| wait(0), idle);
    refused(
        || {
            commit();
            wait(1);
            wait(0);
        },
        idle,
    );
    // in one of two branches
    refused(|| when(is(group(0), 0), commit), left);
    refused(
        || {
            commit();
            when(is(group(0), 0), || wait(0));
        },
        left,
    );
    // in a loop
    refused(|| times(val(3), |_| commit()), left);
    let ring = |ends: bool| {
        move || {
            commit();
            commit();
            times(val(3), |_| {
                wait(1);
                commit();
            });
            if ends {
                wait(0);
            }
        }
    };
    accepted(ring(true));
    refused(ring(false), left);
    // the first round has nothing to wait for, later ones have
    accepted(|| {
        times(val(3), |_| {
            wait(0);
            commit();
        });
        wait(0);
    });
    refused(
        || {
            times(val(3), |_| {
                wait(1);
                commit();
                wait(0);
            });
        },
        idle,
    );
    // of as many as one likes no more than so many are left
    accepted(|| {
        times(val(9), |_| commit());
        wait(2);
        wait(1);
        wait(0);
    });
    refused(
        || {
            times(val(9), |_| commit());
            wait(2);
            wait(2);
        },
        idle,
    );
}
