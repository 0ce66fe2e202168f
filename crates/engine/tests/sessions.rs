//! A conversation does not compute its history again, and nobody can tell from the answer.

mod common;

use common::{assert_empty, ids, load, options, prompt, request};
use tessera_engine::{GenerateError, LoadOptions, Model, Request, Session};

/// Runs a request in a session and checks it against the same one without.
fn turn(model: &Model, session: &Session, prompt: Vec<u32>, n: usize) -> (Vec<u32>, usize) {
    let request = request(prompt, n, 11);
    let fresh = ids(&model.generate(request.clone()).collect().unwrap());
    let completion = model.generate(request.in_session(session)).collect().unwrap();
    assert_eq!(ids(&completion), fresh);
    assert_eq!(completion.finished.usage.cached_tokens, completion.started.cached_tokens);
    (ids(&completion), completion.started.cached_tokens)
}

#[test]
fn reuse_equals_computing_again() {
    let model = load(options());
    let session = model.session();
    let mut history = prompt(30, 1);
    for round in 0..5 {
        let (answer, cached) = turn(&model, &session, history.clone(), 20);
        // The first prompt is new; then all is known but the last drawn token and the new question.
        let expected = if round == 0 { 0 } else { history.len() - 15 - 1 };
        assert_eq!(cached, expected, "round {round}");
        history.extend(answer);
        history.extend(prompt(15, 50 + round));
    }
    drop(session);
    assert_empty(&model);
}

#[test]
fn an_edited_history_shares_what_it_shares() {
    let model = load(options());
    let session = model.session();
    let first = prompt(60, 1);
    turn(&model, &session, first.clone(), 10);
    let mut edited = first.clone();
    edited[40] ^= 1;
    assert_eq!(turn(&model, &session, edited.clone(), 10).1, 40);
    // The same prompt again: everything but its last token.
    assert_eq!(turn(&model, &session, edited.clone(), 10).1, 59);
    // Something else entirely.
    assert_eq!(turn(&model, &session, prompt(50, 99), 10).1, 0);
    drop(session);
    assert_empty(&model);
}

#[test]
fn a_window_that_has_forgotten_is_computed_again() {
    let model = load(options());
    let session = model.session();
    let long = prompt(600, 1);
    turn(&model, &session, long.clone(), 5);
    // A little is remembered beyond the window ...
    assert_eq!(turn(&model, &session, long[..580].to_vec(), 5).1, 579);
    // ... but not everything.
    assert_eq!(turn(&model, &session, long[..300].to_vec(), 5).1, 0);
    drop(session);
    assert_empty(&model);
}

#[test]
fn sessions_are_given_up_for_room_and_only_slow_down() {
    let model = load(LoadOptions { max_sessions: 2, max_sequences: 1, ..options() });
    let sessions: Vec<Session> = (0..6).map(|_| model.session()).collect();
    for (i, session) in sessions.iter().enumerate() {
        turn(&model, session, prompt(40, i as u32), 3);
    }
    assert!(model.status().sessions <= 4);
    // The latest is remembered, the first is not.
    assert_eq!(turn(&model, &sessions[5], prompt(40, 5), 3).1, 39);
    assert_eq!(turn(&model, &sessions[0], prompt(40, 0), 3).1, 0);
    drop(sessions);
    assert_empty(&model);
}

#[test]
fn one_session_runs_one_request() {
    let model = load(options());
    let session = model.session();
    let long = request(prompt(20, 1), 800, 1).in_session(&session);
    let running = model.generate(long.clone());
    let second = model.generate(long.clone()).collect();
    assert!(matches!(second, Err(GenerateError::SessionBusy)), "{second:?}");
    // A cancelled request makes way at once, and what it drew can be continued.
    drop(running);
    let after = Request { max_tokens: Some(3), ..long.clone() };
    assert_eq!(model.generate(after).collect().unwrap().tokens.len(), 3);
    let other = load(options());
    let foreign = other.generate(Request { max_tokens: Some(1), ..long }).collect();
    assert!(matches!(foreign, Err(GenerateError::ForeignSession)));
    drop(session);
    assert_empty(&model);
}
