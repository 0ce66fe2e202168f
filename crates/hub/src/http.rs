//! One HTTP request, its redirects, and what its failures mean.
//!
//! # Why not the hf-hub crate
//!
//! hf-hub 1.0.0 was measured first. It brings 235 crates (its Xet client cannot be switched off and
//! pulls in aws-lc with its cmake builder, and an embedded database); this crate with all it
//! needs is 117, among them what an HTTP server needs too, and builds with gcc alone. hf-hub restarts
//! a broken download from zero, compares no digest and has no connect timeout, so what this crate
//! exists for would have had to be built around it in any case. Kept is what must agree: the cache
//! layout and the locks, which were tried in both directions against Python's `huggingface_hub`.
//!
//! # Redirects
//!
//! They are followed here rather than by the HTTP library, for three reasons: the answer *before*
//! a redirect to storage carries the digest; the token must go to the Hub and nowhere else; and an
//! endless redirect should be an error of its own.

use std::{error::Error as _, sync::Arc};

use reqwest::{
    Method, Response, StatusCode, Url,
    header::{AUTHORIZATION, LOCATION, RANGE},
    redirect::Policy,
};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::{
    error::{Error, Result},
    options::{HubOptions, Token},
};

/// Redirects followed before giving up.
const MAX_HOPS: usize = 10;

/// How far to follow redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Within the Hub only (a renamed repository); the redirect to storage is the answer.
    SameOrigin,
    /// To the end.
    All,
}

/// An HTTP client bound to one Hub.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    endpoint: Url,
    token: Option<Token>,
}

impl Http {
    pub(crate) fn new(options: &HubOptions) -> Result<Self> {
        let bad =
            |reason: &str| Error::BadSetting { name: "HF_ENDPOINT", reason: reason.to_owned() };
        let endpoint = Url::parse(&options.endpoint).map_err(|error| bad(&error.to_string()))?;
        if !matches!(endpoint.scheme(), "http" | "https") || endpoint.host().is_none() {
            return Err(bad("it must be an http or https address"));
        }
        let unreachable =
            |reason: String| Error::Unreachable { endpoint: options.endpoint.clone(), reason };
        let client = build(options, &endpoint).map_err(unreachable)?;
        Ok(Self { client, endpoint, token: options.token.clone() })
    }

    /// An address below the endpoint; each segment is percent-encoded.
    pub(crate) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Whether requests carry a token.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Sends a request, asking for the bytes from `offset` on where it is not zero.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::RedirectLoop`], [`Error::BadReply`]. HTTP error statuses
    /// are not errors here.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        offset: u64,
        follow: Follow,
    ) -> Result<Response> {
        let mut at = url.clone();
        for _ in 0..=MAX_HOPS {
            let mut request = self.client.request(method.clone(), at.clone());
            if let Some(token) = self.token.as_ref().filter(|_| self.is_home(&at)) {
                request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
            }
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
            let response = request.send().await.map_err(|error| self.unreachable(&at, &error))?;
            let Some(next) = self.redirect(&at, &response)? else { return Ok(response) };
            if follow == Follow::SameOrigin && !self.is_home(&next) {
                return Ok(response);
            }
            at = next;
        }
        Err(Error::RedirectLoop { url: url.to_string(), hops: MAX_HOPS })
    }

    /// Where a response redirects to, if it does.
    fn redirect(&self, at: &Url, response: &Response) -> Result<Option<Url>> {
        use StatusCode as S;
        let moves = [
            S::MOVED_PERMANENTLY,
            S::FOUND,
            S::SEE_OTHER,
            S::TEMPORARY_REDIRECT,
            S::PERMANENT_REDIRECT,
        ];
        if !moves.contains(&response.status()) {
            return Ok(None);
        }
        let bad = |reason: &str| Error::BadReply { url: at.to_string(), reason: reason.to_owned() };
        let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
        let location = location.ok_or_else(|| bad("a redirect without an address"))?;
        let next = at.join(location).map_err(|_| bad("a redirect to something unreadable"))?;
        match (at.scheme(), next.scheme()) {
            ("http" | "https", "https") | ("http", "http") => Ok(Some(next)),
            _ => Err(bad("a redirect away from https")),
        }
    }

    fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.origin()
    }

    fn unreachable(&self, url: &Url, error: &reqwest::Error) -> Error {
        let endpoint = url.origin().ascii_serialization();
        Error::Unreachable { endpoint, reason: innermost(error) }
    }
}

/// The cause at the bottom: `failed to look up address`, not `error sending request`.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause = error.source();
    let mut text = None;
    while let Some(inner) = cause {
        text = Some(inner.to_string());
        cause = inner.source();
    }
    text.unwrap_or_else(|| error.to_string())
}

/// A client with `ring` and the system's certificates, without touching rustls' global provider.
/// The usual proxy variables count, except for a Hub on this very machine.
fn build(options: &HubOptions, endpoint: &Url) -> std::result::Result<reqwest::Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_platform_verifier())
        .map_err(|error| format!("{error} (are the system's root certificates installed?)"))?
        .with_no_client_auth();
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout);
    if matches!(endpoint.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| innermost(&error))
}
