//! Printed Metal means what the program means: random programs are run as programs and as texts.
//!
//! The texts are read by the rules of C++, and strictly: no conversion that is not written, no signed overflow.

#[path = "meaning/parse.rs"]
mod parse;
#[path = "meaning/program.rs"]
mod program;
#[path = "meaning/random.rs"]
mod random;
#[path = "meaning/text.rs"]
mod text;
#[path = "meaning/value.rs"]
mod value;

use tessera_tile::print;

use value::{Memories, Value};

/// Memories full of something.
fn memories(seed: u64) -> Memories {
    let mut random = random::Random(seed);
    let mut words = || (0..random::LEN).map(|_| random.word()).collect::<Vec<u32>>();
    let names = ["x", "y", "z", "stage", "ring"];
    names.map(|name| (name.to_string(), words().into_iter().map(Value::U32).collect())).into()
}

#[test]
fn random_programs() {
    for seed in 1..=600 {
        let program = random::program(seed);
        let text = print::metal(&program);
        let (mut by_program, mut by_text) = (memories(seed), memories(seed));
        program::run(&program, &mut by_program);
        text::run(&text, &mut by_text).unwrap_or_else(|what| panic!("{what} in\n{text}"));
        assert!(by_program == by_text, "seed {seed}: another result of\n{text}");
    }
}

#[test]
fn random_programs_do_something() {
    let texts: String = (1..=600).map(|seed| print::metal(&random::program(seed))).collect();
    for what in [
        "if (",
        "} else {",
        "else if (",
        "for (uint",
        "+=",
        " ? ",
        "&&",
        "||",
        "<<",
        ">>",
        "!=",
        "uint4(",
        "uint2(",
        "wrapping_abs(",
        "saturating_int(",
        "saturating_uint(",
        "fma(",
        "popcount(",
        "clz(",
        "int(uint(",
        "as_type<",
        " - (",
        ") * ",
        "~",
        "!(",
        "% ",
        " / ",
        "^",
        "const uint4 stage_v",
        "const uint x_1",
        "stage[",
        "stage_4(ring",
        "stage_8(ring",
        "stage_16(ring",
        "fmax(",
    ] {
        assert!(texts.contains(what), "no text with {what:?}");
    }
}
