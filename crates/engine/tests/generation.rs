//! What a request gives: the same tokens in any company, and the right end.

mod common;

use common::{END, TRAINED, VOCAB, assert_empty, ids, load, options, parts, prompt, request};
use tessera_engine::{
    Event, FinishReason, GenerateError, LoadOptions, Message, Model, Prompt, Request,
    SamplingOptions,
};

/// What one request draws when it is alone, with whole prompts.
fn alone(prompt: Vec<u32>, max_tokens: usize, seed: u64) -> Vec<u32> {
    let model = load(LoadOptions { prefill_chunk: 1024, max_sequences: 1, ..options() });
    ids(&model.generate(request(prompt, max_tokens, seed)).collect().unwrap())
}

#[test]
fn a_batch_of_n_is_n_batches_of_one() {
    let cases: Vec<(Vec<u32>, usize, u64)> = (0..9)
        .map(|i| (prompt(3 + 37 * i as usize, i), 5 + 9 * (i as usize % 4), u64::from(i)))
        .collect();
    for chunk in [1, 7, 48, 300] {
        let model = load(LoadOptions { prefill_chunk: chunk, max_sequences: 4, ..options() });
        let generations: Vec<_> =
            cases.iter().map(|(p, n, s)| model.generate(request(p.clone(), *n, *s))).collect();
        for (generation, (p, n, s)) in generations.into_iter().zip(&cases) {
            let completion = generation.collect().unwrap();
            assert_eq!(completion.finished.reason, FinishReason::Length);
            assert_eq!(completion.finished.usage.prompt_tokens, p.len());
            assert_eq!(
                ids(&completion),
                alone(p.clone(), *n, *s),
                "chunk {chunk}, {} tokens",
                p.len()
            );
        }
        assert_empty(&model);
    }
}

#[test]
fn the_seed_decides_and_is_reported() {
    let model = load(options());
    let run = |seed| {
        let request = Request { seed, ..request(prompt(10, 1), 20, 0) };
        model.generate(request).collect().unwrap()
    };
    let (first, second) = (run(None), run(None));
    assert_ne!(first.started.seed, second.started.seed);
    assert_ne!(ids(&first), ids(&second));
    assert_eq!(ids(&first), ids(&run(Some(first.started.seed))));
}

#[test]
fn a_chat_template_is_applied_to_text() {
    let model = Model::from_parts(parts(true), options()).wait().unwrap();
    let tokens = |request: Request| {
        let request = Request { max_tokens: Some(1), ..request };
        model.generate(request).collect().unwrap().started.prompt_tokens
    };
    assert_eq!(tokens(Request::text("hello")), 1 + 5 + 1 + 1);
    assert_eq!(tokens(Request { template: false, ..Request::text("hello") }), 5);
    assert_eq!(tokens(Request::messages([Message::user("hi"), Message::assistant("yes")])), 10);
    // A control token that a user spells is text.
    assert_eq!(tokens(Request::text("<|end|>")), 1 + 7 + 1 + 1);
}

#[test]
fn what_needs_a_template_is_refused_without_one() {
    let model = load(options());
    for request in [
        Request::messages([Message::user("hi")]),
        Request { system: Some("be brief".into()), ..Request::text("hi") },
    ] {
        let error = model.generate(request).collect().unwrap_err();
        assert!(matches!(error, GenerateError::NoTemplate { .. }), "{error}");
    }
    let tools = vec![serde_json::json!({"type": "function"})];
    let model = Model::from_parts(parts(true), options()).wait().unwrap();
    let error = model.generate(Request { tools, ..Request::text("hi") }).collect().unwrap_err();
    assert!(matches!(error, GenerateError::NoTools), "{error}");
}

/// The stop string is cut from what the model writes without it.
#[test]
fn stop_strings_end_the_answer_across_tokens_and_are_not_part_of_it() {
    let model = load(options());
    let letters = SamplingOptions {
        bias: (b'a'..=b'd').map(|byte| (u32::from(byte), 500.0)).collect(),
        ..request(vec![], 0, 0).sampling
    };
    let request = Request { sampling: letters, ..request(prompt(10, 2), 60, 5) };
    let whole = model.generate(request.clone()).collect().unwrap().text;
    assert_eq!(whole.len(), 60);
    let stop = whole[30..34].to_owned();
    let cut = whole.find(&stop).unwrap();
    let stopped = model.generate(Request { stop: vec![stop], ..request }).collect().unwrap();
    assert_eq!(stopped.finished.reason, FinishReason::StopString);
    assert_eq!(stopped.text, whole[..cut]);
    assert_eq!(stopped.finished.usage.completion_tokens, cut + 4);
}

#[test]
fn stop_tokens_end_the_answer() {
    let model = load(options());
    let base = Request { ignore_eos: false, ..request(prompt(10, 3), 50, 1) };
    let certain = |token| SamplingOptions { bias: vec![(token, 900.0)], ..base.sampling.clone() };
    let run = |request| model.generate(request).collect().unwrap();

    let completion = run(Request { sampling: certain(END), ..base.clone() });
    assert_eq!(completion.finished.reason, FinishReason::Stop);
    assert_eq!((ids(&completion), completion.text.as_str()), (vec![END], ""));

    let ignoring = Request { sampling: certain(END), ignore_eos: true, ..base.clone() };
    assert_eq!(run(ignoring).finished.reason, FinishReason::Length);

    let own = Request { sampling: certain(65), stop_tokens: vec![65], ..base.clone() };
    assert_eq!(run(own).finished.reason, FinishReason::Stop);
}

#[test]
fn text_comes_in_whole_characters() {
    let model = load(options());
    let mut generation = model.generate(request(prompt(20, 4), 200, 9));
    let (mut text, mut tokens) = (String::new(), Vec::new());
    let mut last = None;
    while let Some(event) = generation.next_blocking() {
        match event.unwrap() {
            Event::Text(more) => {
                assert!(!more.is_empty());
                text.push_str(&more);
            }
            Event::Token(token) => tokens.push(token.id),
            Event::Finished(finished) => last = Some(finished),
            _ => {}
        }
    }
    assert!(last.is_some() && generation.next_blocking().is_none());
    // Random bytes are mostly no characters; the whole must be what decoding them at once gives.
    assert_eq!(text, model.tokenizer().decode(&tokens));
}

#[test]
fn log_probabilities_are_reported_when_asked_for() {
    let model = load(options());
    let plain = model.generate(request(prompt(10, 5), 5, 3)).collect().unwrap();
    assert!(plain.tokens.iter().all(|token| token.logprob.is_none() && token.top.is_empty()));
    let request =
        Request { logprobs: true, top_logprobs: VOCAB.min(256), ..request(prompt(10, 5), 5, 3) };
    let completion = model.generate(request).collect().unwrap();
    assert_eq!(ids(&completion), ids(&plain));
    let tokens = [prompt(10, 5), ids(&completion)].concat();
    let score = model.score(tokens, 10).wait().unwrap();
    for (token, expected) in completion.tokens.iter().zip(score.logprobs) {
        assert!((token.logprob.unwrap() - expected).abs() < 1e-4);
        assert!(token.top.is_sorted_by(|a, b| a.1 >= b.1) && token.top.len() == 256);
    }
}

#[test]
fn the_context_ends_an_answer_and_refuses_a_prompt() {
    let model = load(LoadOptions { context: Some(100), ..options() });
    let completion = model.generate(request(prompt(90, 6), 1000, 1)).collect().unwrap();
    assert_eq!(completion.finished.reason, FinishReason::Context);
    assert_eq!(completion.tokens.len(), 10);
    let completion = model.generate(request(prompt(99, 6), 1, 1)).collect().unwrap();
    assert_eq!(completion.finished.reason, FinishReason::Length);
    match model.generate(request(prompt(100, 6), 1, 1)).collect() {
        Err(GenerateError::PromptTooLong { tokens: 100, context: 100 }) => {}
        other => panic!("{other:?}"),
    }
    assert_empty(&model);
}

#[test]
fn hostile_requests_are_refused_and_harm_nobody() {
    let model = load(options());
    let good = request(prompt(10, 7), 5, 1);
    let expected = ids(&model.generate(good.clone()).collect().unwrap());
    let sampling = |sampling| Request { sampling, ..good.clone() };
    let none = SamplingOptions::default;
    let hostile = [
        Request { prompt: Prompt::Tokens(vec![]), ..good.clone() },
        Request { prompt: Prompt::Text(String::new()), ..good.clone() },
        Request { prompt: Prompt::Tokens(vec![u32::MAX]), ..good.clone() },
        Request { prompt: Prompt::Tokens(vec![VOCAB as u32]), ..good.clone() },
        Request { prompt: Prompt::Text("x".repeat(10 << 20)), ..good.clone() },
        Request { max_tokens: Some(0), ..good.clone() },
        Request { top_logprobs: usize::MAX, ..good.clone() },
        Request { stop: vec![String::new()], ..good.clone() },
        Request { stop: vec!["x".into(); 100_000], ..good.clone() },
        Request { stop_tokens: vec![u32::MAX], ..good.clone() },
        Request { stop_tokens: vec![0; 1 << 20], ..good.clone() },
        sampling(SamplingOptions { temperature: Some(f32::NAN), ..none() }),
        sampling(SamplingOptions { temperature: Some(-0.5), ..none() }),
        sampling(SamplingOptions { top_p: Some(f32::NEG_INFINITY), ..none() }),
        sampling(SamplingOptions { repetition_penalty: Some(f32::MAX), ..none() }),
        sampling(SamplingOptions { bias: vec![(0, f32::INFINITY)], ..none() }),
        sampling(SamplingOptions { bias: vec![(u32::MAX, 0.0)], ..none() }),
    ];
    for request in hostile {
        let named = format!("{request:?}").chars().take(200).collect::<String>();
        let error = model.generate(request).collect();
        assert!(error.is_err(), "{named}");
    }
    // Large numbers that mean something are honoured.
    let huge = SamplingOptions { top_k: Some(u32::MAX), ..good.sampling.clone() };
    let huge = Request { max_tokens: Some(usize::MAX), sampling: huge, ..good.clone() };
    let completion = model.generate(huge).collect().unwrap();
    assert_eq!(completion.finished.reason, FinishReason::Context);
    assert_eq!(completion.tokens.len(), TRAINED - 10);
    assert_eq!(ids(&model.generate(good).collect().unwrap()), expected);
    assert_empty(&model);
}

#[test]
fn greedy_continuation_and_scores_agree() {
    let model = load(options());
    let tokens = prompt(70, 8);
    let seen = model.inspect_logits(tokens.clone(), 3, 12).wait().unwrap();
    assert_eq!(seen.positions.len(), 70);
    assert!(seen.positions.iter().zip(&tokens).all(|(p, &t)| p.token == t && p.top.len() == 3));
    let greedy = Request { sampling: SamplingOptions::greedy(), ..request(tokens.clone(), 12, 0) };
    let continuation: Vec<u32> = seen.continuation.iter().map(|c| c.token).collect();
    let drawn = ids(&model.generate(greedy).collect().unwrap());
    assert_eq!(drawn[..continuation.len()], continuation);
    assert_eq!(seen.positions[69].top[0].0, continuation[0]);

    let score = model.score(tokens.clone(), 1).wait().unwrap();
    assert_eq!(score.logprobs.len(), 69);
    for (i, position) in seen.positions[..69].iter().enumerate() {
        if let Some(&(_, logit)) = position.top.iter().find(|(id, _)| *id == tokens[i + 1]) {
            let expected = f64::from(logit) - position.log_sum_exp;
            assert!((f64::from(score.logprobs[i]) - expected).abs() < 1e-5);
        }
    }
    // A window that leaves out what is scored already gives the rest.
    let rest = model.score(tokens.clone(), 40).wait().unwrap();
    assert_eq!(rest.logprobs, score.logprobs[39..]);
    assert!(rest.perplexity().unwrap() > 1.0);
    assert!(matches!(model.score(vec![], 0).wait(), Err(GenerateError::EmptyPrompt)));
    assert_eq!(model.score(vec![3], 0).wait().unwrap().perplexity(), None);
    assert!(model.score(prompt(TRAINED, 1), 1).wait().is_ok());
    assert_empty(&model);
}
