use tessera_text::*;
fn main() {
    let t = Tokenizer::from_json(
        &std::fs::read("crates/text/tests/fixtures/byte_level.json").unwrap(),
        "x",
    )
    .unwrap();
    let src = std::env::args().nth(1).unwrap();
    let s = std::time::Instant::now();
    let r = ChatTemplate::new(vec![Source::new("default", &src, "t")], &t).and_then(|c| {
        eprintln!("new {:?}", s.elapsed());
        c.apply(&[Message::user("hi")], &RenderOptions::default())
    });
    eprintln!("{:?} {:?}", s.elapsed(), r.map(|p| p.text().len()).map_err(|e| e.to_string()));
}
