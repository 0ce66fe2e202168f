//! Malformed batches are refused with an error that says what is wrong.

mod common;

use std::sync::Arc;

use tessera_graph::{
    Attend, BackendError, Batch, Builder, Conv, Executable, Graph, Limits, NO_PAGE, NO_SLOT, PAGE,
    Sampling, Save, TokenCount, oracle::Oracle, testing,
};

/// One layer that sees everything and one with a window of 10.
fn graph() -> Graph {
    let mut b = Builder::new();
    let table = b.matrix("embed", common::VOCAB, 8).unwrap();
    let mut x = b.embed(table, 1.0);
    for window in [None, Some(10)] {
        let state = b.kv(1, 8, window).unwrap();
        x = b
            .attend(x, x, x, Attend { state, heads: 1, scale: 1.0, softcap: None, sinks: None })
            .unwrap();
    }
    let x = b.select(x).unwrap();
    let logits = b.linear(x, table, None).unwrap();
    b.sample(logits).unwrap()
}

/// A run of 5 tokens at position 2 * PAGE, and one of 3 at the start.
fn batch(graph: &Graph) -> Batch {
    let windows: Vec<_> = graph.windows().collect();
    let mut batch = Batch::default();
    testing::push(&mut batch, &[1, 2, 3, 4, 5], 2 * PAGE, &windows, |page| page as u32);
    testing::push(&mut batch, &[1, 2, 3], 0, &windows, |page| 10 + page as u32);
    batch
}

fn error(edit: impl FnOnce(&mut Batch)) -> String {
    let graph = graph();
    let mut batch = batch(&graph);
    edit(&mut batch);
    batch.check(&graph, &common::LIMITS).expect_err("accepted").to_string()
}

fn sampling(edit: impl FnOnce(&mut Sampling)) -> String {
    let mut sampling = Sampling::default();
    edit(&mut sampling);
    error(|batch| batch.outputs[0].sampling = Some(Arc::new(sampling)))
}

#[test]
fn a_good_batch_is_accepted() {
    let graph = graph();
    batch(&graph).check(&graph, &common::LIMITS).unwrap();
    // Pages out of every query's sight may be missing: the first query sees positions 119 to 128.
    let windowed = batch(&graph);
    assert_eq!(windowed.table(&windowed.runs[0], 1), [NO_PAGE, 1, 2]);
    assert_eq!(windowed.table(&windowed.runs[0], 0), [0, 1, 2]);
}

#[test]
fn limits_are_kept() {
    let graph = graph();
    let batch = batch(&graph);
    let limited = |edit: fn(&mut Limits)| {
        let mut limits = common::LIMITS;
        edit(&mut limits);
        batch.check(&graph, &limits).expect_err("accepted").to_string()
    };
    assert_eq!(limited(|l| l.tokens = 7), "step of 8 tokens exceeds the compiled limit of 7");
    assert_eq!(limited(|l| l.outputs = 7), "step of 8 outputs exceeds the compiled limit of 7");
    assert_eq!(limited(|l| l.runs = 1), "step of 2 runs exceeds the compiled limit of 1");
    assert_eq!(
        limited(|l| l.context = 132),
        "step of 133 positions exceeds the compiled limit of 132"
    );
}

#[test]
fn rows_and_ids_are_checked() {
    assert!(error(|b| b.tokens[3] = 11).contains("token id 11, but the vocabulary has 11"));
    assert!(error(|b| b.tokens.push(1)).contains("runs of 8 rows for 9 tokens"));
    assert!(error(|b| b.runs[1].row = 4).contains("a run of 3 rows at row 4, expected at 5"));
    assert!(error(|b| b.runs[1].len = 0).contains("a run of 0 rows"));
    assert!(error(|b| b.outputs.swap(1, 2)).contains("output row 1 of 8"));
    assert!(error(|b| b.outputs[7].row = 8).contains("output row 8 of 8"));
    assert!(error(Batch::clear).contains("runs of 0 rows"));
    assert!(error(|b| b.runs[1].position = u32::MAX).contains("positions"));
}

#[test]
fn page_tables_are_checked() {
    assert!(error(|b| b.runs[1].tables = 3).contains("no page table for group 1"));
    assert!(error(|b| b.tables[0].1 = 2).contains("a table of 2 pages for position 132"));
    assert!(error(|b| b.tables[3].0 = u32::MAX).contains("page table"));
    assert!(error(|b| b.pages[0] = NO_PAGE).contains("page 0 of the run at row 0 is missing"));
    assert!(error(|b| b.pages[4] = NO_PAGE).contains("page 1 of the run at row 0 is missing"));
}

#[test]
fn sampling_is_checked() {
    assert!(sampling(|s| s.temperature = f32::NAN).contains("temperature is NaN"));
    assert!(sampling(|s| s.temperature = -1.0).contains("temperature is -1"));
    assert!(sampling(|s| s.top_p = 1.5).contains("top_p is 1.5"));
    assert!(sampling(|s| s.min_p = -0.1).contains("min_p"));
    assert!(sampling(|s| s.repetition_penalty = 0.0).contains("repetition_penalty is 0"));
    assert!(sampling(|s| s.presence_penalty = f32::INFINITY).contains("presence_penalty"));
    assert!(sampling(|s| s.bias = vec![(11, 1.0)]).contains("bias of token 11"));
    assert!(sampling(|s| s.bias = vec![(1, f32::NAN)]).contains("bias of token 1"));
    assert!(sampling(|s| s.top_logprobs = 12).contains("top log probabilities"));
    let history = |edit: fn(&mut Batch)| {
        error(|b| {
            b.outputs[0].sampling = Some(Arc::default());
            edit(b);
        })
    };
    assert!(history(|b| b.outputs[0].history = (0, 1)).contains("history 0+1 of 0"));
    let far = TokenCount { token: 11, generated: 1 };
    let found = error(|b| {
        b.history.push(far);
        b.outputs[0].history = (0, 1);
        b.outputs[0].sampling = Some(Arc::default());
    });
    assert!(found.contains("token 11 in the history"));
}

#[test]
fn the_oracle_refuses_what_it_cannot_read() {
    let graph = graph();
    let mut exe = Oracle.interpreter(&graph, common::weights(&graph), &common::LIMITS).unwrap();
    let batch = batch(&graph);
    let refused = |exe: &mut dyn Executable| match exe.step(&batch, &mut Vec::new()) {
        Err(BackendError::Batch(what)) => what,
        other => panic!("{other:?}"),
    };
    assert!(refused(&mut exe).contains("page or slot 0 of group 0, which has 0"));
    exe.grow(0, 16).unwrap();
    exe.grow(1, 16).unwrap();
    // Position 0 was never written.
    assert!(refused(&mut exe).contains("has nothing for position 0"));
}

#[test]
fn weights_must_fit_the_graph() {
    let graph = graph();
    let mut weights = common::weights(&graph);
    weights.0[0] = common::weight(2, 3, &[0.0; 6]);
    let refused = weights.check(&graph).unwrap_err().to_string();
    assert_eq!(refused, "weights do not fit the graph: embed is [2, 3], not [11, 8]");
    weights.0.clear();
    assert!(weights.check(&graph).unwrap_err().to_string().contains("0 weights for 1"));
}

/// A convolution, and no pages.
fn recurrent() -> Graph {
    let mut b = Builder::new();
    let table = b.matrix("embed", common::VOCAB, 8).unwrap();
    let x = b.embed(table, 1.0);
    let state = b.conv_state(8, 3).unwrap();
    let weight = b.matrix("conv", 8, 3).unwrap();
    let x = b.conv(x, Conv { state, weight, bias: None, activation: None }).unwrap();
    let x = b.select(x).unwrap();
    let logits = b.linear(x, table, None).unwrap();
    b.sample(logits).unwrap()
}

fn slot_error(position: usize, slot: u32, saves: &[(u32, u32)]) -> Option<String> {
    let (graph, mut batch) = (recurrent(), Batch::default());
    let saves: Vec<Save> = saves.iter().map(|&(after, slot)| Save { after, slot }).collect();
    let storage = testing::Storage::of(&graph);
    storage.push(&mut batch, &[1, 2, 3], position, (slot, &saves), |page| page as u32);
    batch.check(&graph, &common::LIMITS).err().map(|error| error.to_string())
}

#[test]
fn slots_are_read_and_saved() {
    assert_eq!(slot_error(0, NO_SLOT, &[(1, 4), (2, 3), (3, 2)]), None);
    assert_eq!(slot_error(7, 2, &[(1, 4), (3, 2)]), None);
    for (position, slot, saves) in [
        (7, NO_SLOT, &[(3, 2)][..]),
        (0, 2, &[(3, 2)]),
        (7, 2, &[]),
        (7, 2, &[(2, 2)]),
        (7, 2, &[(3, 4), (3, 5)]),
        (7, 2, &[(0, 4), (3, 5)]),
        (7, 2, &[(1, 4), (3, 4)]),
        (7, 2, &[(1, 2), (3, 4)]),
        (7, 2, &[(4, 4)]),
        (7, 2, &[(3, NO_SLOT)]),
    ] {
        assert!(slot_error(position, slot, saves).is_some(), "{position} {slot} {saves:?}");
    }
}

/// States saved in the middle of a run are those of a shorter run, and a slot of another position is not
/// taken for the sequence's.
#[test]
fn going_back_is_choosing_a_slot() {
    let graph = recurrent();
    let storage = testing::Storage::of(&graph);
    /// Tokens, position, slot, saves.
    type Step<'a> = (&'a [u32], usize, u32, &'a [(u32, u32)]);
    let run = |script: &[Step<'_>]| {
        let mut exe = Oracle.interpreter(&graph, common::weights(&graph), &common::LIMITS).unwrap();
        storage.grow(&mut exe, 0, 4);
        let mut row = vec![0.0; common::VOCAB];
        for &(tokens, position, slot, saves) in script {
            let mut batch = Batch::default();
            let saves: Vec<Save> =
                saves.iter().map(|&(after, slot)| Save { after, slot }).collect();
            storage.push(&mut batch, tokens, position, (slot, &saves), |page| page as u32);
            exe.step(&batch, &mut Vec::new())?;
            exe.read_logits(tokens.len() - 1, &mut row);
        }
        Ok::<_, BackendError>(row)
    };
    let plain = run(&[(&[1, 2, 3, 7], 0, NO_SLOT, &[(4, 0)])]).unwrap();
    let back = [(&[1, 2, 3, 4, 5][..], 0, NO_SLOT, &[(3, 1), (5, 0)][..]), (&[7], 3, 1, &[(1, 1)])];
    assert_eq!(run(&back).unwrap(), plain);
    let stale = [(&[1, 2, 3][..], 0, NO_SLOT, &[(3, 1)][..]), (&[7], 2, 1, &[(1, 1)])];
    assert!(run(&stale).unwrap_err().to_string().contains("nothing of position 2"));
}
