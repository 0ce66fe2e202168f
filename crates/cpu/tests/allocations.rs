//! A step allocates nothing once warm, on any of its threads.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use common::{
    Noise, Shape, compile, cpu,
    hybrid::{Hybrid, Layer, VOCAB, hybrid},
    mixture::Mix,
    model,
};
use tessera_cpu::Level;
use tessera_graph::{
    Batch, Graph, HeadOrder, KvType, NO_SLOT, RouteGroups, Sampling, Save, TokenCount, Weights,
    testing::{Storage, push},
};
use tessera_quant::Packing;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting.
struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, since the harness allocates between two.
#[test]
fn a_warm_step_allocates_nothing() {
    attention();
    recurrences();
}

/// Prefill, then decode of two sequences past a page and an attention split, with everything that sampling
/// can be asked for.
fn attention() {
    let shape = Shape { window: Some(100), ..Shape::default() };
    let packing = Packing::Ggml(tessera_formats::GgmlType::Q4_1);
    let groups = Some(RouteGroups { count: 8, kept: 4 });
    let mix = Mix { deep: true, experts: 64, k: 5, groups, vocab: 50, ..Mix::default() };
    for parts in [model(&shape, packing, 1), mix.model(packing, 1)] {
        allocates_nothing(&parts, shape.vocab);
    }
}

fn allocates_nothing(parts: &(Graph, Weights), vocab: usize) {
    let windows: Vec<Option<usize>> = parts.0.windows().collect();
    let sampling = Arc::new(Sampling {
        temperature: 0.9,
        top_k: 20,
        top_p: 0.9,
        min_p: 0.02,
        repetition_penalty: 1.1,
        bias: vec![(1, 0.5)],
        logprobs: true,
        top_logprobs: 3,
        ..Sampling::default()
    });
    for precise in [false, true] {
        let mut exe = compile(&cpu(Level::best(), 3, precise), parts, KvType::F16);
        for group in 0..windows.len() {
            exe.grow(group, 32).unwrap();
        }
        let mut noise = Noise(4);
        let (mut batch, mut sampled) = (Batch::default(), Vec::new());
        // batches are made before counting: building them is the engine's, and tested there
        let mut batches = Vec::new();
        let mut position = 0;
        for len in [250, 30].into_iter().chain([1; 40]) {
            batch.clear();
            batch.history.extend((0..10).map(|token| TokenCount { token, generated: token % 2 }));
            for sequence in 0..2 {
                let tokens = noise.tokens(len, vocab);
                push(&mut batch, &tokens, position, &windows, |page| (2 * page + sequence) as u32);
            }
            for output in &mut batch.outputs {
                output.sampling = Some(sampling.clone());
                output.history = (0, 10);
            }
            position += len;
            batches.push(batch.clone());
        }
        let (warm, counted) = batches.split_at(5);
        for batch in warm {
            exe.step(batch, &mut sampled).unwrap();
        }
        let before = ALLOCATIONS.load(Relaxed);
        for batch in counted {
            exe.step(batch, &mut sampled).unwrap();
        }
        assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0);
    }
}

/// Chunks, tokens, and saves after each of a few, of two sequences with recurrent layers.
fn recurrences() {
    let layers = vec![
        Layer::Scan { heads: 4, groups: 2, head_dim: 20, state: 9, log: true },
        Layer::Attention(None),
        Layer::Delta {
            heads: 4,
            key_heads: 2,
            order: HeadOrder::Grouped,
            key_dim: 16,
            value_dim: 24,
            log: true,
        },
    ];
    let parts = hybrid(&Hybrid { hidden: 32, kernel: 4, layers }, 1);
    let storage = Storage::of(&parts.0);
    let mut exe = compile(&cpu(Level::best(), 3, true), &parts, KvType::F16);
    storage.grow(&mut *exe, 32, 16);
    let mut noise = Noise(4);
    let mut position = 0;
    let mut batches = Vec::new();
    for len in [150, 1, 4, 1, 70, 4, 1] {
        let mut batch = Batch::default();
        for sequence in 0..2u32 {
            let tokens = noise.tokens(len, VOCAB);
            let after = if len == 4 { 1 } else { len as u32 };
            let saves: Vec<Save> = (after..=len as u32)
                .map(|after| Save { after, slot: (len as u32 - after) * 2 + sequence })
                .collect();
            let slot = if position == 0 { NO_SLOT } else { sequence };
            storage.push(&mut batch, &tokens, position, (slot, &saves), |page| {
                2 * page as u32 + sequence
            });
        }
        position += len;
        batches.push(batch);
    }
    let mut sampled = Vec::new();
    let (warm, counted) = batches.split_at(3);
    for batch in warm {
        exe.step(batch, &mut sampled).unwrap();
    }
    let before = ALLOCATIONS.load(Relaxed);
    for batch in counted {
        exe.step(batch, &mut sampled).unwrap();
    }
    assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0);
}
