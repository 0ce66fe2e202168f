//! Fetching one file into the blob store: resumed, checked, and only once per machine.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use reqwest::{Method, Response, StatusCode, header::CONTENT_RANGE};

use crate::{
    api::Facts,
    error::{Error, Result},
    event::{Event, Listener},
    http::{Follow, Http, innermost},
    layout::RepoFolder,
    lock::Lock,
    meter::Meter,
    name::RepoId,
    options::HubOptions,
    partial::Partial,
    task::blocking,
};

/// Attempts in a row that may end without at least [`PROGRESS`] new bytes.
const MAX_STALLS: u32 = 4;
/// What counts as progress, in bytes: a line that keeps breaking may still get there.
const PROGRESS: u64 = 1 << 20;
/// Bytes gathered before they are handed to the thread that writes and hashes.
const BATCH: usize = 1 << 20;

/// One file to fetch.
pub(crate) struct Job<'a> {
    pub(crate) http: &'a Http,
    pub(crate) folder: &'a RepoFolder,
    pub(crate) repo: &'a RepoId,
    pub(crate) commit: &'a str,
    pub(crate) file: &'a str,
    pub(crate) facts: &'a Facts,
    pub(crate) options: &'a HubOptions,
    pub(crate) listener: Listener<'a>,
}

impl Job<'_> {
    /// Makes sure that the blob is present and linked from its snapshot.
    ///
    /// Dropping the future keeps what has arrived; the next run resumes there.
    pub(crate) async fn run(&self) -> Result<()> {
        let blob = self.folder.blob(&self.facts.digest);
        if !self.is_present(&blob) {
            let waiting = || (self.listener)(Event::Waiting { file: self.file.to_owned() });
            let path = self.folder.lock(&self.facts.digest);
            let lock = Lock::take(path, self.options.lock_wait, waiting).await?;
            // Whoever held the lock may have fetched it.
            if !self.is_present(&blob) {
                self.fetch(blob, lock).await?;
            }
        }
        self.folder.link(self.commit, self.file, &self.facts.digest)
    }

    fn is_present(&self, blob: &Path) -> bool {
        std::fs::metadata(blob).is_ok_and(|it| it.len() == self.facts.size)
    }

    async fn fetch(&self, blob: PathBuf, lock: Lock) -> Result<()> {
        let (label, target) = (self.file.to_owned(), blob.clone());
        let Facts { size, digest } = self.facts.clone();
        let mut partial =
            blocking(move || Partial::open(label, &target, digest, size, Some(lock))).await?;
        let mut meter = Meter::new(self.file, partial.done(), Some(size), self.listener);
        let mut stalls = 0;
        while partial.done() < partial.size() {
            let before = partial.done();
            let reason;
            (partial, reason) = self.attempt(partial, &mut meter).await?;
            let Some(reason) = reason else { break };
            match partial.done().saturating_sub(before) >= PROGRESS {
                true => stalls = 0,
                false => stalls += 1,
            }
            if stalls >= MAX_STALLS {
                let (file, done) = (self.file.to_owned(), partial.done());
                return Err(Error::Interrupted { file, done, total: size, reason });
            }
            tokio::time::sleep(self.options.retry_pause * 4_u32.pow(stalls)).await;
        }
        meter.finish(partial.done());
        (self.listener)(Event::Verifying { file: self.file.to_owned() });
        blocking(move || partial.finish(&blob)).await
    }

    /// One request. Comes back with the reason if the transfer broke and may be resumed.
    async fn attempt(
        &self,
        mut partial: Partial,
        meter: &mut Meter<'_>,
    ) -> Result<(Partial, Option<String>)> {
        let url = self.http.file_url(self.repo, self.commit, self.file);
        let offset = partial.done();
        let started = Instant::now();
        let response = match self.http.send(Method::GET, url, offset, Follow::All).await {
            // Lost in mid-download: worth another try. Never reached: let the caller move on.
            Err(Error::Unreachable { reason, .. }) if offset > 0 => {
                return Ok((partial, Some(reason)));
            }
            response => response?,
        };
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Ok((partial, Some(format!("HTTP {}", status.as_u16()))));
        }
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            partial = blocking(move || partial.restart().map(|()| partial)).await?;
            return Ok((partial, Some("the Hub refused to resume".to_owned())));
        }
        let what = format!("{} in {}@{}", self.file, self.repo, self.commit);
        let mut response = self.http.accept(response, self.repo, &what)?;
        if offset > 0 && !continues_at(&response, offset) {
            // The whole file comes again.
            partial = blocking(move || partial.restart().map(|()| partial)).await?;
            meter.restart();
        }
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let chunk = response.chunk().await;
            let more = matches!(chunk, Ok(Some(_)));
            if let Ok(Some(bytes)) = &chunk {
                batch.extend_from_slice(bytes);
            }
            if batch.len() >= BATCH || (!more && !batch.is_empty()) {
                let mut full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                (partial, full) =
                    blocking(move || partial.write(&full).map(|()| (partial, full))).await?;
                full.clear();
                batch = full;
            }
            meter.update(partial.done() + batch.len() as u64);
            match chunk {
                Ok(Some(_)) => {}
                Ok(None) if partial.done() == partial.size() => return Ok((partial, None)),
                Ok(None) => return Ok((partial, Some("the connection closed early".to_owned()))),
                Err(error) => {
                    let after = started.elapsed().as_secs();
                    return Ok((partial, Some(format!("{} after {after} s", innermost(&error)))));
                }
            }
        }
    }
}

/// Whether a response carries on where the file ends, rather than starting over.
fn continues_at(response: &Response, offset: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|it| it.to_str().ok());
    let start = range.and_then(|it| it.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    response.status() == StatusCode::PARTIAL_CONTENT && start == Some(offset)
}
