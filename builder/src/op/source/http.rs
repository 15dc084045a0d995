//! A file of the web as a tree with one entry: mode 0600, its time that of `Last-Modified`, or 1970.
//!
//! Beside the trees stands, under the hash of each address, what was seen there (`seen-…`), so that a file that is still the
//! same is not sent again. The address itself is kept nowhere: it may hold a secret.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use graph::{Http, Source};
use oci::{Algorithm, Digest, Hasher};
use remote::Client;
use remote::web::{Answer, Seen, modified};
use serde::{Deserialize, Serialize};
use store::Store;

use super::{SourceError, key};

/// Progress of a file: bytes that came, and how many there are, if the server says.
pub type Progress<'p> = &'p dyn Fn(u64, Option<u64>);

/// A file that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct WebSource<'a> {
    /// Its address.
    pub url: &'a str,
    /// The value of an `Authorization` header.
    pub authorization: Option<&'a str>,
    /// What it must be.
    pub checksum: Option<&'a Digest>,
    /// Its name in the tree.
    pub filename: &'a str,
}

/// What was seen at an address.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    etag: Option<String>,
    last_modified: Option<String>,
    digest: Option<Digest>,
}

/// Fetches a file into the store, unless it is there, and gives what it hashes to. With a checksum that the store has,
/// nobody is asked.
///
/// # Errors
/// [`SourceError`].
pub async fn bring(
    store: &Store,
    client: &Client,
    wanted: &WebSource<'_>,
    progress: Progress<'_>,
) -> Result<Digest, SourceError> {
    let key_of = |digest: &Digest| tree_key(digest, wanted.filename);
    if let Some(checksum) = wanted.checksum
        && store.fetched(&key_of(checksum))?.is_some()
    {
        return Ok(*checksum);
    }
    let note = format!("seen-{}", Digest::sha256(wanted.url.as_bytes()).hex());
    let remembered = recall(store, &note);
    let known = match remembered.digest {
        Some(digest) if wanted.checksum.is_none() && store.fetched(&key_of(&digest))?.is_some() => Some(digest),
        _ => None,
    };
    let seen = match known {
        Some(_) => Seen { etag: remembered.etag, last_modified: remembered.last_modified },
        None => Seen::default(),
    };
    match (client.web(wanted.url, wanted.authorization, &seen).await?, known) {
        (Answer::Same, Some(digest)) => Ok(digest),
        (Answer::Same, None) => Err(wrong_answer(wanted.url)),
        (Answer::File(file), _) => take(store, *file, wanted, &note, progress).await,
    }
}

/// Writes what is sent, hashed on its way to the disk: it is never in memory as a whole.
async fn take(
    store: &Store,
    mut sent: remote::web::File,
    wanted: &WebSource<'_>,
    note: &str,
    progress: Progress<'_>,
) -> Result<Digest, SourceError> {
    let fetching = store.fetch(note)?;
    let tree = fetching.tree();
    fs::create_dir(&tree).map_err(SourceError::io("mkdir", &tree))?;
    let path = tree.join(wanted.filename);
    let mut how = OpenOptions::new();
    let mut file =
        how.write(true).create_new(true).mode(0o600).open(&path).map_err(SourceError::io("create", &path))?;
    let mut hasher = Hasher::new(wanted.checksum.map_or(Algorithm::Sha256, Digest::algorithm));
    while let Some(chunk) = sent.chunk(hasher.size()).await? {
        store.room().take(chunk.len() as u64)?;
        hasher.update(&chunk);
        file.write_all(&chunk).map_err(SourceError::io("write", &path))?;
        progress(hasher.size(), sent.length);
    }
    let digest = hasher.finish();
    if let Some(wanted_digest) = wanted.checksum.filter(|wanted| **wanted != digest) {
        return Err(SourceError::Checksum { url: shown(wanted.url), found: digest, wanted: *wanted_digest });
    }
    stamp(&file, sent.seen.last_modified.as_deref()).map_err(SourceError::io("set the time of", &path))?;
    file.sync_all().map_err(SourceError::io("sync", &path))?;
    fetching.finish(&tree_key(&digest, wanted.filename), true)?;
    let Seen { etag, last_modified } = sent.seen;
    remember(store, note, &Remembered { etag, last_modified, digest: Some(digest) });
    Ok(digest)
}

fn stamp(file: &File, last_modified: Option<&str>) -> std::io::Result<()> {
    let seconds = last_modified.and_then(modified).and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The name of a file's tree.
pub(crate) fn tree_key(digest: &Digest, filename: &str) -> String {
    let source = Source::Http(Http { url: String::new(), digest: *digest, filename: filename.to_owned() });
    key(&source).unwrap_or_default()
}

/// What is unreadable was never seen.
fn recall(store: &Store, note: &str) -> Remembered {
    let text = fs::read(store.layout().context(note)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// A note that is lost costs one download.
fn remember(store: &Store, note: &str, remembered: &Remembered) {
    let write = |path: &Path| {
        let partial = path.with_extension(std::process::id().to_string());
        fs::write(&partial, serde_json::to_vec(remembered)?)?;
        fs::rename(&partial, path)
    };
    drop(write(&store.layout().context(note)));
}

fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or(url);
    match plain.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => plain.to_owned(),
    }
}

fn wrong_answer(url: &str) -> SourceError {
    let why = "the server says that it has not changed, but was not asked that".to_owned();
    SourceError::Web(remote::web::WebError::Transport { shown: shown(url), why })
}
