//! The store as one end of a copy: into it by pull and import, out of it by push and export.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use oci::{Descriptor, Digest, Platform, Reference, media_type};
use store::{Blobs, Store};

use super::document::{Document, MAX_DOCUMENT, Parsed};
use super::{Copied, CopyError, CopyOptions, Hands, Place, Which, seconds};
use crate::import;
use crate::transfer::pull::{self, PullOptions};
use crate::transfer::push::{self, PushOptions};

/// How many digits of an id are enough to try it as one.
const SHORTEST_ID: usize = 3;

/// What a name, an id or the beginning of one means in the store: the digest of a manifest or an index.
///
/// # Errors
/// When nothing is called so, or several images begin so.
pub fn find(store: &Store, name: &str) -> Result<Digest, CopyError> {
    if let Ok(reference) = name.parse::<Reference>()
        && reference.digest().is_none()
        && let Some(row) = store.index().image(&reference.to_string())?
    {
        return Ok(row.manifest);
    }
    let rows = store.index().images()?;
    let choice = |problem: &str| {
        let there = rows.iter().filter_map(|row| row.name.parse::<Reference>().ok()).map(|name| name.familiar());
        CopyError::Choice { place: format!("store:{name}"), problem: problem.to_owned(), there: there.collect() }
    };
    let digest = name.rsplit_once('@').map_or(name, |(_, digest)| digest);
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    if hex.len() < SHORTEST_ID || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(choice("no image is called so"));
    }
    let mut found: Vec<Digest> = Vec::new();
    for row in &rows {
        let is_meant = row.manifest.hex().starts_with(hex)
            || id_of(store, &row.manifest).is_some_and(|id| id.hex().starts_with(hex));
        if is_meant && !found.contains(&row.manifest) {
            found.push(row.manifest);
        }
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(choice("no image is called so")),
        _ => Err(choice("several images begin so")),
    }
}

fn id_of(store: &Store, manifest: &Digest) -> Option<Digest> {
    let document = document(store, manifest).ok()?;
    match document.parse().ok()? {
        Parsed::Image(manifest) => Some(manifest.config.digest),
        Parsed::Index(_) => None,
    }
}

/// A document of the store.
pub(crate) fn document(store: &Store, digest: &Digest) -> Result<Document, CopyError> {
    let bytes = store.blobs().read_bytes(digest, MAX_DOCUMENT)?;
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(&bytes)
        .map_err(|error| CopyError::Document { digest: *digest, problem: error.to_string() })?;
    let usual = if shape.manifests.is_some() { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST };
    let media_type = shape.media_type.unwrap_or_else(|| usual.to_owned());
    Ok(Document { bytes: bytes.into(), media_type, digest: *digest })
}

/// Of an index in the store, the image for a platform; a manifest as it is.
pub(super) fn for_platform(store: &Store, top: &Digest, platform: Option<&Platform>) -> Result<Digest, CopyError> {
    let Parsed::Index(index) = document(store, top)?.parse()? else { return Ok(*top) };
    let host = Platform::host();
    let wanted = platform.unwrap_or(&host);
    let fits = |one: &&Descriptor| one.platform.as_ref().is_some_and(|own| own.matches(wanted));
    let found = index.manifests.iter().find(fits).map(|one| one.digest);
    found.ok_or_else(|| CopyError::Platform {
        place: format!("store:{top}"),
        wanted: wanted.clone(),
        there: index.manifests.iter().filter_map(|one| one.platform.as_ref()).map(ToString::to_string).collect(),
    })
}

/// From the store into a registry.
pub(super) async fn push_to(
    hands: &Hands<'_>,
    store: &Arc<Store>,
    top: &Digest,
    to: &Reference,
    options: &CopyOptions,
) -> Result<Copied, CopyError> {
    let is_index = matches!(document(store, top)?.parse()?, Parsed::Index(_));
    let one = is_index && !options.all;
    let platform = one.then(|| options.platform.clone().unwrap_or_else(Platform::host));
    let defaults = PushOptions::default();
    let parallel = if options.parallel == 0 { defaults.parallel } else { options.parallel };
    // What the manifest lists as a tar goes out as one: compressed, it would have another digest.
    let form = options.preserve_digests.then_some(crate::CompressForm::Uncompressed);
    let compress = crate::Compress { form, ..crate::Compress::default() };
    let push_options = PushOptions { compress, platform, parallel, ..defaults };
    let pushed = push::push(store, hands.target, top, to, &push_options, hands.probe, hands.sink).await?;
    if options.preserve_digests && !one && pushed.descriptor.digest != *top {
        let (expected, found) = (*top, pushed.descriptor.digest);
        return Err(CopyError::Changed { place: to.to_string(), expected, found });
    }
    Ok(Copied { descriptor: pushed.descriptor, moved: pushed.moved, manifests: 1, fresh: Vec::new() })
}

/// Into the store, under a name.
pub(super) async fn keep(
    hands: &Hands<'_>,
    store: &Arc<Store>,
    from: &Place,
    name: &str,
    options: &CopyOptions,
) -> Result<Copied, CopyError> {
    let name: Reference = name.parse().map_err(super::PlaceError::from)?;
    // Until it is named, only the lease keeps a collector away from it.
    let _lease = store.lease()?;
    let copied = match from {
        Place::Registry(reference) => {
            let defaults = PullOptions::default();
            let parallel = if options.parallel == 0 { defaults.parallel } else { options.parallel };
            let (platform, all_platforms) = (options.platform.clone(), options.all);
            let pull_options = PullOptions { platform, all_platforms, parallel, name_it: false, ..defaults };
            let pulled = pull::pull(store, hands.source, reference, &pull_options, hands.probe, hands.sink).await?;
            let descriptor = document(store, &pulled.top)?.descriptor();
            Copied { descriptor, moved: pulled.moved, manifests: 1, fresh: pulled.fresh }
        }
        other => {
            let digest = import_from(store, other, options).await?;
            let descriptor = document(store, &digest)?.descriptor();
            Copied { descriptor, moved: 0, manifests: 1, fresh: Vec::new() }
        }
    };
    store.index().put_image(&name.to_string(), &copied.descriptor.digest, seconds())?;
    Ok(copied)
}

/// Brings an image of files into the store; gives its manifest.
pub(super) async fn import_from(store: &Arc<Store>, from: &Place, options: &CopyOptions) -> Result<Digest, CopyError> {
    if options.all {
        let why = "the store takes one platform of a layout: choose it with --platform";
        return Err(CopyError::Pair { from: from.transport(), to: "store", why });
    }
    let (store, from) = (Arc::clone(store), from.clone());
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let imported = tokio::task::spawn_blocking(move || import_now(&store, &from, &platform));
    imported.await.map_err(|error| CopyError::lost(&error))?
}

fn import_now(store: &Store, from: &Place, platform: &Platform) -> Result<Digest, CopyError> {
    let place = from.to_string();
    match from {
        Place::Layout { dir, which } => {
            let reference = match which {
                Which::Only => None,
                Which::Named(name) => Some(name.clone()),
                Which::Digest(digest) => Some(digest.to_string()),
            };
            Ok(import::layout(store, dir, reference.as_deref(), platform)?)
        }
        Place::Archive { file, which } => {
            let named = |name: &Reference| match which {
                Which::Only | Which::Digest(_) => true,
                Which::Named(wanted) => {
                    let tag = name.tag().map(oci::Tag::as_str);
                    tag == Some(wanted) || name.familiar() == *wanted || wanted.parse() == Ok(name.clone())
                }
            };
            one_of(&place, archive(store, file)?, matches!(which, Which::Only), named)
        }
        Place::DockerArchive { file, reference } => {
            let named = |name: &Reference| reference.as_ref().is_none_or(|wanted| wanted == name);
            one_of(&place, archive(store, file)?, reference.is_none(), named)
        }
        Place::Registry(_) | Place::Store(_) => Err(CopyError::Pair { from: from.transport(), to: "store", why: "" }),
    }
}

fn archive(store: &Store, file: &Path) -> Result<Vec<(Vec<Reference>, Digest)>, CopyError> {
    let stream = File::open(file).map_err(|error| CopyError::io("open", file, error))?;
    Ok(import::archive(store, Box::new(stream))?)
}

/// The one image that is meant.
fn one_of(
    place: &str,
    images: Vec<(Vec<Reference>, Digest)>,
    any: bool,
    named: impl Fn(&Reference) -> bool,
) -> Result<Digest, CopyError> {
    let meant: Vec<&Digest> =
        images.iter().filter(|(names, _)| any || names.iter().any(&named)).map(|(_, digest)| digest).collect();
    match meant[..] {
        [one] => Ok(*one),
        _ => Err(CopyError::Choice {
            place: place.to_owned(),
            problem: if meant.is_empty() { "no image is called so" } else { "there are several images: name one" }
                .to_owned(),
            there: images.iter().flat_map(|(names, _)| names.iter().map(Reference::familiar)).collect(),
        }),
    }
}
