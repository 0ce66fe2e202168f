//! Fusion changes the graph and not what it computes.

mod common;

use proptest::prelude::*;
use tessera_graph::{
    Activation, Attend, Builder, Epilogue, Graph, Linear, Op, RmsNorm, Rows, ValueId, fuse,
};

proptest! {
    #[test]
    fn results_stay_the_same(graph in common::graph()) {
        let fused = fuse(&graph);
        let weights = common::weights(&graph);
        let before = common::run(&graph, weights.clone());
        let after = common::run(&fused, weights);
        let logits = |graph: &Graph| graph.logits().unwrap();
        let (a, b) = (before.value(logits(&graph)), after.value(logits(&fused)));
        // The oracle computes fused operations as it computes their parts: to the bit.
        prop_assert_eq!(
            a.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            b.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_result_is_tidy(graph in common::graph()) {
        let fused = fuse(&graph);
        // Values are numbered as they are made, each is made once, and nothing is used before that.
        let mut made = 0;
        for node in &fused.nodes {
            for input in &node.inputs {
                prop_assert!(input.index() < made, "{} used too early", input);
            }
            for output in &node.outputs {
                prop_assert_eq!(output.index(), made);
                made += 1;
            }
        }
        prop_assert_eq!(made, fused.values.len());
        // Attention happens in the same order.
        let attention = |graph: &Graph| -> Vec<Attend> {
            let attend = |op: &Op| if let Op::Attend(a) = op { Some(a.clone()) } else { None };
            graph.nodes.iter().filter_map(|node| attend(&node.op)).collect()
        };
        prop_assert_eq!(attention(&graph), attention(&fused));
    }
}

/// A llama layer's worth of operations in front of logits.
fn layer(b: &mut Builder) -> ValueId {
    let table = b.matrix("embed", 16, 8).unwrap();
    let x = b.embed(table, 1.0);
    let norm = b.vector("norm", 8).unwrap();
    let norm = RmsNorm { weight: norm, eps: 1e-5, offset: 0.0, heads: 1 };
    let h = b.rms_norm(x, norm.clone()).unwrap();
    let [q, k, v] = ["q", "k", "v"].map(|name| {
        let matrix = b.matrix(name, 8, 8).unwrap();
        b.linear(h, matrix, None).unwrap()
    });
    let state = b.kv(2, 4, None).unwrap();
    let h = b
        .attend(q, k, v, Attend { state, heads: 2, scale: 0.5, softcap: None, sinks: None })
        .unwrap();
    let o = b.matrix("o", 8, 8).unwrap();
    let h = b.linear(h, o, None).unwrap();
    let x = b.add(x, h).unwrap();
    let h = b.rms_norm(x, norm).unwrap();
    let [gate, up] = ["gate", "up"].map(|name| {
        let matrix = b.matrix(name, 12, 8).unwrap();
        b.linear(h, matrix, None).unwrap()
    });
    let h = b.glu(Activation::Silu, gate, up).unwrap();
    let down = b.matrix("down", 8, 12).unwrap();
    let h = b.linear(h, down, None).unwrap();
    b.add(x, h).unwrap()
}

fn finish(mut b: Builder, x: ValueId) -> Graph {
    let x = b.select(x).unwrap();
    let head = b.matrix("head", 16, 8).unwrap();
    let logits = b.linear(x, head, None).unwrap();
    b.sample(logits).unwrap()
}

fn linears(graph: &Graph) -> Vec<&Linear> {
    let ops = graph.nodes.iter().map(|node| &node.op);
    ops.filter_map(|op| if let Op::Linear(l) = op { Some(l) } else { None }).collect()
}

#[test]
fn a_llama_layer_becomes_four_linears_and_attention() {
    let mut b = Builder::new();
    let x = layer(&mut b);
    let fused = fuse(&finish(b, x));
    let ops: Vec<&str> = fused
        .nodes
        .iter()
        .map(|node| match node.op {
            Op::Embed { .. } => "embed",
            Op::Linear(_) => "linear",
            Op::Attend(_) => "attend",
            Op::Select => "select",
            Op::Sample => "sample",
            _ => "other",
        })
        .collect();
    // The residual and what attention gives are selected, so that all that follows is for those rows.
    assert_eq!(
        ops,
        [
            "embed", "linear", "attend", "select", "select", "linear", "linear", "linear",
            "linear", "sample"
        ]
    );
    let rows = |id: &ValueId| fused.values[id.index()].rows;
    let after = fused.nodes.iter().skip(3).flat_map(|node| &node.outputs);
    assert!(after.into_iter().all(|id| rows(id) == Rows::Outputs));
    let linears = linears(&fused);
    let shape = |l: &Linear| (l.norm.is_some(), l.parts.len(), l.epilogue);
    assert_eq!(shape(linears[0]), (true, 3, Epilogue::None));
    assert_eq!(shape(linears[1]), (false, 1, Epilogue::Residual));
    assert_eq!(shape(linears[2]), (true, 2, Epilogue::Glu(Activation::Silu.into())));
    assert_eq!(shape(linears[3]), (false, 1, Epilogue::Residual));
}

#[test]
fn what_has_a_second_use_stays() {
    let mut b = Builder::new();
    let table = b.matrix("embed", 16, 8).unwrap();
    let x = b.embed(table, 1.0);
    let weight = b.vector("norm", 8).unwrap();
    let h = b.rms_norm(x, RmsNorm { weight, eps: 1e-5, offset: 0.0, heads: 1 }).unwrap();
    let a = b.matrix("a", 8, 8).unwrap();
    let y = b.linear(h, a, None).unwrap();
    // The norm's result and the product's are both used again.
    let sum = b.add(y, h).unwrap();
    let sum = b.add(sum, y).unwrap();
    let graph = finish(b, sum);
    let fused = fuse(&graph);
    assert_eq!(fused.nodes.len(), graph.nodes.len());
    assert!(linears(&fused).iter().all(|l| l.norm.is_none() && l.epilogue == Epilogue::None));
}
