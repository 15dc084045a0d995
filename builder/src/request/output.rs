//! Where a result goes, and in which form.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci::Platform;
use serde::{Deserialize, Serialize};

/// Where a result goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Output {
    /// Into the store, under the request's tags, dressed as [`Exporting::dress`] says.
    Image,
    /// An OCI layout: a folder, or a tar file where `tar` is set.
    Oci {
        /// Where to.
        dest: Destination,
        /// One tar file instead of a folder.
        tar: bool,
        /// How layers are stored.
        compression: Compress,
        /// What is said of the image; `None` leaves it as the store says it.
        #[serde(default)]
        dress: Option<Dress>,
    },
    /// An archive as `docker save` writes it.
    Docker {
        /// Where to.
        dest: Destination,
        /// One tar file instead of a folder.
        tar: bool,
        /// How layers are stored.
        compression: Compress,
        /// What is said of the image; `None` leaves it as the store says it.
        #[serde(default)]
        dress: Option<Dress>,
    },
    /// The file tree as one tar file.
    Tar {
        /// Where to.
        dest: Destination,
        /// A folder `os_arch` a platform; `None`: where there are several.
        #[serde(default)]
        split: Option<bool>,
    },
    /// The file tree as a folder.
    Local {
        /// Where to.
        dest: PathBuf,
        /// A folder `os_arch` a platform; `None`: where there are several.
        #[serde(default)]
        split: Option<bool>,
    },
    /// Nothing beside the cache.
    CacheOnly,
}

/// A file or the standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// A path of the host.
    Path(PathBuf),
    /// The standard output.
    Stdout,
}

/// How an exporter stores layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compress {
    /// The form; `None` leaves each layer as the store has it.
    pub form: Option<CompressForm>,
    /// The level, in the form's own scale.
    pub level: Option<i32>,
    /// Store again what is compressed in another form already.
    pub force: bool,
}

/// A form of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompressForm {
    /// Plain tar.
    Uncompressed,
    /// Gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Gzip whose files can be fetched one by one. Its table of contents is part of the tar: layers get other DiffIds,
    /// and the image another config.
    Estargz,
    /// Zstandard whose files can be fetched one by one; the tar stays what it was.
    ZstdChunked,
}

/// What an image says of itself outside of its config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dress {
    /// Docker's media types instead of OCI's.
    pub docker_types: bool,
    /// Annotations, at all levels.
    pub annotations: Vec<Annotation>,
    /// Canonical references that the image has in this output alone.
    pub names: Vec<String>,
}

/// A key and a value on a document or on what points to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// Where it stands.
    pub level: Level,
    /// Of manifests and their descriptors: only of this platform's.
    pub platform: Option<Platform>,
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// Where an annotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// In the manifest of an image.
    Manifest,
    /// In the index.
    Index,
    /// On what points to the manifest of an image.
    ManifestDescriptor,
    /// On what points to the index.
    IndexDescriptor,
}

impl Dress {
    /// The annotations at a level: those for all platforms, then those for this one, which win.
    pub fn at(&self, level: Level, platform: Option<&Platform>) -> BTreeMap<String, String> {
        let here = self.annotations.iter().filter(|annotation| annotation.level == level);
        let (mut general, special): (Vec<_>, Vec<_>) = here.partition(|annotation| annotation.platform.is_none());
        general.extend(special.into_iter().filter(|annotation| annotation.platform.as_ref() == platform));
        general.into_iter().map(|annotation| (annotation.key.clone(), annotation.value.clone())).collect()
    }
}

/// How the image is made of what was built. Nothing in here is part of a cache key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exporting {
    /// What the image in the store says of itself.
    pub dress: Dress,
    /// Leave the times of files as they are, whatever the epoch: only the image's own times become it.
    pub keep_times: bool,
    /// Make one layer of several.
    pub squash: Option<Squash>,
    /// Leave the history out of the config.
    pub omit_history: bool,
    /// Say in the manifest when the image was made.
    pub created_annotation: bool,
}

/// Which layers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Squash {
    /// Those of this build, on top of its base's.
    New,
    /// All of them, the base's too.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_own_annotations_win() {
        let one = |level, platform: Option<&str>, value: &str| Annotation {
            level,
            platform: platform.map(|platform| platform.parse().unwrap()),
            key: "k".to_owned(),
            value: value.to_owned(),
        };
        let annotations = vec![
            one(Level::Manifest, Some("linux/arm64"), "arm"),
            one(Level::Manifest, None, "all"),
            one(Level::Index, None, "index"),
        ];
        let dress = Dress { annotations, ..Dress::default() };
        let at = |level, platform: &str| dress.at(level, Some(&platform.parse().unwrap())).remove("k");
        assert_eq!(at(Level::Manifest, "linux/arm64").as_deref(), Some("arm"));
        assert_eq!(at(Level::Manifest, "linux/amd64").as_deref(), Some("all"));
        assert_eq!(at(Level::ManifestDescriptor, "linux/amd64"), None);
        assert_eq!(dress.at(Level::Index, None)["k"], "index");
    }
}
