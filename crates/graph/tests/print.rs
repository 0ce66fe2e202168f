//! Costs and listings.

mod common;

use tessera_graph::{
    Attend, Builder, Graph, KvType, RmsNorm,
    cost::{self, Cost, Step},
    fuse, print,
};

fn graph() -> Graph {
    let mut b = Builder::new();
    b.at("embed");
    let table = b.matrix("embed", 16, 8).unwrap();
    let x = b.embed(table, 1.0);
    b.at("layers.0");
    let weight = b.vector("norm", 8).unwrap();
    let h = b.rms_norm(x, RmsNorm { weight, eps: 1e-5, offset: 0.0, heads: 1 }).unwrap();
    let [q, k, v] = [("q", 8), ("k", 4), ("v", 4)].map(|(name, rows)| {
        let matrix = b.matrix(name, rows, 8).unwrap();
        b.linear(h, matrix, None).unwrap()
    });
    let state = b.kv(1, 4, Some(10)).unwrap();
    let x = b
        .attend(q, k, v, Attend { state, heads: 2, scale: 1.0, softcap: None, sinks: None })
        .unwrap();
    b.at("head");
    let x = b.select(x).unwrap();
    let logits = b.linear(x, table, None).unwrap();
    b.sample(logits).unwrap()
}

const STEP: Step = Step { tokens: 3, outputs: 1, context: 20, kv: KvType::F16 };

#[test]
fn costs_are_what_one_counts_by_hand() {
    let graph = fuse(&graph());
    let weights = common::weights(&graph);
    let costs: Vec<Cost> =
        graph.nodes.iter().map(|node| cost::cost(&graph, &weights, node, &STEP)).collect();
    // Embedding: three rows of eight.
    assert_eq!(costs[0], Cost { weights: 96, activations: 96, state: 0, flops: 24 });
    // Norm and three matrices with 16 rows of 8 in all, on three rows.
    let flops = 2 * 3 * 16 * 8 + 4 * 24;
    assert_eq!(
        costs[1],
        Cost { weights: 4 * (128 + 8), activations: 4 * (24 + 48), state: 0, flops }
    );
    // Each query sees 10 positions; 12 are read and 3 written, a key and a value of 4 halves each.
    let attend =
        Cost { weights: 0, activations: 4 * (48 + 24), state: 2 * 15 * 4 * 2, flops: 4 * 30 * 8 };
    assert_eq!(costs[2], attend);
    let total = cost::total(&graph, &weights, &STEP);
    assert_eq!(total, costs.into_iter().sum());
    assert_eq!(total.bytes(), total.weights + total.activations + total.state);
}

#[test]
fn a_listing_names_operations_shapes_and_packings() {
    let graph = fuse(&graph());
    let weights = common::weights(&graph);
    let rows = print::rows(&graph, &weights, &STEP);
    let text = print::Table(&rows).to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), graph.nodes.len() + 1);
    for part in
        ["layers.0", "rms_norm+linear x3", "%0 [tokens, 8] -> %1 [tokens, 8]", "norm f32", "q f32"]
    {
        assert!(lines[1].contains(part), "{part:?} is not in {:?}", lines[1]);
    }
    assert!(lines[2].contains("attend 2/1 x 4, window 10"), "{}", lines[2]);
    assert!(lines[lines.len() - 1].starts_with("total"));
    let json = serde_json::to_value(&rows).unwrap();
    assert_eq!(json[1]["weights"][1]["name"], "q");
    assert_eq!(json[1]["weights"][1]["shape"], serde_json::json!([8, 8]));
    assert_eq!(json[0]["cost"]["flops"], 24);
}
