//! The CUDA device where there is a GPU, and what it says where there is none.

#![cfg(feature = "cuda")]

use tessera_gpu::{
    cuda::{Cuda, Options, nvrtc::Nvrtc},
    device::{Bound, Device, DeviceError},
};
use tessera_kernels::select::{SelectRows, SelectRowsArgs};
use tessera_tile::{Arguments, Record, Spec};

#[test]
fn a_kernel_runs_or_the_driver_is_missed() {
    let mut device = match Cuda::open(Options { cache: None, ..Options::default() }) {
        Ok(device) => device,
        Err(DeviceError::Absent { device: "cuda", why }) => {
            // nothing panics, and it says what to do
            assert!(why.contains("driver") || why.contains("needed"), "{why}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let bytes = |words: &[u32]| words.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let args = SelectRowsArgs { rows: 2, width: 3 };
    let pipeline =
        device.build(&[SelectRows.record().expect("records")]).expect("builds").remove(0);
    let mut memory = [36, 8, 24].map(|bytes| device.allocate(bytes, "a test").expect("memory"));
    device.write(&mut memory[0], 0, &bytes(&[1, 2, 3, 4, 5, 6, 7, 8, 9])).expect("written");
    for rows in [[2, 0], [1, 1], [0, 2]] {
        let mut commands = device.begin().expect("begun");
        device.upload(&mut commands, &mut memory[1], 0, &bytes(&rows)).expect("uploaded");
        let whole = |i: usize| Bound { buffer: &memory[i], offset: 0, bytes: memory[i].bytes() };
        let bound = [whole(0), whole(1), whole(2)];
        device
            .dispatch(&mut commands, &pipeline, &bound, &args.words(), SelectRows.grid(&args))
            .expect("launched");
        device.download(&mut commands, bound[2]).expect("asked for");
        let pending = device.commit(commands).expect("committed");
        let mut got = Vec::new();
        device.wait(pending, &mut got).expect("awaited");
        let wanted: Vec<u32> =
            rows.iter().flat_map(|row| (1..=3).map(move |i| row * 3 + i)).collect();
        assert_eq!(got, bytes(&wanted));
    }
}

/// What is written in pieces larger and smaller than the pinned buffers, which take turns, is there, and nothing else is.
#[test]
fn uploads_arrive_whole() {
    let options = Options { cache: None, ..Options::default() };
    let Ok(mut device) = Cuda::open(options) else { return };
    let free = device.memory().expect("known").expect("it ends").free;
    let bytes: Vec<u8> =
        (0..40_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut memory = device.allocate(bytes.len() + 2, "a test").expect("memory");
    assert!(device.memory().expect("known").expect("it ends").free < free);
    for _ in 0..2 {
        let (mut at, mut len) = (0, 1);
        while at < bytes.len() {
            let end = bytes.len().min(at + len);
            device.write(&mut memory, at + 1, &bytes[at..end]).expect("written");
            (at, len) = (end, len * 3);
        }
    }
    let mut got = vec![9; bytes.len() + 2];
    device.read(&memory, 0, &mut got).expect("read");
    assert_eq!((got[0], got[got.len() - 1]), (0, 0));
    assert!(got[1..got.len() - 1] == bytes);
    assert!(device.write(&mut memory, 3, &bytes).is_err(), "beyond the end");
}

#[test]
fn what_is_no_compiler_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let missing = folder.path().join("libnvrtc.so");
    let error = Nvrtc::open(Some(&missing)).expect_err("nothing there");
    assert!(error.contains("libnvrtc.so"), "{error}");
    std::fs::write(&missing, b"no library").expect("written");
    assert!(Nvrtc::open(Some(&missing)).is_err());
}
