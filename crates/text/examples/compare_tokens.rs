//! Compares the tokenizer of a checkpoint with reference ids.
//!
//! ```text
//! cargo run --release -p tessera-text --example compare_tokens -- MODEL CORPUS.json REFERENCE.json
//! ```
//!
//! `MODEL` is a checkpoint or a `tokenizer.json`. `CORPUS.json` is a list of strings. `REFERENCE.json` is an object whose `ids` list holds the ids of each
//! string, control tokens left as text (`tools/reference/tokenizer_refs.py` writes such files). Prints
//! every string whose ids differ and how often decoding does not give the text back, and exits with 1
//! when any ids differ.

use std::{env, error::Error, fs, process::ExitCode, time::Instant};

use serde_json::Value;
use tessera_formats::Checkpoint;
use tessera_text::{Specials, Tokenizer};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, corpus, reference] = arguments.as_slice() else {
        return Err("usage: compare_tokens MODEL CORPUS.json REFERENCE.json".into());
    };
    let (tokenizer, start) = if model.ends_with(".json") {
        let bytes = fs::read(model)?;
        let start = Instant::now();
        (Tokenizer::from_json(&bytes, model)?, start)
    } else {
        let checkpoint = Checkpoint::open(model.as_ref())?;
        let start = Instant::now();
        (Tokenizer::from_checkpoint(&checkpoint)?, start)
    };
    println!("built {} tokens in {:.1?}", tokenizer.vocab_size(), start.elapsed());

    let corpus: Vec<String> = serde_json::from_slice(&fs::read(corpus)?)?;
    let reference: Value = serde_json::from_slice(&fs::read(reference)?)?;
    let lists: Vec<Vec<u32>> = serde_json::from_value(reference["ids"].clone())?;
    if lists.len() != corpus.len() {
        return Err(format!("{} lists of ids for {} texts", lists.len(), corpus.len()).into());
    }
    let mut different = 0;
    for (text, expected) in corpus.iter().zip(&lists) {
        let found = tokenizer.encode(text, Specials::AsText)?;
        if found != *expected {
            different += 1;
            println!("{text:?}\n  expected {expected:?}\n  found    {found:?}");
        }
    }
    println!("ids: {different} of {} differ", corpus.len());

    let mut lost = 0;
    for text in &corpus {
        let ids = tokenizer.encode(text, Specials::AsText)?;
        let decoded = tokenizer.decode(&ids);
        if decoded != *text {
            lost += 1;
            println!("decoding {text:?} gives {decoded:?}");
        }
    }
    println!("round trip: {lost} of {} differ", corpus.len());

    let text = corpus.join(" ").repeat(4);
    let start = Instant::now();
    let ids = tokenizer.encode(&text, Specials::AsText)?;
    let seconds = start.elapsed().as_secs_f64();
    let rate = text.len() as f64 / seconds / 1e6;
    println!("{} bytes to {} ids: {rate:.1} MB/s", text.len(), ids.len());
    Ok(if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
