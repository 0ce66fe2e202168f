//! Whoever leaves leaves nothing behind.

mod common;

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use common::{assert_empty, custom, ids, load, options, parts, prompt, request};
use futures_core::Stream;
use tessera_cpu::{Cpu, CpuOptions};
use tessera_engine::{
    Canceller, Event, FinishReason, GenerateError, HubOptions, Lifecycle, LoadError, LoadOptions,
    Loading, Model, Request, Stage,
};
use tessera_graph::{
    Backend, BackendError, Executable, Footprint, Graph, Limits, Progress, Weights, oracle::Oracle,
};

#[test]
fn a_cancelled_request_says_so_and_keeps_what_was_drawn() {
    let model = load(options());
    let mut generation = model.generate(request(prompt(10, 1), 900, 1));
    let mut tokens = 0;
    let finished = loop {
        match generation.next_blocking().unwrap().unwrap() {
            Event::Token(_) => {
                tokens += 1;
                if tokens == 3 {
                    generation.cancel();
                }
            }
            Event::Finished(finished) => break finished,
            _ => {}
        }
    };
    assert_eq!(finished.reason, FinishReason::Cancelled);
    assert!((3..900).contains(&finished.usage.completion_tokens));
    assert_eq!(finished.usage.completion_tokens, tokens);
    assert!(generation.next_blocking().is_none());
    assert_empty(&model);
}

#[test]
fn a_storm_of_cancellations_leaves_no_page() {
    let model = load(LoadOptions { max_sequences: 5, ..options() });
    let steady = request(prompt(100, 77), 60, 7);
    let expected = ids(&model.generate(steady.clone()).collect().unwrap());
    let storm: Vec<_> = (0..4)
        .map(|thread: u32| {
            let model = model.clone();
            std::thread::spawn(move || {
                for i in 0..40u32 {
                    let len = 1 + (i * 37 + thread * 11) as usize % 200;
                    let session = model.session();
                    let request = request(prompt(len, i), 300, u64::from(i)).in_session(&session);
                    let mut generation = model.generate(request);
                    for _ in 0..(i + thread) % 9 {
                        generation.next_blocking();
                    }
                    match i % 3 {
                        0 => drop(session),
                        1 => generation.cancel(),
                        _ => {}
                    }
                }
            })
        })
        .collect();
    // Somebody works through it undisturbed.
    for _ in 0..3 {
        assert_eq!(ids(&model.generate(steady.clone()).collect().unwrap()), expected);
    }
    storm.into_iter().for_each(|thread| thread.join().unwrap());
    assert_empty(&model);
}

#[test]
fn more_than_may_wait_is_refused_not_queued() {
    let model = load(LoadOptions { max_sequences: 1, max_waiting: 2, ..options() });
    let long = || request(prompt(10, 1), 900, 1);
    let mut first = model.generate(long());
    assert!(matches!(first.next_blocking(), Some(Ok(Event::Started(_)))));
    let waiting = [model.generate(long()), model.generate(long())];
    let refused = model.generate(long()).collect();
    assert!(matches!(refused, Err(GenerateError::Overloaded { limit: 2 })), "{refused:?}");
    drop((first, waiting));
    assert_empty(&model);
    let short = Request { max_tokens: Some(1), ..long() };
    assert!(model.generate(short).collect().is_ok());
}

#[test]
fn unloading_ends_everything() {
    let model = load(options());
    let mut stream = model.lifecycle();
    let running = model.generate(request(prompt(10, 1), 900, 1));
    let session = model.session();
    model.unload().wait().unwrap();
    assert!(matches!(running.collect(), Err(GenerateError::Unloaded)));
    assert!(matches!(
        model.generate(request(prompt(10, 1), 1, 1).in_session(&session)).collect(),
        Err(GenerateError::Unloaded)
    ));
    assert!(matches!(model.score(vec![1, 2], 1).wait(), Err(GenerateError::Unloaded)));
    model.unload().wait().unwrap();
    assert_eq!(model.state(), Lifecycle::Unloaded);
    assert_eq!(model.status(), Default::default());
    drop((model, session));
    let states: Vec<_> = std::iter::from_fn(|| stream.next_blocking()).collect();
    assert_eq!(states.first(), Some(&Lifecycle::Ready));
    assert_eq!(states.last(), Some(&Lifecycle::Unloaded));
}

#[test]
fn the_last_one_to_leave_unloads() {
    let model = load(options());
    let mut stream = model.lifecycle();
    let generation = model.generate(request(prompt(10, 1), 30, 1));
    drop(model);
    // A generation keeps its model.
    assert_eq!(generation.collect().unwrap().tokens.len(), 30);
    let last = std::iter::from_fn(|| stream.next_blocking()).last();
    assert_eq!(last, Some(Lifecycle::Unloaded));
}

/// Polls without an executor; a real one would sleep until it is woken.
#[test]
fn generations_are_streams() {
    let model = load(options());
    let mut generation = Box::pin(model.generate(request(prompt(10, 1), 20, 1)));
    let mut cx = Context::from_waker(Waker::noop());
    let mut tokens = 0;
    loop {
        match generation.as_mut().poll_next(&mut cx) {
            Poll::Ready(Some(event)) => tokens += usize::from(matches!(event, Ok(Event::Token(_)))),
            Poll::Ready(None) => break,
            Poll::Pending => std::thread::yield_now(),
        }
    }
    assert_eq!(tokens, 20);
}

#[test]
fn loading_tells_its_stages() {
    let loading = Model::from_parts(parts(false), options());
    let mut stream = loading.lifecycle();
    let model = loading.wait().unwrap();
    let states: Vec<_> = std::iter::from_fn(|| stream.next_blocking())
        .take_while(|s| *s != Lifecycle::Ready)
        .collect();
    assert!(states.iter().all(|s| matches!(s, Lifecycle::Idle | Lifecycle::Loading { .. })));
    assert_eq!(model.state(), Lifecycle::Ready);
}

/// Takes for ever to lay out weights, unless it is told to stop.
struct Slow(Arc<AtomicUsize>);

/// What is counted when it was told, and obeyed.
const STOPPED: usize = 1 << 32;

impl Backend for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn footprint(
        &self,
        graph: &Graph,
        weights: &Weights,
        limits: &Limits,
    ) -> Result<Footprint, BackendError> {
        Oracle.footprint(graph, weights, limits)
    }

    fn compile(
        &self,
        _: &Graph,
        _: Weights,
        _: &Limits,
        progress: &mut Progress<'_>,
    ) -> Result<Box<dyn Executable>, BackendError> {
        while progress(self.0.fetch_add(1, SeqCst), usize::MAX).is_continue() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.0.fetch_add(STOPPED, SeqCst);
        Err(BackendError::Cancelled)
    }
}

/// A model on its way whose weights are being laid out.
fn laying_out() -> (Loading, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let backend = custom({
        let calls = calls.clone();
        move || -> Box<dyn Backend> { Box::new(Slow(calls.clone())) }
    });
    let loading = Model::from_parts(parts(false), LoadOptions { backend, ..options() });
    let mut life = loading.lifecycle();
    loop {
        match life.next_blocking().unwrap() {
            Lifecycle::Loading { stage: Stage::Weights, done, .. } if done > 3 => break,
            _ => {}
        }
    }
    (loading, calls)
}

#[test]
fn loading_is_cancelled_while_weights_are_laid_out() {
    let (loading, calls) = laying_out();
    let mut life = loading.lifecycle();
    loading.canceller().cancel();
    assert!(matches!(loading.wait(), Err(LoadError::Cancelled)));
    assert!(calls.load(SeqCst) > STOPPED);
    let last = std::iter::from_fn(|| life.next_blocking()).last();
    assert_eq!(last, Some(Lifecycle::Failed { message: "loading was cancelled".into() }));
}

#[test]
fn a_dropped_load_stops() {
    let (loading, calls) = laying_out();
    drop(loading);
    let begun = Instant::now();
    while calls.load(SeqCst) < STOPPED {
        assert!(begun.elapsed() < Duration::from_secs(20), "still at work");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn loading_stops_between_stages() {
    let (sender, receiver) = mpsc::channel::<Canceller>();
    let receiver = Mutex::new(receiver);
    // The first that is heard of it stops it, before anything is found missing in the folder.
    let on_event = move |state: &Lifecycle| {
        if matches!(state, Lifecycle::Loading { stage: Stage::Open, .. }) {
            receiver.lock().unwrap().recv().unwrap().cancel();
        }
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.gguf"), "GGUF").unwrap();
    let hub = Some(HubOptions::new(folder.path()));
    let options = LoadOptions { on_event: Some(Arc::new(on_event)), hub, ..options() };
    let loading = Model::load(folder.path().to_str().unwrap(), options);
    sender.send(loading.canceller()).unwrap();
    let error = loading.wait().unwrap_err();
    assert!(matches!(error, LoadError::Cancelled), "{error}");
}

/// The processor's own packing, on any number of threads.
#[test]
fn the_cpu_backend_breaks_off() {
    let parts = parts(false);
    let limits =
        Limits { tokens: 8, outputs: 8, runs: 1, context: 64, kv: tessera_graph::KvType::F16 };
    let mut calls = [0; 2];
    for threads in [1, 3] {
        let cpu = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
        let cpu = Cpu::new(&cpu).unwrap();
        for (most, calls) in [usize::MAX, 1].into_iter().zip(&mut calls) {
            *calls = 0;
            let mut progress = |_: usize, _: usize| {
                *calls += 1;
                if *calls < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            let compiled = cpu.compile(&parts.graph, parts.weights.clone(), &limits, &mut progress);
            match compiled {
                Err(BackendError::Cancelled) => assert_eq!(most, 1),
                Ok(_) => assert_eq!(most, usize::MAX),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(calls[1], 1, "broken off at the first call");
        assert!(threads > 1 || calls[0] > 4, "there would have been more: {}", calls[0]);
    }
}
