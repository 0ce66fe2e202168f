//! `tessera run`: answers on standard output, everything else on standard error.

mod common;

use std::{
    io::Read,
    process::{Command, Stdio},
    time::Duration,
};

use common::{Tiny, World};

#[test]
fn one_answer() {
    let world = World::new();
    let ended = world.run(&["run", &world.model(), "Why?"]);
    assert_eq!(ended.err, "");
    assert_eq!(ended.success(), "Ok, blue!\n");
}

#[test]
fn flags_reach_the_engine() {
    let world = World::new();
    let model = world.model();
    let run = |more: &[&str]| {
        let mut args = vec!["run", &model, "Why?", "--temperature", "0"];
        args.extend(more);
        world.run(&args).success()
    };
    assert_eq!(run(&["--max-tokens", "2"]), "Ok\n");
    assert_eq!(run(&["--stop", ", b"]), "Ok\n");
    assert_eq!(run(&["--precise", "--threads", "1", "--isa", "portable"]), "Ok, blue!\n");
    assert_eq!(run(&["--system", "Be brief.", "--context", "128"]), "Ok, blue!\n");
    let text = world.run(&["run", &model, "O", "--no-template"]).success();
    assert_eq!(text, "k, blue!\n");
}

#[test]
fn an_answer_that_is_cut_off_says_so() {
    let world = World::new();
    let model = world.model();
    let note =
        |more: &[&str]| world.run(&[&["run", model.as_str(), "Why?"][..], more].concat()).err;
    assert_eq!(note(&[]), "");
    assert_eq!(note(&["--max-tokens", "2"]), "(cut off after 2 tokens, by max-tokens)\n");
    assert_eq!(note(&["--max-tokens", "2", "--quiet"]), "");
    let full = note(&["--context", "44", "--system", "Be brief."]);
    assert_eq!(full, "(cut off after 2 tokens: the context is full; see --context)\n");
}

#[test]
fn piped_input_is_the_prompt_or_follows_it() {
    let world = World::new();
    let model = world.model();
    assert_eq!(world.pipe(&["run", &model], "Why?\n").success(), "Ok, blue!\n");
    let ended = world.pipe(&["run", &model, "x", "--no-template", "--json"], "k\n").json();
    assert_eq!(ended["text"], ", blue!");
    assert_eq!(ended["usage"]["prompt_tokens"], 4, "x, two line ends, k");
}

#[test]
fn json_has_everything() {
    let world = World::new();
    let args = [
        "run",
        &world.model(),
        "Why?",
        "--json",
        "--seed",
        "7",
        "--logprobs=2",
        "--max-tokens",
        "3",
    ];
    let value = world.run(&args).json();
    assert_eq!(value["text"], "Ok,");
    assert_eq!(value["finish_reason"], "length");
    assert_eq!(value["seed"], 7);
    assert_eq!(value["context"], 256);
    assert_eq!(value["usage"]["completion_tokens"], 3);
    let tokens = value["tokens"].as_array().expect("tokens");
    assert_eq!(tokens.len(), 3);
    assert_eq!(tokens[0]["text"], "O");
    assert_eq!(tokens[0]["top"].as_array().map(Vec::len), Some(2));
    assert_eq!(tokens[0]["top"][0]["id"], tokens[0]["id"]);
    assert!(tokens[0]["logprob"].as_f64().is_some_and(|it| it <= 0.0));
}

#[test]
fn thinking_is_kept_from_standard_output() {
    let world = World::with(&Tiny::thinking("hm", "Yes."));
    let model = world.model();
    let ended = world.run(&["run", &model, "?"]);
    assert!(ended.err.contains("hm"), "{ended:?}");
    assert_eq!(ended.success(), "Yes.\n");
    let ended = world.run(&["run", &model, "?", "--hide-thinking"]);
    assert_eq!(ended.err, "");
    assert_eq!(ended.success(), "Yes.\n");
    let value = world.run(&["run", &model, "?", "--json"]).json();
    assert_eq!((&value["text"], &value["thinking"]), (&"Yes.".into(), &"hm".into()));
}

#[test]
fn thinking_that_the_template_opens_is_thinking() {
    let world = World::with(&Tiny::opened("hm", "Yes."));
    let model = world.model();
    let ended = world.run(&["run", &model, "?"]);
    assert!(ended.err.contains("hm") && !ended.err.contains("think>"), "{ended:?}");
    assert_eq!(ended.success(), "Yes.\n");
    let ended = world.run(&["run", &model, "?", "--hide-thinking"]);
    assert_eq!(ended.err, "");
    assert_eq!(ended.success(), "Yes.\n");
    let value = world.run(&["run", &model, "?", "--json"]).json();
    assert_eq!((&value["text"], &value["thinking"]), (&"Yes.".into(), &"hm".into()));
    // Without the template nothing has been opened.
    assert_eq!(world.run(&["run", &model, "Y", "--no-template"]).success(), "es.\n");
}

#[test]
fn stats_and_logprobs_go_to_standard_error() {
    let world = World::new();
    let ended = world.run(&["run", &world.model(), "Why?", "--stats", "--logprobs", "--verbose"]);
    for part in [
        "prompt tokens",
        "t/s",
        "(stop)",
        "LOGPROB",
        "\"O\"",
        "context: 256 tokens",
        "backend: cpu",
    ] {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
    assert_eq!(ended.success(), "Ok, blue!\n");
}

#[test]
fn a_base_model_continues_text_and_refuses_a_system_prompt() {
    let world = World::with(&Tiny::chat("Ok, blue!").base());
    let model = world.model();
    assert_eq!(world.run(&["run", &model, "b"]).success(), "lue!\n");
    let error = world.run(&["run", &model, "b", "--system", "x"]).failure(1);
    assert!(error.contains("chat template"), "{error}");
}

#[test]
fn an_interrupt_stops_the_answer() {
    let world = World::with(&Tiny::endless("ab"));
    let args = ["run", &world.model(), "a", "--context", "100000", "--temperature", "0"];
    let mut child = world.spawn(&args);
    let mut stdout = child.stdout.take().expect("piped");
    let mut first = [0; 8];
    stdout.read_exact(&mut first).expect("it answers");
    assert_eq!(&first, b"babababa");
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).map(|_| rest)
    });
    std::thread::sleep(Duration::from_millis(50));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    let rest = reader.join().expect("read").expect("readable");
    assert_eq!(rest.last(), Some(&b'\n'), "the line is ended");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let world = World::with(&Tiny::endless("ab"));
    let mut child = world.spawn(&["run", &world.model(), "a", "--context", "100000"]);
    drop(child.stdout.take());
    let mut error = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut error).expect("readable");
    assert_eq!(child.wait().expect("ends").code(), Some(0), "{error}");
    assert_eq!(error, "");
}

#[test]
fn refusals_name_the_numbers() {
    let world = World::new();
    let model = world.model();
    let long = "x".repeat(300);
    let error = world.run(&["run", &model, &long]).failure(1);
    assert!(error.contains("256") && error.contains("tokens"), "{error}");
    let error = world.run(&["run", &model, "x", "--context", "512"]).failure(1);
    assert!(error.contains("512") && error.contains("256"), "{error}");
    let error = world.run(&["run", &model, "x", "--memory", "10K"]).failure(1);
    assert!(error.contains("memory budget"), "{error}");
}

#[test]
fn a_chat_needs_a_terminal() {
    let world = World::new();
    let model = world.model();
    let error = world.run(&["run", &model]).failure(2);
    assert!(error.contains("no prompt"), "{error}");
    let mut command = world.command(&["run", &model, "", "--json"]);
    let ended = command.stdin(Stdio::null()).output().expect("runs");
    assert_ne!(ended.status.code(), Some(101), "no panic");
}
