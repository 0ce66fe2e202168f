//! The memory plan never lets two live values overlap.

mod common;

use std::ops::Range;

use proptest::prelude::*;
use tessera_graph::{ALIGN, Graph, Limits, Plan, Rows, ValueId, fuse, plan};

fn bytes(graph: &Graph, id: usize, limits: &Limits) -> usize {
    let value = &graph.values[id];
    let rows = match value.rows {
        Rows::Tokens => limits.tokens,
        Rows::Outputs => limits.outputs,
    };
    rows * value.width * 4
}

fn place(graph: &Graph, plan: &Plan, id: usize) -> Range<usize> {
    let start = plan.offset[id].expect("every value of a fused graph is made");
    start..start + bytes(graph, id, &common::LIMITS)
}

/// First and last node that touch each value.
fn lives(graph: &Graph) -> Vec<(usize, usize)> {
    let mut lives = vec![(usize::MAX, 0); graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for id in node.inputs.iter().chain(&node.outputs) {
            let life = &mut lives[id.index()];
            *life = (life.0.min(index), index);
        }
    }
    lives
}

/// Whether `result` is computed in the place of `operand`, and may be.
fn in_place(graph: &Graph, operand: usize, result: usize, lives: &[(usize, usize)]) -> bool {
    let node = &graph.nodes[lives[result].0];
    let uses: Vec<usize> =
        (0..node.inputs.len()).filter(|&i| node.inputs[i].index() == operand).collect();
    lives[operand].1 == lives[result].0
        && uses.len() == 1
        && node.op.in_place().contains(&uses[0])
        && graph.logits() != Some(ValueId(operand as u32))
}

proptest! {
    #[test]
    fn no_two_live_values_overlap(graph in common::graph(), fused in any::<bool>()) {
        let graph = if fused { fuse(&graph) } else { graph };
        let plan = plan(&graph, &common::LIMITS);
        let lives = lives(&graph);
        for a in 0..graph.values.len() {
            let place_a = place(&graph, &plan, a);
            prop_assert!(place_a.start.is_multiple_of(ALIGN) && place_a.end <= plan.bytes);
            for b in 0..a {
                let place_b = place(&graph, &plan, b);
                let together = lives[a].0 <= lives[b].1 && lives[b].0 <= lives[a].1;
                let overlap = place_a.start < place_b.end && place_b.start < place_a.end;
                let allowed = in_place(&graph, b, a, &lives) || in_place(&graph, a, b, &lives);
                prop_assert!(!(together && overlap) || allowed, "values {} and {}", a, b);
            }
        }
    }

    /// Replays a step in the arena: every operand is still what its node made it.
    #[test]
    fn operands_survive_until_they_are_read(graph in common::graph()) {
        let graph = fuse(&graph);
        let weights = common::weights(&graph);
        let exe = common::run(&graph, weights);
        let plan = plan(&graph, &common::LIMITS);
        let mut arena = vec![f32::from_bits(0x7fc0_dead); plan.bytes / 4];
        let at = |id: ValueId| {
            let start = plan.offset[id.index()].unwrap() / 4;
            start..start + exe.value(id).len()
        };
        for node in &graph.nodes {
            for &id in &node.inputs {
                let pairs = arena[at(id)].iter().zip(exe.value(id));
                let same = pairs.into_iter().all(|(a, b)| a.to_bits() == b.to_bits());
                prop_assert!(same, "{} was overwritten before it was read", id);
            }
            for &id in &node.outputs {
                arena[at(id)].copy_from_slice(exe.value(id));
            }
        }
    }
}

#[test]
fn a_chain_needs_one_buffer_and_a_diamond_two() {
    use tessera_graph::Builder;
    let mut b = Builder::new();
    let table = b.matrix("embed", 16, 8).unwrap();
    let mut x = b.embed(table, 1.0);
    for _ in 0..5 {
        x = b.scale(x, 2.0);
    }
    let y = b.softcap(x, 3.0);
    let sum = b.add(x, y).unwrap();
    let selected = b.select(sum).unwrap();
    let graph = b.sample(selected).unwrap();
    let limits = Limits { tokens: 10, outputs: 2, ..common::LIMITS };
    let value = (10usize * 8 * 4).next_multiple_of(ALIGN);
    let plan = plan(&graph, &limits);
    assert_eq!(plan.bytes, 2 * value);
    // All scaled values share one place.
    assert!(plan.offset[..6].iter().all(|offset| *offset == plan.offset[0]));
}
