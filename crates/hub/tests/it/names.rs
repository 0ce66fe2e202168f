//! What may be written where a model is wanted.

use tessera_hub::{Error, HubName, Name, RepoId};

fn hub(text: &str) -> HubName {
    match Name::parse(text) {
        Ok(Name::Hub(name)) => name,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn hub_ids_have_a_revision_and_a_filter() {
    let name = hub("org/repo.v1@refs/pr/3:sub/model-Q4_0.gguf");
    assert_eq!((name.repo.org(), name.repo.repo()), ("org", "repo.v1"));
    assert_eq!(name.revision(), "refs/pr/3");
    assert_eq!(name.filter.as_deref(), Some("sub/model-Q4_0.gguf"));
    assert_eq!(name.to_string(), "org/repo.v1@refs/pr/3:sub/model-Q4_0.gguf");
    assert_eq!(hub("org/repo").revision(), "main");
    assert_eq!(hub("org/repo:Q4_K_M").filter.as_deref(), Some("Q4_K_M"));
    assert_eq!(hub("a/b").repo.folder(), "models--a--b");
    assert_eq!(RepoId::from_folder("models--a--b-c"), RepoId::new("a/b-c"));
}

#[test]
fn paths_are_recognised_by_form_or_existence() {
    for text in ["/a/b", "./a", "../a", "~/a", "a.gguf", "sub/a.gguf", ".", "src"] {
        assert!(matches!(Name::parse(text), Ok(Name::Path(_))), "{text}");
    }
    for text in ["SmolLM2", "smollm2"] {
        assert!(matches!(Name::parse(text), Ok(Name::Catalogue(name)) if name == "smollm2"));
    }
}

#[test]
fn near_misses_are_offered() {
    let suggestions = |text: &str| match Name::parse(text) {
        Err(Error::UnknownName { suggestions, .. } | Error::BadName { suggestions, .. }) => {
            suggestions
        }
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(suggestions("smolm2"), ["smollm2"]);
    assert_eq!(suggestions("gemma"), ["gemma3-270m"]);
    assert_eq!(suggestions("https://hub.example/org/repo/tree/main"), ["org/repo"]);
    assert_eq!(suggestions("hub.example/org/repo"), ["org/repo"]);
    assert_eq!(suggestions(" smollm2"), ["smollm2"]);
    assert_eq!(suggestions(""), ["smollm2", "gemma3-270m"]);
    let error = Name::parse("smolm2").expect_err("unknown").to_string();
    assert!(error.contains("did you mean smollm2?"), "{error}");
}

#[test]
fn hostile_names_are_refused() {
    let long = format!("org/{}", "x".repeat(97));
    for text in [
        "org/../repo",
        "org/re--po",
        "-org/repo",
        "org/repo.",
        "org/",
        "org//repo",
        "a/b/c",
        "org/repo@",
        "org/repo@../x",
        "org/repo@a/../b",
        "org/repo@a b",
        "org/repo:",
        "o\0/r",
        "org/repo@.git",
        "örg/repo",
        &long,
    ] {
        assert!(matches!(Name::parse(text), Err(Error::BadName { .. })), "{text:?}");
    }
}
