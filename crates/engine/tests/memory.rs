//! Memory is admitted before it is allocated, and comes back.

mod common;

use common::{assert_empty, ids, load, options, parts, prompt, request};
use tessera_engine::{
    ContextReason, Event, FinishReason, GenerateError, LoadError, LoadOptions, Model,
};
use tessera_graph::PAGE;

/// A budget that leaves room for `pages` pages of both groups beside the model.
fn tight(pages: usize, options: LoadOptions) -> LoadOptions {
    let model = load(LoadOptions { memory: Some(1 << 30), ..options.clone() });
    let memory = model.status().memory;
    // One layer each, one head of 16 elements, keys and values in two bytes.
    let page = PAGE * 2 * 16 * 2;
    LoadOptions { memory: Some(memory.weights + memory.arena + 2 * page * pages), ..options }
}

#[test]
fn sequences_that_do_not_fit_together_take_turns() {
    let one = LoadOptions { context: Some(640), ..options() };
    let expected: Vec<Vec<u32>> = (0..4)
        .map(|i| {
            let model = load(LoadOptions { memory: Some(1 << 30), ..one.clone() });
            ids(&model.generate(request(prompt(50, i), 300, u64::from(i))).collect().unwrap())
        })
        .collect();
    // Each needs six pages of the full group in the end; there are about ten and some.
    let model = load(tight(10, one));
    let generations: Vec<_> =
        (0..4).map(|i| model.generate(request(prompt(50, i), 300, u64::from(i)))).collect();
    let mut preemptions = 0;
    for (generation, expected) in generations.into_iter().zip(&expected) {
        let completion = generation.collect().unwrap();
        assert_eq!(completion.finished.reason, FinishReason::Length);
        assert_eq!(ids(&completion), *expected);
        preemptions += completion.finished.timings.preemptions;
    }
    assert!(preemptions > 0, "the test should be tight enough");
    assert_empty(&model);
}

#[test]
fn idle_sessions_make_way() {
    let model = load(tight(10, LoadOptions { context: Some(640), ..options() }));
    let session = model.session();
    let first = request(prompt(500, 1), 2, 1).in_session(&session);
    model.generate(first.clone()).collect().unwrap();
    assert!(model.generate(first.clone()).collect().unwrap().started.cached_tokens > 400);
    model.generate(request(prompt(500, 2), 2, 1)).collect().unwrap();
    assert_eq!(model.generate(first).collect().unwrap().started.cached_tokens, 0);
    drop(session);
    assert_empty(&model);
}

#[test]
fn windows_give_their_pages_back() {
    let model = load(options());
    let mut generation = model.generate(request(prompt(700, 1), 100, 1));
    while !matches!(generation.next_blocking(), Some(Ok(Event::Token(_)))) {}
    let (_, status) = (generation.next_blocking(), model.status());
    // All of 700 positions in one group; the window of 100, what it keeps to go back and a chunk in
    // the other.
    let full = 700usize.div_ceil(PAGE);
    let window = (100usize + PAGE + 48).div_ceil(PAGE) + 1;
    assert!((full..=full + 2 + window).contains(&status.live_blocks), "{status:?}");
    drop(generation);
    assert_empty(&model);
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_loaded() {
    let refused = |memory, context| {
        let options = LoadOptions { memory: Some(memory), context, ..options() };
        Model::from_parts(parts(false), options).wait().unwrap_err()
    };
    match refused(100_000, None) {
        LoadError::TooLarge { weights, arena, kv, minimum: 512, budget: 100_000 } => {
            assert!(weights > 0 && arena > 0 && kv > 0);
        }
        other => panic!("{other}"),
    }
    let tight = tight(10, options());
    match refused(tight.memory.unwrap(), Some(1024)) {
        LoadError::ContextMemory { requested: 1024, possible, needed, available, .. } => {
            assert!((640..1024).contains(&possible) && needed > available);
        }
        other => panic!("{other}"),
    }
    assert!(matches!(
        refused(1 << 30, Some(4096)),
        LoadError::ContextTrained { requested: 4096, trained: 1024 }
    ));
    // Left to choose, the engine takes what fits, and says so.
    let model = load(tight);
    let context = model.info().context;
    assert_eq!(context.reason, ContextReason::Memory { trained: 1024 });
    let longest = model.generate(request(prompt(context.tokens - 5, 1), 100, 1)).collect().unwrap();
    assert_eq!(longest.finished.reason, FinishReason::Context);
    match model.generate(request(prompt(context.tokens, 1), 1, 1)).collect() {
        Err(GenerateError::PromptTooLong { tokens, context: limit }) => {
            assert_eq!((tokens, limit), (context.tokens, context.tokens));
        }
        other => panic!("{other:?}"),
    }
    assert_empty(&model);
}

#[test]
fn options_out_of_range_are_named() {
    for (name, options) in [
        ("max_sequences", LoadOptions { max_sequences: 0, ..options() }),
        ("prefill_chunk", LoadOptions { prefill_chunk: 0, ..options() }),
        ("prefill_chunk", LoadOptions { prefill_chunk: usize::MAX, ..options() }),
        ("context", LoadOptions { context: Some(0), ..options() }),
        ("context", LoadOptions { context: Some(usize::MAX), ..options() }),
        ("output_rows", LoadOptions { output_rows: usize::MAX, ..options() }),
    ] {
        match Model::from_parts(parts(false), options).wait() {
            Err(LoadError::Option { option, .. }) => assert_eq!(option, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}
