//! Weights that are read where they lie: the same results as those that were copied, and nothing allocated for them.

use std::{fs, path::Path, sync::Arc};

use tempfile::TempDir;
use tessera_formats::{Bytes, Checkpoint};
use tessera_gpu::{
    Checks,
    device::{self, Device, DeviceError},
    sim::Sim,
};
use tessera_graph::{
    Backend, BackendError, Batch, KvType, Limits, MemoryReport, NO_SLOT, Sampling, Weights,
    testing::Storage, unwatched,
};
use tessera_kernels::{codes::Matrix, rms_norm::RmsNorm};
use tessera_models::{Bound, BuildOptions, open};
use tessera_quant::{Float, Packing, encode};
use tessera_tile::Record;

const LIMITS: Limits = Limits { tokens: 16, outputs: 16, runs: 1, context: 64, kv: KvType::F32 };

/// A tiny model of those that `tessera-models` is tested with; its tensors begin at this remainder modulo 16.
fn model(case: &str, remainder: usize) -> Bound {
    let folder = TempDir::new().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures");
    let own = fixtures.join(case);
    for source in [own.parent().unwrap(), &own] {
        for entry in fs::read_dir(source).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let to = folder.path().join(name);
            if name.ends_with(".safetensors") && !name.starts_with("golden") {
                fs::write(to, moved(&fs::read(path).unwrap(), remainder)).unwrap();
            } else if path.is_file() && name.ends_with(".json") {
                fs::copy(&path, to).unwrap();
            }
        }
    }
    open(&Checkpoint::open(folder.path()).unwrap(), &BuildOptions { context: None }).unwrap()
}

/// A file of the same tensors, their bytes at another remainder modulo 16.
fn moved(file: &[u8], remainder: usize) -> Vec<u8> {
    let (len, rest) = file.split_at(8);
    let len = u64::from_le_bytes(len.try_into().unwrap()) as usize;
    let (header, tensors) = rest.split_at(len);
    let mut header = header.to_vec();
    while (8 + header.len()) % 16 != remainder {
        header.push(b' ');
    }
    [&(header.len() as u64).to_le_bytes()[..], &header, tensors].concat()
}

/// The same weights in memory of the process's own.
fn copied(weights: &Weights) -> Weights {
    let copy = |bytes: &Bytes| Bytes::from(bytes.to_vec());
    let mut weights = weights.clone();
    for weight in &mut weights.0 {
        weight.codes = copy(&weight.codes);
        weight.scales = weight.scales.as_ref().map(copy);
        weight.biases = weight.biases.as_ref().map(copy);
    }
    weights
}

/// Bits of the logits after a prompt and after some tokens, and what the model held.
fn decode(model: &Bound, weights: &Weights) -> (Vec<Vec<u32>>, MemoryReport) {
    let (graph, backend) = (&model.graph, tessera_gpu::sim(Checks::Access));
    let told = backend.footprint(graph, weights, &LIMITS).unwrap();
    let mut exe = backend.compile(graph, weights.clone(), &LIMITS, &mut unwatched).unwrap();
    let held = exe.memory();
    assert_eq!((told.weights, told.mapped), (held.weights, held.mapped), "told and held");
    let storage = Storage::of(graph);
    storage.grow(exe.as_mut(), 4, 2);
    let (mut batch, mut sampled, mut all) = (Batch::default(), Vec::new(), Vec::new());
    let (mut tokens, mut position) = (vec![3, 17, 5, 40], 0);
    let mut row = vec![0.0f32; graph.vocab()];
    for _ in 0..4 {
        batch.clear();
        storage.push(&mut batch, &tokens, position, (NO_SLOT, &[]), |page| page as u32);
        position += tokens.len();
        let last = tokens.len() - 1;
        batch.outputs[last].sampling = Some(Arc::new(Sampling::default()));
        exe.step(&batch, &mut sampled).unwrap();
        exe.read_logits(last, &mut row);
        tokens = vec![sampled[last].token];
        all.push(row.iter().map(|x| x.to_bits()).collect());
    }
    (all, held)
}

#[test]
fn planes_in_files_are_not_copied() {
    // with the file moved by 8 bytes, planes of one model lie well: those behind a plane of an odd number of 8 bytes
    for (case, moved) in [
        ("qwen3_mlx/default", 0),
        ("llama/default", 0),
        ("gpt_oss_mlx/default", 0),
        ("qwen3_moe_mlx/default", 12),
    ] {
        let aligned = model(case, 0);
        let (wanted, all) = decode(&aligned, &copied(&aligned.weights));
        assert_eq!(all.mapped, 0, "{case}: what is in no file");
        let (found, held) = decode(&aligned, &aligned.weights);
        assert!(found == wanted, "{case}: other logits than those of copied weights");
        println!(
            "{case}: {} bytes mapped, {} copied, of {}",
            held.mapped, held.weights, all.weights
        );
        assert!(held.mapped > 0, "{case}");
        assert!(held.weights < all.weights, "{case}: what is mapped is allocated all the same");
        let askew = model(case, 8);
        let (found, held) = decode(&askew, &askew.weights);
        assert!(found == wanted, "{case}: other logits of unaligned weights");
        assert_eq!(held.mapped, moved, "{case}: unaligned");
    }
}

/// What [`Matrix::stored`] says is a plane is what packing makes.
#[test]
fn stored_planes_are_those_that_packing_makes() {
    let mut whole = 0;
    for packing in Packing::all() {
        let cols = 256;
        let values: Vec<f32> = (0..3 * cols).map(|i| (i as f32 * 0.37).sin()).collect();
        let Ok(weight) = encode(packing, 3, cols, &values) else { continue };
        let matrix = Matrix::of(&weight);
        let packed = matrix.pack(&weight).unwrap();
        let stored = matrix.stored(&weight);
        assert_eq!(stored.len(), packed.planes.len());
        for (plane, stored) in packed.planes.iter().zip(&stored) {
            assert!(stored.is_none_or(|stored| stored[..] == plane[..]), "{packing:?}");
        }
        whole += usize::from(stored.iter().all(Option::is_some));
        let some = stored.iter().any(Option::is_some);
        assert_eq!(some, !matches!(packing, Packing::Ggml(_)), "{packing:?}");
    }
    // floats, and affine packings of 6 widths, 3 groups and 3 types of scales
    assert_eq!(whole, 3 + 54);
    let ragged = encode(Packing::Dense(Float::F32), 2, 40, &[1.0; 80]).unwrap();
    assert!(Matrix::of(&ragged).stored(&ragged)[0].is_none(), "rows of 40 columns are padded");
}

#[test]
fn numbers_that_are_not_finite_are_refused_where_they_lie() {
    for case in ["qwen3_mlx/default", "llama/default"] {
        let refused = |model: &Bound, weights| {
            let compiled = tessera_gpu::sim(Checks::Access).compile(
                &model.graph,
                weights,
                &LIMITS,
                &mut unwatched,
            );
            match compiled.map(drop).unwrap_err() {
                BackendError::Weights(why) => why,
                other => panic!("{other}"),
            }
        };
        let model = broken(case);
        let wanted = refused(&model, copied(&model.weights));
        assert!(wanted.contains("not finite"), "{wanted}");
        assert_eq!(refused(&model, model.weights.clone()), wanted);
    }
}

/// A model whose largest tensor of floats has an infinite number near its end.
fn broken(case: &str) -> Bound {
    let whole = model(case, 0);
    let floats = |weight: &tessera_quant::Weight| match weight.packing {
        Packing::Dense(float) if weight.rows > 1 => Some((weight.codes.clone(), float)),
        Packing::Affine { scale, .. } => weight.scales.clone().map(|scales| (scales, scale)),
        _ => None,
    };
    let (bytes, float) = whole.weights.0.iter().find_map(floats).unwrap();
    let (map, start) = bytes.map().unwrap();
    let mut file = map.as_ref().to_vec();
    let (infinite, size): (&[u8], usize) = match float {
        Float::F32 => (&[0, 0, 0x80, 0x7f], 4),
        Float::F16 => (&[0, 0x7c], 2),
        Float::BF16 => (&[0x80, 0x7f], 2),
    };
    let at = start + bytes.len() - 3 * size;
    file[at..at + size].copy_from_slice(infinite);
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("model.safetensors"), file).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures");
    let own = fixtures.join(case);
    for source in [own.parent().unwrap(), &own] {
        let config = source.join("config.json");
        if config.is_file() {
            fs::copy(config, folder.path().join("config.json")).unwrap();
        }
    }
    open(&Checkpoint::open(folder.path()).unwrap(), &BuildOptions { context: None }).unwrap()
}

#[test]
fn a_mapped_file_is_never_written() {
    let model = model("llama/default", 0);
    let (map, start) = model.weights.0.iter().find_map(|weight| weight.codes.map()).unwrap();
    let mut sim = Sim::new(Checks::All);
    let (mut buffer, first) = sim.adopt(&map, start..start + 64).unwrap();
    let mut read = [0; 64];
    sim.read(&buffer, first, &mut read).unwrap();
    assert_eq!(read, map.as_ref()[start..start + 64]);
    assert!(sim.write(&mut buffer, first, &[1]).is_err());
    let other = sim.allocate(64, "a test").unwrap();
    assert!(sim.copy((&other, 0), (&mut buffer, first), 1).is_err());
    assert!(sim.adopt(&map, start..map.as_ref().len() + 1).is_none());
    let norm = RmsNorm { per_head: false, threads: 64 }.record().unwrap();
    let kernel = sim.build(&[norm]).unwrap().remove(0);
    let mut commands = sim.begin().unwrap();
    let part = |buffer| device::Bound { buffer, offset: 0, bytes: 64 };
    let parts = [part(&other), part(&other), part(&buffer)];
    let refused = sim.dispatch(&mut commands, &kernel, &parts, &[16, 1, 1, 0, 0], [1, 1, 1]);
    let DeviceError::Run(why) = refused.unwrap_err() else { panic!() };
    assert!(why.contains("its memory is lent"), "{why}");
}
