//! A mapped file as memory of the GPU: read where it lies, never written, and mapped until its last use.

mod common;

use std::path::Path;

use common::{Step, WIDTH, aligned, bytes, clean, expected, programs, random};
use fake_metal::{Settings, World, metal::Metal, spy::Spy};
use tempfile::TempDir;
use tessera_formats::{Dtype, Tensor, safetensors};
use tessera_gpu::{
    MetalOptions,
    device::{Bound, Device, DeviceError, Map},
    queue::Queue,
};

/// A file's numbers.
const LEN: usize = 5000;

/// A mapped file with numbers, and where they begin.
fn file() -> (TempDir, Map, usize) {
    let folder = TempDir::new().unwrap();
    let [rough, path] = ["rough", "file"].map(|name| folder.path().join(name));
    let numbers = Tensor {
        name: "x".into(),
        dtype: Dtype::F32,
        shape: vec![LEN],
        bytes: bytes(&random(3, LEN)).into(),
    };
    safetensors::write(&rough, &[numbers], &[]).unwrap();
    std::fs::write(&path, aligned(&std::fs::read(&rough).unwrap())).unwrap();
    let (map, start) = mapped(&path);
    (folder, map, start)
}

fn mapped(path: &Path) -> (Map, usize) {
    safetensors::File::open(path).unwrap().tensors[0].bytes.map().unwrap()
}

/// Launches the norm of `x` by a weight, which is given by its buffer and offset.
fn norm<'a, D: Device>(
    queue: &'a mut Queue<D>,
    pipeline: &D::Pipeline,
    x: &D::Buffer,
    weight: (&D::Buffer, usize),
) -> Result<tessera_gpu::queue::Committed<'a, D>, DeviceError> {
    let mut recording = queue.record()?;
    let x = |offset| Bound { buffer: x, offset, bytes: WIDTH * 4 };
    let weight = Bound { buffer: weight.0, offset: weight.1, bytes: WIDTH * 4 };
    let eps = 1e-5f32.to_bits();
    recording.dispatch(
        pipeline,
        &[x(0), weight, x(512)],
        &[WIDTH as u32, 1, 1, eps, 0],
        [1, 1, 1],
    )?;
    recording.download(x(512))?;
    recording.commit()
}

#[test]
fn a_file_is_read_where_it_lies_and_mapped_until_then() {
    for (macos, indirect) in [(14, false), (14, true), (15, false), (15, true)] {
        let world = World::enter(Settings { macos, ..Settings::default() });
        let options = MetalOptions { indirect, ..MetalOptions::default() };
        let mut queue = Queue::new(Spy::with(None, &options).unwrap());
        let pipelines = queue.build(&programs()).unwrap();
        let mut x = queue.device().allocate(1024, "x").unwrap();
        queue.device().write(&mut x, 0, &bytes(&random(5, WIDTH))).unwrap();
        let (folder, map, start) = file();
        // somewhere in the middle, far from the edges of pages
        let range = start + 8000..start + 8000 + WIDTH * 4;
        let mut copy = queue.device().allocate(WIDTH * 4, "a copy").unwrap();
        queue.device().write(&mut copy, 0, &map.as_ref()[range.clone()]).unwrap();
        let mut wanted = Vec::new();
        norm(&mut queue, &pipelines[0], &x, (&copy, 0)).unwrap().wait(&mut wanted).unwrap();

        let before = world.live();
        let (lent, offset) = queue.device().adopt(&map, range.clone()).unwrap();
        assert_eq!(world.live(), before + 1, "a buffer");
        let mut read = vec![0; WIDTH * 4];
        queue.device().read(&lent, offset, &mut read).unwrap();
        assert_eq!(read, map.as_ref()[range]);
        drop((map, folder));
        let mut found = Vec::new();
        for _ in 0..3 {
            let committed = norm(&mut queue, &pipelines[0], &x, (&lent, offset)).unwrap();
            assert_eq!(world.unmapped(), 0, "while the GPU works");
            committed.wait(&mut found).unwrap();
            assert_eq!(found, wanted, "macOS {macos}, indirect: {indirect}");
        }
        drop(lent);
        // the residency set lets it go when the next step begins
        drop(queue.record().unwrap());
        assert_eq!(world.unmapped(), 1, "once");
        drop((x, copy, pipelines, queue));
        assert_eq!(world.unmapped(), 1);
        clean(&world);
    }
}

#[test]
fn a_step_in_flight_keeps_a_file_mapped() {
    let world = World::enter(Settings::default());
    let mut queue = Queue::new(Spy::open(None).unwrap());
    let pipelines = queue.build(&programs()).unwrap();
    let x = queue.device().allocate(1024, "x").unwrap();
    let (_folder, map, start) = file();
    let (lent, offset) = queue.device().adopt(&map, start..start + 1024).unwrap();
    drop(map);
    let committed = norm(&mut queue, &pipelines[0], &x, (&lent, offset)).unwrap();
    drop(lent);
    assert_eq!(world.unmapped(), 0);
    committed.wait(&mut Vec::new()).unwrap();
    drop((x, pipelines, queue));
    assert_eq!(world.unmapped(), 1);
    clean(&world);
}

#[test]
fn a_file_is_never_written() {
    let world = World::enter(Settings::default());
    let mut queue = Queue::new(Spy::open(None).unwrap());
    let pipelines = queue.build(&programs()).unwrap();
    let other = queue.device().allocate(1024, "x").unwrap();
    let (_folder, map, start) = file();
    let (mut lent, offset) = queue.device().adopt(&map, start..start + 2048).unwrap();
    let refused = |done: Result<(), DeviceError>| {
        let DeviceError::Run(why) = done.unwrap_err() else { panic!() };
        assert!(why.contains("mapped file"), "{why}");
    };
    refused(queue.device().write(&mut lent, offset, &[1]));
    refused(queue.device().copy((&other, 0), (&mut lent, offset), 16));
    refused(norm(&mut queue, &pipelines[0], &lent, (&other, 0)).map(drop));
    drop((lent, other, pipelines, queue));
    assert_eq!(world.dispatches(), 0);
    clean(&world);
}

#[test]
fn what_is_longer_than_a_buffer_is_not_taken() {
    let world = World::enter(Settings { longest: 16 << 10, ..Settings::default() });
    let mut metal = Metal::open(None, None, &MetalOptions::default()).unwrap();
    assert_eq!(metal.longest(), 8 << 10, "two pages of 4096 less, where pages are that large");
    let (_folder, map, start) = file();
    assert!(metal.adopt(&map, start..start + 20_000).is_none());
    assert!(metal.adopt(&map, start..map.as_ref().len() + 1).is_none(), "not all there");
    drop(metal.adopt(&map, start..start + metal.longest()).unwrap());
    drop(metal);
    clean(&world);
}

#[test]
fn a_step_is_right_beside_files() {
    // a device's residency changes between steps
    let world = World::enter(Settings::default());
    let mut step: Step<Spy> = common::indirect(None);
    let (_folder, map, start) = file();
    let mut lent = Vec::new();
    for round in 0..6 {
        lent.push(step.queue.device().adopt(&map, start..start + 4096).unwrap());
        if round == 4 {
            lent.clear();
        }
        let x = random(round, WIDTH);
        assert_eq!(step.run(&x).unwrap(), expected(&x));
    }
    drop((step, lent));
    assert_eq!(world.unmapped(), 6);
    clean(&world);
}
