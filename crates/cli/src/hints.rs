//! What to do about an error, where its message does not say so already.

use anyhow::Error;

use crate::errors::{NotHere, Usage};

/// One sentence for a person who met `error`.
pub fn of(error: &Error) -> Option<String> {
    error.chain().find_map(of_cause)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(NotHere(name)) = cause.downcast_ref() {
        return Some(format!("`tessera pull {name}` downloads it"));
    }
    if cause.is::<Usage>() {
        return Some("`tessera help` lists the commands, `tessera help COMMAND` its options".into());
    }
    if let Some(error) = cause.downcast_ref::<tessera_hub::Error>() {
        return of_hub(error);
    }
    None
}

fn of_hub(error: &tessera_hub::Error) -> Option<String> {
    use tessera_hub::Error::*;
    let text = match error {
        UnknownName { .. } => "`tessera list --all` lists the short names",
        PathMissing { .. } => "check the spelling; a Hub id is written org/repo, without ./ before it",
        Unreachable { .. } => "check the connection, or `tessera doctor`",
        Sources { .. } => "`tessera doctor` shows what can be reached from here",
        DiskFull { .. } => "`tessera list` shows what takes room, `tessera rm` frees it, --cache-dir moves it",
        _ => return None,
    };
    Some(text.to_owned())
}
