//! Asks a model something and prints the answer as it comes:
//! `cargo run --release -p tessera-engine --example ask -- smollm2 "Why is the sky blue?"`

use std::io::Write;

use tessera_engine::{Event, LoadOptions, Model, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "smollm2".into());
    let question = arguments.next().unwrap_or_else(|| "Why is the sky blue?".into());

    let model = Model::load(name, LoadOptions::default()).wait()?;
    let info = model.info();
    eprintln!("{} in {:.2} s; context: {}", info.name, info.load_time.as_secs_f64(), info.context);

    let mut answer = model.generate(Request::text(question));
    while let Some(event) = answer.next_blocking() {
        match event? {
            Event::Text(text) => {
                print!("{text}");
                std::io::stdout().flush()?;
            }
            Event::Finished(end) => {
                let rate = end.decode_rate().unwrap_or(0.0);
                println!();
                eprintln!("{}: {} tokens, {rate:.1}/s", end.reason, end.usage.completion_tokens);
            }
            _ => {}
        }
    }
    Ok(())
}
