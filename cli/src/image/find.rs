//! Finding an image by what people write: a name, an id, its beginning, or a digest.

use oci::{Platform, Reference};
use store::{ImageRow, Store};

use super::{Image, Unread, all, familiar, try_read, try_read_any};
use crate::error::{Error, Result};

/// How many digits of an id are enough to try it as one.
const SHORTEST_ID: usize = 3;

/// How `text` was understood.
#[derive(Debug, Clone)]
pub(crate) enum Meant {
    /// As a name.
    Name(String),
    /// As an id or digest.
    Id,
}

/// What a search came to.
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub(crate) enum Sought {
    /// The image.
    Here(Image, Meant),
    /// Nothing of that name is here, or nothing for that platform, or only a part of its documents: a registry may have it.
    NotHere(Error),
}

/// Finds the image that `text` means: a name, an id, its beginning, or a manifest's digest. Without a platform it is the
/// host's, or else whichever is there.
pub(crate) fn find(store: &Store, text: &str, platform: Option<&Platform>) -> Result<(Image, Meant)> {
    match search(store, text, |row| match platform {
        Some(platform) => try_read(store, &row.manifest, Some(platform)),
        None => try_read_any(store, &row.manifest),
    })? {
        Sought::Here(image, meant) => Ok((image, meant)),
        Sought::NotHere(error) => Err(fetchable(error, text)),
    }
}

/// Adds how an image gets here.
fn fetchable(error: Error, text: &str) -> Error {
    if text.parse::<Reference>().is_ok() {
        error.hint(format!("`estiba pull {text}` asks its registry for it"))
    } else {
        error
    }
}

/// As [`find`], for exactly this platform; without one, for the host's where there are several.
pub(crate) fn seek(store: &Store, text: &str, platform: Option<&Platform>) -> Result<Sought> {
    search(store, text, |row| try_read(store, &row.manifest, platform))
}

/// The platforms that the image of a name is there for, in this store or where it came from.
pub(crate) fn platforms(store: &Store, text: &str) -> Result<Vec<Platform>> {
    let Some(row) = named_row(store, &text.parse()?)? else { return Err(missing(store, text)) };
    super::offered(store, &row.manifest)
}

/// The image of a name, for exactly this platform.
pub(crate) fn by_platform(store: &Store, name: &Reference, platform: &Platform) -> Result<Option<Image>> {
    let Some(row) = named_row(store, name)? else { return Ok(None) };
    match try_read(store, &row.manifest, Some(platform)) {
        Ok(image) => Ok(Some(image)),
        Err(Unread::Absent(_)) => Ok(None),
        Err(Unread::Failed(error)) => Err(error),
    }
}

fn search(store: &Store, text: &str, read: impl Fn(&ImageRow) -> Result<Image, Unread>) -> Result<Sought> {
    if let Ok(reference) = text.parse::<Reference>()
        && let Some(row) = named_row(store, &reference)?
    {
        return match read(&row) {
            Ok(image) => Ok(Sought::Here(image, Meant::Name(row.name))),
            Err(Unread::Absent(error)) => Ok(Sought::NotHere(error.context(text))),
            Err(Unread::Failed(error)) => Err(error),
        };
    }
    match by_id(store, text)? {
        Some(image) => Ok(Sought::Here(image, Meant::Id)),
        None => Ok(Sought::NotHere(missing(store, text))),
    }
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
        let digests = named.rows.iter().map(|row| row.manifest).chain([named.image.manifest.digest()]);
        let is_meant = named.image.id().hex().starts_with(&hex) || digests.into_iter().any(|one| one.hex() == hex);
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
    absent(error, text, &names)
}

/// The same, when there is no store at all.
pub(crate) fn missing_without_store(text: &str) -> Error {
    fetchable(absent(Error::failed(format!("image `{text}` is not in the store")), text, &[]), text)
}

fn absent(error: Error, text: &str, names: &[String]) -> Error {
    let bare = |name: &str| name.strip_suffix(":latest").unwrap_or(name).to_owned();
    let shown: Vec<_> = names.iter().map(|name| bare(name)).collect();
    let near = crate::near::ranked(&bare(text), shown.iter().map(String::as_str));
    let same_name = shown.iter().filter(|name| name.split(':').next() == text.split(':').next()).map(String::as_str);
    let mut close: Vec<&str> = same_name.chain(near).collect();
    close.dedup();
    match close.as_slice() {
        [] => error,
        close => error.hint(format!(
            "did you mean {}?",
            close.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
        )),
    }
}
