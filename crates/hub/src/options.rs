//! Where things are kept and how the Hub is reached.

use std::{env, fmt, fs, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    catalogue::Catalogue,
    error::{Error, Result},
    space::{FreeSpace, SystemSpace},
};

/// Settings of a [`Hub`](crate::Hub). Every field may be changed after construction.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// The Hub cache, in the layout that Python's `huggingface_hub` shares (`…/huggingface/hub`).
    pub hub_cache: PathBuf,
    /// Where models unpacked from packages are kept (`…/tessera/models`).
    pub package_cache: PathBuf,
    /// The Hub's address, without a trailing slash.
    pub endpoint: String,
    /// Access token, sent to `endpoint` only and never to the storage it redirects to.
    pub token: Option<Token>,
    /// Never touch the network, neither for the Hub nor for packages.
    pub offline: bool,
    /// The Python whose pip fetches packages.
    pub python: PathBuf,
    /// How long one connection may take to open. Short, because the next source may be nearer.
    pub connect_timeout: Duration,
    /// How long a transfer may stand still before it counts as broken.
    pub read_timeout: Duration,
    /// The pause before the first retry of a broken transfer; each further one is four times longer.
    pub retry_pause: Duration,
    /// How long to wait for another process that fetches the same file.
    pub lock_wait: Duration,
    /// How free disk space is found out.
    pub free_space: Arc<dyn FreeSpace>,
    /// The short names.
    pub catalogue: Catalogue,
}

/// An access token; its value is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a token; surrounding white space is dropped, and an empty token is none.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Token(hidden)")
    }
}

/// The public Hub.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

impl HubOptions {
    /// Settings with everything below one folder, the public Hub and no token.
    pub fn new(cache_home: impl Into<PathBuf>) -> Self {
        let home = cache_home.into();
        Self {
            hub_cache: home.join("huggingface/hub"),
            package_cache: home.join("tessera/models"),
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            token: None,
            offline: false,
            python: PathBuf::from("python3"),
            connect_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(30),
            retry_pause: Duration::from_millis(100),
            lock_wait: Duration::from_secs(3600),
            free_space: Arc::new(SystemSpace),
            catalogue: Catalogue::built_in(),
        }
    }

    /// Settings as Python's `huggingface_hub` would find them: `HF_HUB_CACHE`, `HF_HOME`,
    /// `HF_ENDPOINT`, `HF_TOKEN` (else the token file below `HF_HOME`), `HF_HUB_OFFLINE`, and
    /// `XDG_CACHE_HOME` or `~/.cache`. (The TLS and HTTP libraries, and pip, also honour the usual
    /// certificate and proxy variables.)
    ///
    /// # Errors
    /// [`Error::BadSetting`] when there is no home directory to put a cache in.
    pub fn from_environment() -> Result<Self> {
        Self::from_variables(|name| {
            env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from)
        })
    }

    /// [`HubOptions::from_environment`] over any set of variables.
    pub(crate) fn from_variables(get: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        let cache_home = get("XDG_CACHE_HOME").or_else(|| Some(get("HOME")?.join(".cache")));
        let cache_home = cache_home.ok_or_else(|| Error::BadSetting {
            name: "HOME",
            reason: "it is not set, so there is no place for a cache".to_owned(),
        })?;
        let text = |name| get(name).map(|it| it.to_string_lossy().into_owned());
        let mut options = Self::new(&cache_home);
        let hf_home = get("HF_HOME").unwrap_or_else(|| cache_home.join("huggingface"));
        options.hub_cache = get("HF_HUB_CACHE").unwrap_or_else(|| hf_home.join("hub"));
        if let Some(endpoint) = text("HF_ENDPOINT") {
            options.endpoint = endpoint.trim_end_matches('/').to_owned();
        }
        let token = text("HF_TOKEN").or_else(|| fs::read_to_string(hf_home.join("token")).ok());
        options.token = token.as_deref().and_then(Token::new);
        options.offline = text("HF_HUB_OFFLINE")
            .is_some_and(|it| ["1", "on", "yes", "true"].contains(&it.to_lowercase().as_str()));
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<HubOptions> {
        HubOptions::from_variables(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn follows_the_variables_of_the_hub() {
        let options = with(&[("HOME", "/nowhere")]).expect("home is enough");
        assert_eq!(options.hub_cache, PathBuf::from("/nowhere/.cache/huggingface/hub"));
        assert_eq!(options.package_cache, PathBuf::from("/nowhere/.cache/tessera/models"));
        assert_eq!(options.endpoint, DEFAULT_ENDPOINT);
        assert!(options.token.is_none() && !options.offline);

        let options = with(&[
            ("HOME", "/nowhere"),
            ("HF_HOME", "/hf"),
            ("HF_ENDPOINT", "http://127.0.0.1:9/"),
            ("HF_TOKEN", " secret\n"),
            ("HF_HUB_OFFLINE", "TRUE"),
        ])
        .expect("sound");
        assert_eq!(options.hub_cache, PathBuf::from("/hf/hub"));
        assert_eq!(options.endpoint, "http://127.0.0.1:9");
        assert_eq!(options.token, Token::new("secret"));
        assert!(options.offline);
        assert!(!format!("{options:?}").contains("secret"), "tokens are not printed");
        assert!(matches!(with(&[]), Err(Error::BadSetting { .. })));
    }
}
