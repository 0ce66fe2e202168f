use clap::{CommandFactory, error::ErrorKind};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["tessera"].into_iter().chain(line.split_whitespace()))
}

fn run(line: &str) -> RunArgs {
    match parse(line).expect("parses").command {
        Command::Run(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_generation_flag_is_read() {
    let args = run("run m p --temperature 0.5 --top-k 7 --top-p 0.9 --min-p 0.1 \
         --repetition-penalty 1.1 --presence-penalty -0.5 --frequency-penalty 0.25 --seed 3 \
         --max-tokens 9 --context 64 --threads 2 --precise --system s --stop a --stop b --ignore-eos \
         --logprobs=2 --hide-thinking --stats --memory 1G");
    let expected = GenerationArgs {
        temperature: Some(0.5),
        top_k: Some(7),
        top_p: Some(0.9),
        min_p: Some(0.1),
        repetition_penalty: Some(1.1),
        presence_penalty: Some(-0.5),
        frequency_penalty: Some(0.25),
        seed: Some(3),
        max_tokens: Some(9),
        stop: vec!["a".into(), "b".into()],
        ignore_eos: true,
    };
    assert_eq!(args.generation, expected);
    assert_eq!((args.model.as_deref(), args.prompt.as_deref()), (Some("m"), Some("p")));
    assert_eq!(
        (args.load.context, args.load.threads, args.load.precise),
        (Some(64), Some(2), true)
    );
    assert_eq!((args.logprobs, args.load.memory), (Some(2), Some(1 << 30)));
}

#[test]
fn logprobs_alone_means_the_drawn_token() {
    let args = run("run m --logprobs p");
    assert_eq!((args.logprobs, args.prompt.as_deref()), (Some(0), Some("p")));
}

#[test]
fn bad_values_are_usage_errors_that_name_the_bounds() {
    for (line, part) in [
        ("run --temperature -1", "from 0 to 100"),
        ("run --temperature nan", "from 0 to 100"),
        ("run --top-p 0", "above 0"),
        ("run --min-p 2", "from 0 to 1"),
        ("run --max-tokens 0", "above 0"),
        ("run --context -5", "above 0"),
        ("run --isa sse9", "unknown instruction set"),
        ("run --memory lots", "such as 800M"),
        ("bench -p x", "invalid digit"),
        ("bench -r 0", "above 0"),
        ("perplexity --stride 0", "above 0"),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.to_string().contains(part), "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    assert_eq!(
        parse("run --no-template --system x").unwrap_err().kind(),
        ErrorKind::ArgumentConflict
    );
    assert_eq!(parse("rm").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
    assert_eq!(parse("list -q -v").unwrap_err().kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn bench_takes_lists_as_llama_bench_does() {
    let line = "bench m -p 128,512 -n 0 -d 0,1024 -t 1,2 -r 3";
    let Command::Bench(args) = parse(line).expect("parses").command else { panic!("{line}") };
    assert_eq!((args.n_prompt, args.n_gen, args.n_depth), (vec![128, 512], vec![0], vec![0, 1024]));
    assert_eq!((args.threads, args.repetitions), (vec![1, 2], 3));
    let Command::Bench(args) = parse("bench").expect("parses").command else { panic!("bench") };
    assert_eq!((args.n_prompt, args.n_gen, args.n_depth), (vec![512], vec![128], vec![0]));
}

#[test]
fn global_flags_go_before_and_after() {
    assert!(parse("--json list").expect("parses").global.json);
    let cli = parse("list --json --offline -vv --cache-dir /x").expect("parses");
    assert!(cli.global.json && cli.global.offline);
    assert_eq!(cli.global.verbose, 2);
}

/// `docs/cli.md` and the program name the same flags.
#[test]
fn the_guide_is_complete_and_invents_nothing() {
    let guide = include_str!("../../../../docs/cli.md");
    let mut flags: Vec<String> = vec!["help".into()];
    for command in Cli::command().get_subcommands() {
        assert!(guide.contains(command.get_name()), "{} is missing", command.get_name());
        flags.extend(command.get_arguments().filter_map(|it| it.get_long()).map(str::to_owned));
    }
    flags.extend(Cli::command().get_arguments().filter_map(|it| it.get_long()).map(str::to_owned));
    let named = |text: &str| -> Vec<String> {
        let word = |it: &str| {
            let end = it.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(it.len());
            it[..end].to_owned()
        };
        text.split("--")
            .skip(1)
            .map(word)
            .filter(|it| it.starts_with(|c: char| c.is_ascii_lowercase()))
            .collect()
    };
    let guide = named(guide);
    for flag in &flags {
        assert!(
            guide.contains(flag) || ["help", "version"].contains(&flag.as_str()),
            "--{flag} is missing"
        );
    }
    for flag in guide {
        assert!(flags.contains(&flag), "--{flag} does not exist");
    }
}
