//! Images of the store: found by name, id or digest, and read.

use std::collections::BTreeMap;
use std::io::Read;

use oci::{Digest, ImageConfig, Index, Manifest, Platform, Raw, Reference};
use store::{ImageRow, Store};

use crate::error::{Error, Result, While, code};

/// The largest manifest or configuration that is read: registries refuse more than 4 MiB.
const MAX_DOCUMENT: u64 = 8 << 20;

/// How many digits of an id are enough to try it as one.
const SHORTEST_ID: usize = 3;

/// An image for one platform.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Its manifest.
    pub(crate) manifest: Raw<Manifest>,
    /// Its configuration, whose digest is the image's id.
    pub(crate) config: Raw<ImageConfig>,
}

/// An image and every name that points at it.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// The image.
    pub(crate) image: Image,
    /// The rows, sorted by name.
    pub(crate) rows: Vec<ImageRow>,
}

/// The row name of an image that was built without a tag: it keeps the image until `prune`.
pub(crate) fn anonymous_name(id: &Digest) -> String {
    id.to_string()
}

/// Whether a row stands for an image without a name.
pub(crate) fn is_anonymous(name: &str) -> bool {
    name.parse::<Digest>().is_ok()
}

/// A row's name as users write it; `None` for an image without a name.
pub(crate) fn familiar(name: &str) -> Option<Reference> {
    if is_anonymous(name) { None } else { name.parse().ok() }
}

impl Image {
    /// The image's id.
    pub(crate) fn id(&self) -> Digest {
        self.config.digest()
    }

    /// The sum of its layers' sizes, unpacked where that is known.
    pub(crate) fn size(&self, store: &Store) -> Result<u64> {
        let diff_ids = &self.config.value().rootfs.diff_ids;
        let mut total = 0u64;
        for (at, diff_id) in diff_ids.iter().enumerate() {
            let layer = match store.index().layer_by_diff_id(diff_id)? {
                Some(id) => store.index().layer(&id)?,
                None => None,
            };
            let known = layer.map(|layer| layer.size).filter(|&size| size > 0);
            let stored = self.manifest.value().layers.get(at).map_or(0, |layer| layer.size);
            total = total.saturating_add(known.unwrap_or(stored));
        }
        Ok(total)
    }
}

/// Reads the image behind `digest`, which may name an index: then the one for `platform`.
pub(crate) fn read(store: &Store, digest: &Digest, platform: Option<&Platform>) -> Result<Image> {
    let bytes = document(store, digest)?;
    let shape: Shape = serde_json::from_slice(&bytes).during(format!("manifest {digest}"))?;
    if shape.manifests.is_some() {
        let index: Raw<Index> = Raw::parse(bytes).during(format!("index {digest}"))?;
        let chosen = choose(index.value(), digest, platform)?;
        return read_manifest(store, document(store, &chosen)?, &chosen);
    }
    let image = read_manifest(store, bytes, digest)?;
    let own = image.config.value().platform();
    match platform {
        Some(wanted) if !own.matches(wanted) => Err(wrong_platform(wanted, &[own])),
        _ => Ok(image),
    }
}

/// What tells a manifest from an index.
#[derive(serde::Deserialize)]
struct Shape {
    manifests: Option<serde::de::IgnoredAny>,
}

fn read_manifest(store: &Store, bytes: Vec<u8>, digest: &Digest) -> Result<Image> {
    let manifest: Raw<Manifest> = Raw::parse(bytes).during(format!("manifest {digest}"))?;
    let config_digest = manifest.value().config.digest;
    let config = Raw::parse(document(store, &config_digest)?).during(format!("config {config_digest}"))?;
    Ok(Image { manifest, config })
}

fn choose(index: &Index, digest: &Digest, platform: Option<&Platform>) -> Result<Digest> {
    let host = Platform::host();
    let wanted = platform.unwrap_or(&host);
    let matching = index.manifests.iter().find(|one| one.platform.as_ref().is_some_and(|own| own.matches(wanted)));
    match (matching, index.manifests.as_slice()) {
        (Some(found), _) => Ok(found.digest),
        (None, [only]) if only.platform.is_none() => Ok(only.digest),
        (None, []) => Err(Error::failed(format!("index {digest} lists no image"))),
        (None, some) => {
            Err(wrong_platform(wanted, &some.iter().filter_map(|one| one.platform.clone()).collect::<Vec<_>>()))
        }
    }
}

fn wrong_platform(wanted: &Platform, there: &[Platform]) -> Error {
    let there: Vec<_> = there.iter().map(ToString::to_string).collect();
    Error::failed(format!("the image is not there for {wanted}, only for {}", there.join(", ")))
        .hint("`--platform` chooses another")
}

fn document(store: &Store, digest: &Digest) -> Result<Vec<u8>> {
    let file = store.blobs().open(digest)?;
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).during(format!("read {digest}"))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(Error::failed(format!(
            "{digest} is longer than {MAX_DOCUMENT} bytes: it is not a manifest or config"
        )));
    }
    Ok(bytes)
}

/// Every image with its names, images sorted newest first.
///
/// A row whose blobs are gone is left out here; `doctor` reports it.
pub(crate) fn all(store: &Store) -> Result<Vec<Named>> {
    let mut by_manifest: BTreeMap<Digest, Vec<ImageRow>> = BTreeMap::new();
    for row in store.index().images()? {
        by_manifest.entry(row.manifest).or_default().push(row);
    }
    let mut images = Vec::new();
    for (digest, mut rows) in by_manifest {
        let Ok(image) = read_any(store, &digest) else { continue };
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        images.push(Named { image, rows });
    }
    images.sort_by_key(|named| std::cmp::Reverse(created(&named.image)));
    Ok(images)
}

/// As [`read`] for the host's platform, or else the first platform there is.
pub(crate) fn read_any(store: &Store, digest: &Digest) -> Result<Image> {
    let first = match read(store, digest, None) {
        Ok(image) => return Ok(image),
        Err(error) => error,
    };
    let index: Index = serde_json::from_slice(&document(store, digest)?)?;
    let Some(one) = index.manifests.first() else { return Err(first) };
    read_manifest(store, document(store, &one.digest)?, &one.digest)
}

/// When the image was made, in seconds since 1970; 0 where it does not say.
pub(crate) fn created(image: &Image) -> i64 {
    image.config.value().created.as_ref().and_then(oci::Timestamp::unix_seconds).unwrap_or(0)
}

/// How `text` was understood.
#[derive(Debug, Clone)]
pub(crate) enum Meant {
    /// As a name.
    Name(String),
    /// As an id or digest.
    Id,
}

/// Finds the image that `text` means: a name, an id, its beginning, or a manifest's digest.
pub(crate) fn find(store: &Store, text: &str, platform: Option<&Platform>) -> Result<(Image, Meant)> {
    if let Ok(reference) = text.parse::<Reference>()
        && let Some(row) = named_row(store, &reference)?
    {
        return Ok((read(store, &row.manifest, platform)?, Meant::Name(row.name)));
    }
    if let Some(image) = by_id(store, text)? {
        return Ok((image, Meant::Id));
    }
    Err(missing(store, text))
}

/// The row of a name; a digest beside the name must be the one it points at.
fn named_row(store: &Store, reference: &Reference) -> Result<Option<ImageRow>> {
    let Some(digest) = reference.digest() else { return Ok(store.index().image(&reference.to_string())?) };
    let rows = store.index().images()?;
    Ok(rows
        .into_iter()
        .find(|row| row.manifest == *digest && familiar(&row.name).is_some_and(|own| own.name() == reference.name())))
}

fn by_id(store: &Store, text: &str) -> Result<Option<Image>> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.len() < SHORTEST_ID || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let hex = hex.to_ascii_lowercase();
    let mut found: Vec<Image> = Vec::new();
    for named in all(store)? {
        let is_meant = named.image.id().hex().starts_with(&hex) || named.image.manifest.digest().hex() == hex;
        if is_meant && !found.iter().any(|image| image.id() == named.image.id()) {
            found.push(named.image);
        }
    }
    match found.len() {
        0 | 1 => Ok(found.pop()),
        many => Err(Error::failed(format!("`{text}` begins the ids of {many} images")).hint("write more of the id")),
    }
}

/// The error for an image that is not here: near names, and how one gets here.
pub(crate) fn missing(store: &Store, text: &str) -> Error {
    let error = Error::failed(format!("image `{text}` is not in the store"));
    let names: Vec<String> = match store.index().images() {
        Ok(rows) => rows.iter().filter_map(|row| familiar(&row.name)).map(|name| name.familiar()).collect(),
        Err(_) => Vec::new(),
    };
    absent(error.code(code::FAILED), text, &names)
}

/// The same, when there is no store at all.
pub(crate) fn missing_without_store(text: &str) -> Error {
    absent(Error::failed(format!("image `{text}` is not in the store")), text, &[])
}

fn absent(error: Error, text: &str, names: &[String]) -> Error {
    let bare = |name: &str| name.strip_suffix(":latest").unwrap_or(name).to_owned();
    let shown: Vec<_> = names.iter().map(|name| bare(name)).collect();
    let near = crate::near::ranked(&bare(text), shown.iter().map(String::as_str));
    let same_name = shown.iter().filter(|name| name.split(':').next() == text.split(':').next()).map(String::as_str);
    let mut close: Vec<&str> = same_name.chain(near).collect();
    close.dedup();
    let error = match close.as_slice() {
        [] => error,
        close => error.hint(format!(
            "did you mean {}?",
            close.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
        )),
    };
    error.hint(
        "registries come in a later version of estiba; until then:\n\
         estiba load -i FILE                an archive of `docker save`, podman or skopeo\n\
         FROM oci-layout://DIR              an OCI layout, straight from its folder\n\
         testdata/base/busybox.sh, debian.sh  make base images from Debian packages",
    )
}
