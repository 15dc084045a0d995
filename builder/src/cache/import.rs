//! Reading caches: a manifest and a configuration each, all side by side; no layer.

use oci::{Descriptor, Digest, Index, Manifest, Platform};
use tokio::runtime::Handle;

use super::backend::{Backend, BackendError, Blob, open};
use super::portable::{self, Cache, MAX_CONFIG, PortableError};
use crate::Request;
use crate::request::CacheDocument;

/// Why a cache is not used.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("{place}: {source}")]
    Portable { place: String, source: PortableError },
    #[error("{place}: {problem}")]
    Malformed { place: String, problem: String },
}

/// Imports the caches of a request. Gives what was read, and a line for each that cannot be used: a build never fails
/// for its caches. The calls run on the reactor of `handle`, which is not this thread's.
pub(crate) fn import(
    request: &Request,
    client: Option<&remote::Client>,
    handle: &Handle,
) -> (Vec<CacheDocument>, Vec<String>) {
    let caching = &request.options.caching;
    let platforms: Vec<&Platform> = request.images.iter().map(|image| &image.platform).collect();
    let one = |from: usize| -> Result<Vec<CacheDocument>, ImportError> {
        let backend = open(&caching.from[from].place, caching, client, handle)?;
        read(&*backend, from, &platforms)
    };
    let results: Vec<Result<Vec<CacheDocument>, ImportError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..caching.from.len()).map(|from| scope.spawn(move || one(from))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            let died =
                || ImportError::Malformed { place: "cache".to_owned(), problem: "its thread panicked".to_owned() };
            thread.join().unwrap_or_else(|_| Err(died()))
        };
        threads.into_iter().map(join).collect()
    });
    let (mut documents, mut notes) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(read) => documents.extend(read),
            Err(error) => notes.push(format!("cache not used: {error}")),
        }
    }
    (documents, notes)
}

/// The cache at one place; of an index, those of the platforms that are built.
fn read(backend: &dyn Backend, from: usize, platforms: &[&Platform]) -> Result<Vec<CacheDocument>, ImportError> {
    let place = backend.place();
    let Some(top) = backend.get_manifest(None)? else {
        return Err(ImportError::Malformed { place, problem: "there is nothing yet".to_owned() });
    };
    if portable::is_buildkit(&top) {
        return Err(ImportError::Portable { place, source: PortableError::BuildKit });
    }
    let malformed = |problem: String| ImportError::Malformed { place: place.clone(), problem };
    let Some(children) = children(&top, platforms).map_err(&malformed)? else {
        return Ok(vec![document(backend, from, &place, top)?]);
    };
    let mut documents = Vec::new();
    let mut missing = None;
    for child in children {
        let manifest = backend.get_child(&Blob { digest: child.digest, size: child.size });
        match manifest.map_err(Into::into).and_then(|manifest| document(backend, from, &place, manifest)) {
            Ok(document) => documents.push(document),
            // Of several images one may have a cache, and another none, or be gone.
            Err(error) => missing = Some(error),
        }
    }
    match missing {
        Some(error) if documents.is_empty() => Err(error),
        _ => Ok(documents),
    }
}

/// What an index lists for these platforms; `None` for what is no index.
fn children(top: &[u8], platforms: &[&Platform]) -> Result<Option<Vec<Descriptor>>, String> {
    let value: serde_json::Value = serde_json::from_slice(top).map_err(|error| error.to_string())?;
    if value.get("manifests").is_none() {
        return Ok(None);
    }
    let index: Index = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let wanted = |child: &Descriptor| child.platform.as_ref().is_some_and(|platform| platforms.contains(&platform));
    let children: Vec<Descriptor> = index.manifests.into_iter().filter(wanted).collect();
    if children.is_empty() {
        return Err("its index has nothing for the platforms that are built".to_owned());
    }
    Ok(Some(children))
}

/// A manifest with its configuration, read and found usable.
fn document(backend: &dyn Backend, from: usize, place: &str, manifest: Vec<u8>) -> Result<CacheDocument, ImportError> {
    let malformed = |problem: String| ImportError::Malformed { place: place.to_owned(), problem };
    let parsed: Manifest =
        serde_json::from_slice(&manifest).map_err(|error| malformed(format!("its manifest: {error}")))?;
    let described = &parsed.config;
    if described.size > MAX_CONFIG {
        return Err(malformed(format!("its records are {} bytes, more than {MAX_CONFIG}", described.size)));
    }
    let config = match embedded(described) {
        Some(config) => config,
        None => {
            let mut config = Vec::new();
            backend.get_blob(&Blob { digest: described.digest, size: described.size }, &mut config)?;
            config
        }
    };
    Cache::read(&manifest, &config).map_err(|source| ImportError::Portable { place: place.to_owned(), source })?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| malformed("it is no UTF-8".to_owned()));
    Ok(CacheDocument { from, place: place.to_owned(), manifest: text(manifest)?, config: text(config)? })
}

/// The configuration that stands in its descriptor (image-spec, descriptor.md, `data`), if it is what it says.
fn embedded(described: &Descriptor) -> Option<Vec<u8>> {
    let bytes = oci_base64(described.data.as_deref()?)?;
    (bytes.len() as u64 == described.size && Digest::sha256(&bytes) == described.digest).then_some(bytes)
}

fn oci_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
