//! Once warm, the scheduler allocates nothing between two steps: planning, page tables, the batch and
//! the delivery of tokens all reuse what they have.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::{Arc, Mutex},
};

use common::{custom, load, options, prompt, request};
use tessera_engine::{LoadOptions, Request};
use tessera_graph::{
    Backend, BackendError, Batch, Executable, Footprint, Graph, Limits, MemoryReport, Progress,
    Sampled, Weights,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches a thread-local
// without a destructor, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
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

/// Draws the same token always, and notes how much was allocated between its steps.
struct Constant {
    token: u32,
    /// Held while steps shall wait.
    gate: Arc<Mutex<()>>,
    between: Arc<Mutex<Vec<usize>>>,
    last: usize,
}

impl Backend for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn footprint(&self, graph: &Graph, _: &Weights, _: &Limits) -> Result<Footprint, BackendError> {
        let blocks = graph.groups().iter().map(|_| self.block_bytes(0)).collect();
        Ok(Footprint { blocks, ..Footprint::default() })
    }

    fn compile(
        &self,
        _: &Graph,
        _: Weights,
        _: &Limits,
        _: &mut Progress<'_>,
    ) -> Result<Box<dyn Executable>, BackendError> {
        let (gate, between) = (self.gate.clone(), self.between.clone());
        Ok(Box::new(Self { token: self.token, gate, between, last: 0 }))
    }
}

impl Executable for Constant {
    fn grow(&mut self, _: usize, _: usize) -> Result<(), BackendError> {
        Ok(())
    }

    fn block_bytes(&self, _: usize) -> usize {
        1
    }

    fn copy(&mut self, _: usize, _: u32, _: u32) -> Result<(), BackendError> {
        Ok(())
    }

    fn export(&self, _: usize, _: u32, _: &mut Vec<u8>) -> Result<(), BackendError> {
        Ok(())
    }

    fn import(&mut self, _: usize, _: u32, _: &[u8]) -> Result<(), BackendError> {
        Ok(())
    }

    fn step(&mut self, batch: &Batch, sampled: &mut Vec<Sampled>) -> Result<(), BackendError> {
        let now = ALLOCATIONS.get();
        self.between.lock().unwrap().push(now - self.last);
        drop(self.gate.lock().unwrap());
        sampled.resize_with(batch.outputs.len(), Sampled::default);
        sampled.iter_mut().for_each(|sampled| sampled.token = self.token);
        self.last = ALLOCATIONS.get();
        Ok(())
    }

    fn read_logits(&self, _: usize, _: &mut [f32]) {}

    fn memory(&self) -> MemoryReport {
        MemoryReport::default()
    }
}

/// Allocations between the steps of `requests` running together, after a first round of the same.
fn warm(token: u32, requests: &[Request]) -> Vec<usize> {
    let between = Arc::new(Mutex::new(Vec::with_capacity(1 << 16)));
    let gate = Arc::new(Mutex::new(()));
    let backend = {
        let (gate, between) = (gate.clone(), between.clone());
        custom(move || {
            let (gate, between) = (gate.clone(), between.clone());
            Box::new(Constant { token, gate, between, last: 0 })
        })
    };
    let model = load(LoadOptions { backend, ..options() });
    for _ in 0..2 {
        between.lock().unwrap().clear();
        // All are there before the first step ends, so that both rounds have the same batches.
        let held = gate.lock().unwrap();
        let running: Vec<_> = requests.iter().map(|r| model.generate(r.clone())).collect();
        drop(held);
        running.into_iter().for_each(|generation| drop(generation.collect().unwrap()));
    }
    let between = between.lock().unwrap().clone();
    // The first steps take the requests in.
    between[requests.len() * 3..].to_vec()
}

#[test]
fn nothing_is_allocated_between_warm_steps() {
    // A control token shows no text, so the sink has nothing to allocate either. Penalties and
    // pages of both groups are in play.
    let requests: Vec<_> = (0..3).map(|i| request(prompt(70, i), 500, 1)).collect();
    let between = warm(260, &requests);
    assert!(between.len() > 300, "{}", between.len());
    // Only the queue of a reader that falls behind doubles now and then, here from 64 events to 512.
    let total: usize = between.iter().sum();
    assert!(total <= 3 * requests.len(), "{between:?}");
}

#[test]
fn visible_text_allocates_a_little() {
    let between = warm(65, &[request(prompt(70, 1), 500, 1)]);
    let most = between.iter().max().unwrap();
    assert!(*most <= 6, "{between:?}");
}
