//! The two questions asked of the Hub: what is in a revision, and what is one file.

use reqwest::{Method, Response, Url, header::HeaderMap};
use serde::Deserialize;

use crate::{
    digest::Digest,
    error::{Error, Result},
    http::{Follow, Http, innermost},
    layout,
    name::{HubName, RepoId},
};

/// A listing larger than this is refused, in bytes.
const MAX_LISTING: usize = 32 << 20;

/// A revision of a repository, as the Hub lists it.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// The commit the revision stands for.
    pub(crate) commit: String,
    /// The licence that the model card states.
    pub(crate) licence: Option<String>,
    /// All files with safe names.
    pub(crate) files: Vec<Listed>,
}

/// One file of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// `/`-separated path.
    pub(crate) path: String,
    /// Size and digest, where the listing gives them.
    pub(crate) facts: Option<Facts>,
}

/// What must be known of a file before fetching it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Size in bytes.
    pub(crate) size: u64,
    /// The digest its bytes must have.
    pub(crate) digest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
    card_data: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Http {
    /// Lists a revision: `GET /api/models/<id>/revision/<revision>?blobs=true`.
    pub(crate) async fn listing(&self, name: &HubName) -> Result<Listing> {
        let (org, repo) = (name.repo.org(), name.repo.repo());
        let mut url = self.url(["api", "models", org, repo, "revision", name.revision()]);
        url.set_query(Some("blobs=true"));
        let response = self.send(Method::GET, url.clone(), 0, Follow::All).await?;
        let what = format!("{}@{}", name.repo, name.revision());
        let mut response = self.accept(response, &name.repo, &what)?;
        let body = read_bounded(&mut response, &url).await?;
        let bad = |reason: String| Error::BadReply { url: url.to_string(), reason };
        let info: Info = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
        if !layout::is_commit(&info.sha) {
            return Err(bad("its commit is not one".to_owned()));
        }
        if let Some(file) = info.siblings.iter().find(|it| !layout::is_safe(&it.rfilename)) {
            return Err(bad(format!("it lists the unsafe file {:?}", file.rfilename)));
        }
        let licence = info.card_data.as_ref().and_then(licence);
        let files = info.siblings.into_iter().map(Sibling::listed).collect();
        Ok(Listing { commit: info.sha.to_ascii_lowercase(), licence, files })
    }

    /// Asks for one file's size and digest: `HEAD /<id>/resolve/<commit>/<file>`, not following the
    /// redirect to storage, because the Hub's own answer carries the digest.
    pub(crate) async fn facts(&self, repo: &RepoId, commit: &str, file: &str) -> Result<Facts> {
        let url = self.file_url(repo, commit, file);
        let response = self.send(Method::HEAD, url.clone(), 0, Follow::SameOrigin).await?;
        let response = match response.status().is_redirection() {
            true => response,
            false => self.accept(response, repo, &format!("{file} in {repo}@{commit}"))?,
        };
        let headers = response.headers();
        let bad =
            |reason: &str| Error::BadReply { url: url.to_string(), reason: reason.to_owned() };
        if text(headers, "x-repo-commit").is_some_and(|it| !it.eq_ignore_ascii_case(commit)) {
            return Err(bad("the file is of another commit"));
        }
        let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
        let digest =
            etag.and_then(Digest::parse).ok_or_else(|| bad("no etag that can be checked"))?;
        let size = text(headers, "x-linked-size").or_else(|| text(headers, "content-length"));
        let size = size.and_then(|it| it.parse().ok()).ok_or_else(|| bad("no size"))?;
        Ok(Facts { size, digest })
    }

    /// `/<id>/resolve/<commit>/<file>`.
    pub(crate) fn file_url(&self, repo: &RepoId, commit: &str, file: &str) -> Url {
        let start = [repo.org(), repo.repo(), "resolve", commit];
        self.url(start.into_iter().chain(file.split('/')))
    }

    /// Turns an HTTP error status into what it means for the user.
    pub(crate) fn accept(&self, response: Response, repo: &RepoId, what: &str) -> Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // Without a token the Hub answers 401 for what does not exist, and says so in a header.
        let code = text(response.headers(), "x-error-code").unwrap_or_default();
        let missing = status == 404 || (code == "RepoNotFound" && self.has_token());
        Err(match status.as_u16() {
            _ if missing => Error::NotFound { what: what.to_owned() },
            401 | 403 => Error::Unauthorized {
                repo: repo.to_string(),
                status: status.as_u16(),
                had_token: self.has_token(),
                maybe_missing: code == "RepoNotFound",
            },
            status => Error::Status { url: response.url().to_string(), status },
        })
    }
}

impl Sibling {
    fn listed(self) -> Listed {
        let (size, etag) = match self.lfs {
            Some(lfs) => (lfs.size.or(self.size), lfs.sha256),
            None => (self.size, self.blob_id),
        };
        let digest = etag.as_deref().and_then(Digest::parse);
        let facts = size.zip(digest).map(|(size, digest)| Facts { size, digest });
        Listed { path: self.rfilename, facts }
    }
}

/// `license: x` or `license: [x, y]` of a model card.
fn licence(card: &serde_json::Value) -> Option<String> {
    match card.get("license")? {
        serde_json::Value::String(one) => Some(one.clone()),
        serde_json::Value::Array(many) => {
            let names: Vec<&str> = many.iter().filter_map(|it| it.as_str()).collect();
            (!names.is_empty()).then(|| names.join(", "))
        }
        _ => None,
    }
}

async fn read_bounded(response: &mut Response, url: &Url) -> Result<Vec<u8>> {
    let bad = |reason: String| Error::BadReply { url: url.to_string(), reason };
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| bad(innermost(&error)))? {
        if body.len() + chunk.len() > MAX_LISTING {
            return Err(bad(format!("its listing is larger than {MAX_LISTING} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
