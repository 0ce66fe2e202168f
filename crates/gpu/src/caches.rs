//! Where the user's caches are.

use std::path::PathBuf;

/// `tessera` in `XDG_CACHE_HOME`, else in `.cache` of the home folder, else in Windows' folder of applications' data; none if
/// there is no such folder.
pub fn user_folder() -> Option<PathBuf> {
    of_variables(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn of_variables(get: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let home = || Some(get("HOME")?.join(".cache"));
    let folder = get("XDG_CACHE_HOME").or_else(home).or_else(|| get("LOCALAPPDATA"))?;
    Some(folder.join("tessera"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_conventions_for_caches() {
        let of = |pairs: &[(&str, &str)]| {
            of_variables(|name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
            })
        };
        let home = ("HOME", "/home");
        assert_eq!(of(&[home]), Some("/home/.cache/tessera".into()));
        assert_eq!(of(&[home, ("XDG_CACHE_HOME", "/c")]), Some("/c/tessera".into()));
        assert_eq!(of(&[]), None);
    }
}
