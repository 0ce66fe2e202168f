//! A small Hub: the listing, `resolve` with its headers, and storage on another origin.
//!
//! HTTP/1.1 over loopback, one thread per connection, one request per connection.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use sha2::Digest as _;

/// The commit of every fake repository.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the fake Hub misbehaves, and what it holds.
#[derive(Default)]
pub struct Behaviour {
    /// `org/repo` → file → bytes. Files above 1000 bytes are "large": SHA-256, kept in storage.
    pub repos: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// The token it insists on.
    pub token: Option<&'static str>,
    /// What does not exist is hidden behind a 401, as the Hub does towards strangers.
    pub hide_missing: bool,
    /// The listing leaves sizes and digests out, as some mirrors do.
    pub bare_listing: bool,
    /// Storage closes the connection after this many bytes, this many times.
    pub cut: Option<(usize, usize)>,
    /// Storage changes a byte.
    pub corrupt: bool,
    /// Storage sends the whole file whatever range is asked for.
    pub ignore_range: bool,
    /// Storage redirects to itself.
    pub redirect_loop: bool,
    /// Time per 64 KiB of storage.
    pub delay: Duration,
    /// Everything answers this status.
    pub status: Option<u16>,
}

/// One request that arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub storage: bool,
    pub authorised: bool,
    pub range: Option<String>,
}

/// A running fake; it lives until the test process ends.
#[derive(Clone)]
pub struct FakeHub {
    pub url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    log: Arc<Mutex<Vec<Request>>>,
}

impl FakeHub {
    pub fn start(behaviour: Behaviour) -> Self {
        let (hub, storage) = (listen(), listen());
        let address = |it: &TcpListener| format!("http://{}", it.local_addr().expect("bound"));
        let fake = Self {
            url: address(&hub),
            behaviour: Arc::new(Mutex::new(behaviour)),
            log: Arc::default(),
        };
        let storage_url = address(&storage);
        for (listener, is_storage) in [(hub, false), (storage, true)] {
            let (fake, storage_url) = (fake.clone(), storage_url.clone());
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (fake, storage_url) = (fake.clone(), storage_url.clone());
                    // A client that hangs up is part of the tests.
                    thread::spawn(move || fake.serve(stream, is_storage, &storage_url).ok());
                }
            });
        }
        fake
    }

    pub fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().expect("not poisoned")
    }

    pub fn log(&self) -> Vec<Request> {
        self.log.lock().expect("not poisoned").clone()
    }

    /// Requests to storage, in order.
    pub fn storage_log(&self) -> Vec<Request> {
        self.log().into_iter().filter(|it| it.storage).collect()
    }

    fn serve(&self, stream: TcpStream, storage: bool, storage_url: &str) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut first = lines.first().map(String::as_str).unwrap_or_default().split(' ');
        let method = first.next().unwrap_or_default().to_owned();
        let path = first.next().unwrap_or_default().to_owned();
        let header = |name: &str| {
            let field = lines.iter().filter_map(|it| it.split_once(": "));
            field.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
        };
        let (authorisation, range) = (header("authorization"), header("range").map(str::to_owned));
        let authorised = authorisation.is_some();
        let request = Request { method, path, storage, authorised, range };
        self.log.lock().expect("not poisoned").push(request.clone());
        let token = self.behaviour().token;
        let status = self.behaviour().status;
        let allowed = token.is_none_or(|it| authorisation == Some(&format!("Bearer {it}")));
        match (status, storage) {
            (Some(status), _) => reply(&stream, status, &[], b""),
            (None, true) => self.serve_storage(&stream, &request),
            (None, false) if !allowed && authorised => reply(&stream, 403, &[], b""),
            (None, false) if !allowed => reply(&stream, 401, &[("x-error-code", "GatedRepo")], b""),
            (None, false) => self.serve_hub(&stream, &request, storage_url),
        }
    }

    fn serve_hub(
        &self,
        stream: &TcpStream,
        request: &Request,
        storage: &str,
    ) -> std::io::Result<()> {
        let path = request.path.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts[..] {
            ["api", "models", org, repo, "revision", revision] => {
                let missing = if self.behaviour().hide_missing { 401 } else { 404 };
                match self.listing(&format!("{org}/{repo}"), revision) {
                    Some(listing) => reply(stream, 200, &[], listing.as_bytes()),
                    None => reply(stream, missing, &[("x-error-code", "RepoNotFound")], b""),
                }
            }
            [org, repo, "resolve", COMMIT, ref file @ ..] => {
                let bytes = self.file(&format!("{org}/{repo}"), &file.join("/"));
                let Some(bytes) = bytes else { return reply(stream, 404, &[], b"") };
                let size = bytes.len().to_string();
                if bytes.len() <= 1000 {
                    let etag = format!("\"{}\"", git_hash(&bytes));
                    let headers = [("etag", etag.as_str()), ("x-repo-commit", COMMIT)];
                    let body: &[u8] = if request.method == "HEAD" { b"" } else { &bytes };
                    return reply_sized(stream, 200, &headers, body, bytes.len());
                }
                let etag = format!("\"{}\"", sha256(&bytes));
                let location = format!("{storage}/{org}/{repo}/{}", file.join("/"));
                let headers = [
                    ("location", location.as_str()),
                    ("x-repo-commit", COMMIT),
                    ("x-linked-etag", &etag),
                    ("x-linked-size", &size),
                ];
                reply(stream, 302, &headers, b"")
            }
            _ => reply(stream, 404, &[], b""),
        }
    }

    fn serve_storage(&self, stream: &TcpStream, request: &Request) -> std::io::Result<()> {
        let mut parts = request.path.trim_start_matches('/').splitn(3, '/');
        let (org, repo) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut bytes = self
            .file(&format!("{org}/{repo}"), parts.next().unwrap_or_default())
            .unwrap_or_default();
        let (cut, delay, ignore_range);
        {
            let mut behaviour = self.behaviour();
            if behaviour.redirect_loop {
                return reply(stream, 302, &[("location", &request.path)], b"");
            }
            if behaviour.corrupt {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            (delay, ignore_range) = (behaviour.delay, behaviour.ignore_range);
            cut = behaviour.cut.filter(|(_, times)| *times > 0).map(|(at, _)| at);
            if let Some((_, times)) = &mut behaviour.cut {
                *times = times.saturating_sub(1);
            }
        }
        let total = bytes.len();
        let start = request.range.as_deref().filter(|_| !ignore_range);
        let start = start.and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let mut out = stream;
        let body = match start {
            None => {
                write!(out, "HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n")?;
                &bytes[..]
            }
            Some(start) if start >= total => return reply(stream, 416, &[], b""),
            Some(start) => {
                let (end, length) = (total - 1, total - start);
                write!(out, "HTTP/1.1 206 Partial Content\r\ncontent-length: {length}\r\n")?;
                write!(out, "content-range: bytes {start}-{end}/{total}\r\n")?;
                &bytes[start..]
            }
        };
        write!(out, "connection: close\r\n\r\n")?;
        for chunk in body[..cut.unwrap_or(body.len()).min(body.len())].chunks(1 << 16) {
            out.write_all(chunk)?;
            thread::sleep(delay);
        }
        Ok(())
    }

    fn file(&self, repo: &str, file: &str) -> Option<Vec<u8>> {
        self.behaviour().repos.get(repo)?.get(file).cloned()
    }

    fn listing(&self, repo: &str, revision: &str) -> Option<String> {
        let behaviour = self.behaviour();
        let files = behaviour.repos.get(repo)?;
        if !["main", "v1", "refs%2Fpr%2F1", COMMIT].contains(&revision) {
            return None;
        }
        let siblings = files.iter().map(|(name, bytes)| match (behaviour.bare_listing, bytes.len()) {
            (true, _) => serde_json::json!({ "rfilename": name }),
            (false, size @ 0..=1000) => {
                serde_json::json!({ "rfilename": name, "size": size, "blobId": git_hash(bytes) })
            }
            (false, size) => serde_json::json!({
                "rfilename": name, "size": size, "blobId": git_hash(b"pointer"),
                "lfs": { "sha256": sha256(bytes), "size": size, "pointerSize": 130 }
            }),
        });
        let listing = serde_json::json!({
            "id": repo, "sha": COMMIT, "siblings": siblings.collect::<Vec<_>>(),
            "cardData": { "license": "apache-2.0" }, "gated": false, "private": false
        });
        Some(listing.to_string())
    }
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port on loopback")
}

fn reply(
    stream: &TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<()> {
    reply_sized(stream, status, headers, body, body.len())
}

fn reply_sized(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
    length: usize,
) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} Fake\r\nconnection: close\r\ncontent-length: {length}\r\n")?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(body)
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

/// The name git gives to these bytes.
pub fn git_hash(bytes: &[u8]) -> String {
    let mut hasher = sha1::Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
