//! What to do about an error, where its message does not say so already.

use anyhow::Error;
use tessera_engine::{GenerateError, LoadError};
use tessera_graph::BackendError;
use tessera_hub::Catalogue;

use crate::errors::{NotHere, TooLarge, Usage};

/// One sentence for a person who met `error`.
pub fn of(error: &Error) -> Option<String> {
    error.chain().find_map(of_cause)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(NotHere(name)) = cause.downcast_ref() {
        return Some(format!("`tessera pull {name}` downloads it"));
    }
    if cause.is::<Usage>() {
        return Some(
            "`tessera help` lists the commands, `tessera help COMMAND` its options".into(),
        );
    }
    if let Some(TooLarge { allowed, .. }) = cause.downcast_ref() {
        let pull = "a smaller packing may fit, such as org/repo:Q4_K_M; `tessera pull` downloads regardless";
        return Some(smaller(*allowed).map_or(pull.to_owned(), |it| format!("{pull}; {it}")));
    }
    if let Some(error) = cause.downcast_ref::<tessera_hub::Error>() {
        return of_hub(error);
    }
    match cause.downcast_ref::<LoadError>() {
        Some(LoadError::Hub(error)) => return of_hub(error),
        Some(LoadError::TooLarge { budget, .. }) => {
            let raise = "--memory sets the budget";
            let other = smaller(*budget as u64).map(|it| format!("; {it}")).unwrap_or_default();
            return Some(format!("{raise}{other}"));
        }
        Some(LoadError::ContextMemory { .. }) => return Some("--memory sets the budget".into()),
        Some(LoadError::Backend(BackendError::DeviceMemory { .. })) => {
            return Some(
                "--context shortens what is remembered, --device cpu takes the processor".into(),
            );
        }
        _ => {}
    }
    match cause.downcast_ref::<GenerateError>() {
        Some(GenerateError::PromptTooLong { .. }) => Some(
            "ask for a longer --context, or send less; in a chat, /clear forgets what was said"
                .into(),
        ),
        Some(GenerateError::NoTemplate { .. }) => Some("leave --system out".into()),
        _ => None,
    }
}

/// A catalogue model that should fit into `budget` bytes.
fn smaller(budget: u64) -> Option<String> {
    // Half as much again as the file: room to compute and for a short context.
    let fits = |bytes: u64| bytes.saturating_add(bytes / 2) <= budget;
    let catalogue = Catalogue::built_in();
    let largest =
        catalogue.entries().iter().filter(|it| fits(it.bytes)).max_by_key(|it| it.bytes)?;
    Some(format!("`{}` would fit: {}", largest.name, largest.title))
}

fn of_hub(error: &tessera_hub::Error) -> Option<String> {
    use tessera_hub::Error::*;
    let text = match error {
        UnknownName { .. } => "`tessera list --all` lists the short names",
        PathMissing { .. } => {
            "check the spelling; a Hub id is written org/repo, without ./ before it"
        }
        Unreachable { .. } => "check the connection, or `tessera doctor`",
        Sources { .. } => "`tessera doctor` shows what can be reached from here",
        DiskFull { .. } => {
            "`tessera list` shows what takes room, `tessera rm` frees it, --cache-dir moves it"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_inside_the_engines_are_found() {
        let inner = tessera_hub::Error::PathMissing { path: "x".into() };
        let hint = of(&LoadError::Hub(inner).into());
        assert!(hint.is_some_and(|it| it.contains("org/repo")));
        assert_eq!(of(&anyhow::anyhow!("x")), None);
    }

    #[test]
    fn what_is_too_large_leads_to_what_fits() {
        assert!(smaller(1 << 30).is_some_and(|it| it.contains("gemma3-270m")));
        assert!(smaller(200 << 20).is_some_and(|it| it.contains("smollm2")));
        assert_eq!(smaller(1 << 20), None);
    }
}
