//! The device keeps to Metal's rules, and tells of what Metal refuses.

mod common;

use common::{Step, clean, expected, programs, random, watched};
use fake_metal::{Settings, World, metal::Metal, spy::Spy};
use tessera_gpu::{
    MetalOptions,
    device::{Bound, Device, DeviceError},
    queue::Queue,
};
use tessera_tile::sim::Checks;

fn world() -> Settings {
    Settings::default()
}

#[test]
fn a_step_gives_the_simulators_bits_in_any_order() {
    for seed in 1..=8 {
        let world = World::enter(Settings { seed, ..world() });
        let mut step = watched(None);
        for round in 0..2 {
            let x = random(seed * 10 + round, common::WIDTH);
            assert_eq!(step.run(&x).unwrap(), expected(&x), "seed {seed}, round {round}");
        }
        let counters = step.counters();
        assert_eq!((counters.commits, counters.waits), (2, 2));
        assert_eq!((world.commits(), world.dispatches()), (2, 18));
        assert_eq!((counters.launches, counters.barriers), (18, 10));
        assert_eq!(world.texts(), 1, "kernels are compiled once, when they are built");
        drop(step);
        clean(&world);
    }
}

#[test]
fn macs_without_a_gpu_or_with_an_old_one_have_none() {
    for settings in [Settings { present: false, ..world() }, Settings { family: 6, ..world() }] {
        let world = World::enter(settings);
        let absent = Metal::open(None, None, &MetalOptions::default()).unwrap_err();
        assert!(matches!(absent, DeviceError::Absent { device: "metal", .. }), "{absent}");
        clean(&world);
    }
}

#[test]
fn a_gpu_is_told_from_others() {
    let world = World::enter(Settings { macos: 26, family: 8, ..world() });
    let metal = Metal::open(None, None, &MetalOptions::default()).unwrap();
    assert_eq!((metal.name(), &*metal.identity()), ("metal", "Fake 8, Version 26.1 (Build 0)"));
    drop(metal);
    clean(&world);
}

/// Builds the step's kernels in a world.
fn build(settings: Settings) -> Result<Vec<String>, DeviceError> {
    let world = World::enter(settings);
    let built = Spy::open(None)
        .and_then(|mut spy| spy.build(&programs()))
        .map(|pipelines| pipelines.iter().map(|pipeline| format!("{pipeline:?}")).collect());
    clean(&world);
    built
}

#[test]
fn kernels_beyond_the_gpus_limits_are_refused_by_name() {
    let names: Vec<String> = programs().into_iter().map(|program| program.name).collect();
    let refused = |settings: Settings| match build(settings).unwrap_err() {
        DeviceError::Build { kernel, why } => (kernel, why),
        other => panic!("{other}"),
    };
    // the first kernel has 64 threads, the last 128
    let (kernel, why) = refused(Settings { threads: 96, ..world() });
    assert_eq!(kernel, names[2]);
    assert!(why.contains("threadgroups of 96 at most"), "{why}");
    let (kernel, why) = refused(Settings { lanes: 64, ..world() });
    assert_eq!(kernel, names[0]);
    assert!(why.contains("simdgroups of 64"), "{why}");
    let (kernel, why) = refused(Settings { shared: 4, ..world() });
    assert_eq!(kernel, names[0]);
    assert!(why.contains("threadgroup memory"), "{why}");
}

#[test]
fn what_the_compiler_says_names_the_kernel() {
    let name = programs()[1].name.clone();
    let error = build(Settings { refused: Some(name.clone()), ..world() }).unwrap_err();
    let DeviceError::Build { kernel, why } = error else { panic!("{error}") };
    assert_eq!(kernel, name);
    assert!(why.contains("is refused (FakeMetalDomain 3)"), "{why}");
}

#[test]
fn both_ways_of_safe_arithmetic_are_known() {
    for macos in [13, 14, 15, 26] {
        // the fake notes options that are not those of the text
        build(Settings { macos, ..world() }).unwrap();
    }
}

#[test]
fn memory_is_zero_at_first_and_has_an_end() {
    let world = World::enter(Settings { memory: 1 << 20, ..world() });
    let mut metal = Metal::open(None, None, &MetalOptions::default()).unwrap();
    let mut buffer = metal.allocate(100, "a test").unwrap();
    let mut read = vec![1; 100];
    metal.read(&buffer, 0, &mut read).unwrap();
    assert_eq!(read, [0; 100]);
    metal.write(&mut buffer, 40, &[7; 60]).unwrap();
    metal.read(&buffer, 39, &mut read[..2]).unwrap();
    assert_eq!(read[..2], [0, 7]);
    for (offset, bytes) in [(41, 60), (101, 0), (usize::MAX, 2)] {
        let mut bytes = vec![0; bytes];
        assert!(matches!(metal.write(&mut buffer, offset, &bytes), Err(DeviceError::Run(_))));
        assert!(matches!(metal.read(&buffer, offset, &mut bytes), Err(DeviceError::Run(_))));
    }
    let mut other = metal.allocate(64, "a test").unwrap();
    metal.copy((&buffer, 36), (&mut other, 8), 16).unwrap();
    metal.read(&other, 0, &mut read[..32]).unwrap();
    assert_eq!(read[..32], [[0; 12].as_slice(), &[7; 12], &[0; 8]].concat());
    assert!(metal.copy((&buffer, 90), (&mut other, 0), 11).is_err());
    assert!(metal.copy((&buffer, 0), (&mut other, 60), 5).is_err());
    // nothing at all is a buffer too
    drop(metal.allocate(0, "nothing").unwrap());
    for bytes in [(1 << 20) - 10, 1 << 21, usize::MAX] {
        let error = metal.allocate(bytes, "too much").unwrap_err();
        assert_eq!(error, DeviceError::Memory { bytes, what: "too much" });
    }
    drop((buffer, other, metal));
    clean(&world);
}

#[test]
fn launches_with_wrong_parts_are_refused_before_metal_sees_them() {
    let world = World::enter(world());
    let mut queue = Queue::new(Spy::open(None).unwrap());
    let pipelines = queue.build(&programs()).unwrap();
    let mut buffer = queue.device().allocate(4096, "a test").unwrap();
    let mut recording = queue.record().unwrap();
    let part = |offset, bytes| Bound { buffer: &buffer, offset, bytes };
    let args = [96, 1, 1, 0, 0];
    let wrong: [(&[Bound<'_, _>], &[u32]); 7] = [
        (&[part(0, 384), part(384, 384)], &args),
        (&[part(0, 384), part(384, 384), part(768, 384)], &args[..4]),
        (&[part(0, 384), part(384, 384), part(772, 384)], &args),
        (&[part(0, 384), part(384, 384), part(4096, 16)], &args),
        (&[part(0, 384), part(384, 384), part(4080, 384)], &args),
        (&[part(0, 384), part(384, 384), part(usize::MAX - 15, 384)], &args),
        (&[part(0, 384), part(384, 0), part(768, 384)], &args),
    ];
    for (buffers, args) in wrong {
        let error = recording.dispatch(&pipelines[0], buffers, args, [1, 1, 1]).unwrap_err();
        let DeviceError::Run(why) = error else { panic!("{error}") };
        assert!(why.contains("rms_norm"), "{why}");
    }
    assert!(recording.download(part(4000, 100)).is_err());
    // no threadgroups: nothing to do
    let right = [part(0, 384), part(384, 384), part(768, 384)];
    recording.dispatch(&pipelines[0], &right, &args, [1, 0, 1]).unwrap();
    recording.dispatch(&pipelines[0], &right, &args, [1, 1, 1]).unwrap();
    let late = recording.upload(&mut buffer, 0, &[1]).unwrap_err();
    assert_eq!(late, DeviceError::Run("an upload after a launch".into()));
    // given up: the encoder is ended, nothing runs
    drop(recording);
    drop((pipelines, buffer, queue));
    assert_eq!(world.dispatches(), 0);
    clean(&world);
}

#[test]
fn a_kernels_fault_is_the_steps_error() {
    let world = World::enter(world());
    let mut queue = Queue::new(Spy::open(None).unwrap());
    let pipelines = queue.build(&programs()).unwrap();
    let buffer = queue.device().allocate(4096, "a test").unwrap();
    let part = |offset, bytes| Bound { buffer: &buffer, offset, bytes };
    let mut recording = queue.record().unwrap();
    let buffers = [part(0, 384), part(512, 16), part(1024, 384)];
    recording.dispatch(&pipelines[0], &buffers, &[96, 1, 1, 0, 0], [1, 1, 1]).unwrap();
    let error = recording.commit().unwrap().wait(&mut Vec::new()).unwrap_err();
    let DeviceError::Run(why) = error else { panic!("{error}") };
    assert!(why.contains("weight[4]") && why.contains("(FakeMetalDomain 3)"), "{why}");
    drop((pipelines, buffer, queue));
    clean(&world);
}

#[test]
fn whoever_does_not_wait_waits_all_the_same() {
    let world = World::enter(Settings { checks: Checks::Access, ..world() });
    let mut queue = Queue::new(Spy::open(None).unwrap());
    let pipelines = queue.build(&programs()).unwrap();
    let mut buffer = queue.device().allocate(4096, "a test").unwrap();
    let part = |offset, bytes| Bound { buffer: &buffer, offset, bytes };
    let mut recording = queue.record().unwrap();
    let buffers = [part(0, 384), part(512, 384), part(1024, 384)];
    recording.dispatch(&pipelines[0], &buffers, &[96, 1, 1, 0, 0], [1, 1, 1]).unwrap();
    drop(recording.commit().unwrap());
    assert_eq!(world.dispatches(), 1);
    queue.device().write(&mut buffer, 0, &[1]).unwrap();
    drop((pipelines, buffer, queue));
    clean(&world);
}

#[test]
fn a_model_may_move_to_another_thread() {
    let world = World::enter(world());
    let mut step = Step::new(Spy::open(None).unwrap()).unwrap();
    let x = random(5, common::WIDTH);
    let wanted = expected(&x);
    std::thread::spawn(move || assert_eq!(step.run(&x).unwrap(), wanted)).join().unwrap();
    clean(&world);
}
