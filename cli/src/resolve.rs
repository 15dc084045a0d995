//! Answers what a plan asks: image configurations, out of the store or an OCI layout.

use std::path::{Path, PathBuf};

use frontend::{Provided, Wanted};
use oci::Platform;
use store::Store;

use crate::error::{Error, Result, While};
use crate::image;

/// How a reference names an OCI layout on disk.
pub(crate) const LAYOUT: &str = "oci-layout://";

/// Finds what the plan wants. `store` is opened by the first question that needs it.
pub(crate) fn answer(store: &Store, wanted: &Wanted) -> Result<Provided> {
    let Wanted::Image { reference, platform, .. } = wanted;
    let image = match reference.strip_prefix(LAYOUT) {
        Some(layout) => from_layout(store, layout, platform)?,
        None => {
            let bare = reference.strip_prefix("docker-image://").unwrap_or(reference);
            image::find(store, bare, Some(platform))?.0
        }
    };
    Ok(Provided::Image { manifest: image.manifest.digest(), config: image.config })
}

/// The image of an OCI layout, brought into the store: `DIR`, `DIR:TAG` or `DIR@sha256:…`.
pub(crate) fn from_layout(store: &Store, layout: &str, platform: &Platform) -> Result<image::Image> {
    let (dir, reference) = split_layout(layout);
    if !dir.join("index.json").exists() {
        let error = Error::failed(format!("{} is not an OCI layout: it has no index.json", dir.display()));
        return Err(error.hint("`skopeo copy … oci:DIR` and `estiba build -o type=oci,tar=false,dest=DIR` write one"));
    }
    let manifest =
        builder::import::layout(store, &dir, reference.as_deref(), platform).during(format!("{LAYOUT}{layout}"))?;
    image::read(store, &manifest, Some(platform))
}

/// Splits tag or digest from the folder; a folder that is there wins over a name with a colon.
fn split_layout(layout: &str) -> (PathBuf, Option<String>) {
    if Path::new(layout).exists() {
        return (PathBuf::from(layout), None);
    }
    if let Some((dir, digest)) = layout.rsplit_once('@') {
        return (PathBuf::from(dir), Some(digest.to_owned()));
    }
    match layout.rsplit_once(':') {
        Some((dir, tag)) if !tag.contains('/') => (PathBuf::from(dir), Some(tag.to_owned())),
        _ => (PathBuf::from(layout), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_may_name_a_tag_or_a_digest() {
        let split = |text: &str| split_layout(text);
        assert_eq!(split("/no/dir:v1"), (PathBuf::from("/no/dir"), Some("v1".to_owned())));
        assert_eq!(split("/no/dir"), (PathBuf::from("/no/dir"), None));
        assert_eq!(split("/no/dir@sha256:ab"), (PathBuf::from("/no/dir"), Some("sha256:ab".to_owned())));
        assert_eq!(split("/tmp"), (PathBuf::from("/tmp"), None));
    }
}
