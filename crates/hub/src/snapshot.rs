//! Fetching the files of one Hub revision into the shared cache.

use crate::{
    api::{Facts, Listing},
    catalogue::Entry,
    digest::Digest,
    download::Job,
    error::{Error, Result},
    event::{Event, Listener, Source},
    http::Http,
    layout::RepoFolder,
    local,
    name::HubName,
    options::HubOptions,
    partial::Partial,
    select, space,
};

/// Asks what the revision holds, chooses, checks the disk, and fetches what is missing. The
/// reference (`refs/main`) is written last, so it only ever names a snapshot that is complete.
///
/// `pin` is the catalogue entry whose bytes the single chosen file must have.
pub(crate) async fn fetch(
    http: &Http,
    options: &HubOptions,
    name: &HubName,
    pin: Option<&Entry>,
    listener: Listener<'_>,
) -> Result<crate::Resolved> {
    let label = name.to_string();
    let listing = http.listing(name).await?;
    let paths: Vec<String> = listing.files.iter().map(|it| it.path.clone()).collect();
    let selection = select::select(&label, &paths, name.filter.as_deref())?;
    let folder = RepoFolder::new(&options.hub_cache, &name.repo);
    let fetcher = Fetcher { http, options, name, listing: &listing, folder: &folder, listener };
    let mut files = selection.files();
    if selection.is_indexed() {
        // The index first: only it knows the shards.
        fetcher.fetch_all(&fetcher.plan(&[select::INDEX.to_owned()], None).await?).await?;
        let index = folder.snapshot(&listing.commit).join(select::INDEX);
        files.extend(local::read_shards(&label, &index)?);
    }
    let plan = fetcher.plan(&files, pin).await?;
    fetcher.announce(&plan)?;
    fetcher.fetch_all(&plan).await?;
    folder.write_ref(name.revision(), &listing.commit)?;
    let source = Source::Hub { repo: name.repo.to_string() };
    let mut resolved =
        local::resolved(&folder.snapshot(&listing.commit), &selection, files, source);
    resolved.licence = listing.licence.clone();
    Ok(resolved)
}

struct Fetcher<'a> {
    http: &'a Http,
    options: &'a HubOptions,
    name: &'a HubName,
    listing: &'a Listing,
    folder: &'a RepoFolder,
    listener: Listener<'a>,
}

/// A file and what is promised of it.
type Planned = (String, Facts);

impl Fetcher<'_> {
    /// Size and digest of every file, from the listing or else by asking.
    async fn plan(&self, files: &[String], pin: Option<&Entry>) -> Result<Vec<Planned>> {
        let mut plan = Vec::with_capacity(files.len());
        for file in files {
            let listed = self.listing.files.iter().find(|it| it.path == *file);
            let listed = listed.ok_or_else(|| Error::NoModel {
                name: self.name.to_string(),
                reason: format!("its index names {file}, which it does not hold"),
            })?;
            let facts = match &listed.facts {
                Some(facts) => facts.clone(),
                None => self.http.facts(&self.name.repo, &self.listing.commit, file).await?,
            };
            if let Some(pin) = pin {
                check_pin(file, &facts, pin)?;
            }
            plan.push((file.clone(), facts));
        }
        Ok(plan)
    }

    /// Reports the sums and refuses what does not fit on the disk.
    fn announce(&self, plan: &[Planned]) -> Result<()> {
        let bytes = plan.iter().fold(0_u64, |sum, (_, it)| sum.saturating_add(it.size));
        let present: u64 = plan.iter().map(|(_, facts)| self.present(facts)).sum();
        (self.listener)(Event::Planned { files: plan.len(), bytes, present });
        let probe = self.options.free_space.as_ref();
        match bytes.saturating_sub(present) {
            0 => Ok(()),
            missing => space::check(probe, &self.folder.root(), missing),
        }
    }

    /// Bytes of a file that are on this machine, finished or not.
    fn present(&self, facts: &Facts) -> u64 {
        let blob = self.folder.blob(&facts.digest);
        let size = |path| std::fs::metadata(path).map(|it| it.len()).ok();
        size(blob.clone()).or_else(|| size(Partial::path_of(&blob))).unwrap_or(0).min(facts.size)
    }

    async fn fetch_all(&self, plan: &[Planned]) -> Result<()> {
        for (file, facts) in plan {
            let job = Job {
                http: self.http,
                folder: self.folder,
                repo: &self.name.repo,
                commit: &self.listing.commit,
                file,
                facts,
                options: self.options,
                listener: self.listener,
            };
            job.run().await?;
        }
        Ok(())
    }
}

/// A catalogue model is its bytes; a repository that has other ones is not a source of it.
fn check_pin(file: &str, facts: &Facts, pin: &Entry) -> Result<()> {
    let expected = Digest::Sha256(pin.sha256.to_ascii_lowercase());
    match facts.digest == expected && facts.size == pin.bytes {
        true => Ok(()),
        false => Err(Error::OtherBytes {
            file: file.to_owned(),
            expected: expected.to_string(),
            actual: facts.digest.to_string(),
        }),
    }
}
