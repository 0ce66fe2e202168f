//! Whoever leaves leaves nothing behind.

mod common;

use std::task::{Context, Poll, Waker};

use common::{assert_empty, ids, load, options, prompt, request};
use futures_core::Stream;
use tessera_engine::{Event, FinishReason, GenerateError, Lifecycle, LoadOptions, Model, Request};

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
    let loading = Model::from_parts(common::parts(false), options());
    let mut stream = loading.lifecycle();
    let model = loading.wait().unwrap();
    let states: Vec<_> = std::iter::from_fn(|| stream.next_blocking())
        .take_while(|s| *s != Lifecycle::Ready)
        .collect();
    assert!(states.iter().all(|s| matches!(s, Lifecycle::Idle | Lifecycle::Loading { .. })));
    assert_eq!(model.state(), Lifecycle::Ready);
}
