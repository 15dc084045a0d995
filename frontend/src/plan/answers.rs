//! What a plan asks of the world, and what it was answered: images, repositories, files on the web.

use std::collections::BTreeMap;

use oci::{Digest, ImageConfig, Platform, Raw};

use crate::git_url::{GitUrl, shown_url};
use crate::source::Span;

/// What a [`Plan`](super::Plan) needs to go on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// The configuration of an image.
    Image {
        /// The reference as written, after expansion; may be `oci-layout://…`.
        reference: String,
        /// The platform it is wanted for.
        platform: Platform,
        /// Where it is asked for.
        span: Span,
    },
    /// The commit that a repository's reference names.
    Git {
        /// The repository, a login included.
        url: String,
        /// Branch, tag or commit; the default branch where absent.
        reference: Option<String>,
        /// What the commit, or the tag that names it, must be, or begin with.
        checksum: Option<String>,
        /// Where it is asked for.
        span: Span,
    },
    /// The digest of a file on the web.
    Http {
        /// The address, a login included.
        url: String,
        /// What the digest must be. Nobody need be asked then.
        checksum: Option<Digest>,
        /// The file's name in the tree that it becomes.
        filename: String,
        /// Where it is asked for.
        span: Span,
    },
}

impl Wanted {
    /// Where it is asked for.
    pub fn span(&self) -> Span {
        match self {
            Wanted::Image { span, .. } | Wanted::Git { span, .. } | Wanted::Http { span, .. } => *span,
        }
    }

    /// What it is, for people: without a login.
    pub fn shown(&self) -> String {
        match self {
            Wanted::Image { reference, .. } => format!("image `{reference}`"),
            Wanted::Git { url, .. } => format!("repository `{}`", shown_url(url)),
            Wanted::Http { url, .. } => format!("file `{}`", shown_url(url)),
        }
    }
}

/// The answer to a [`Wanted`].
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are a few of them in a build, each moved once")]
pub enum Provided {
    /// An image.
    Image {
        /// The digest of its manifest for the platform.
        manifest: Digest,
        /// Its configuration.
        config: Raw<ImageConfig>,
    },
    /// A commit, as its whole id.
    Git {
        /// Forty or sixty-four hexadecimal digits.
        commit: String,
    },
    /// A file.
    Http {
        /// What it hashes to.
        digest: Digest,
    },
}

/// A repository's address, reference and checksum.
type GitQuestion = (String, Option<String>, Option<String>);

/// The sources of ADDs that were asked for, with their answers.
#[derive(Debug, Default)]
pub(crate) struct Remotes {
    pub(super) commits: BTreeMap<GitQuestion, String>,
    pub(super) files: BTreeMap<(String, Option<Digest>), Digest>,
}

impl Remotes {
    /// The commit of a repository.
    pub(crate) fn commit(&self, url: &GitUrl, checksum: Option<&str>) -> Option<&String> {
        self.commits.get(&(url.remote.clone(), url.reference.clone(), checksum.map(str::to_owned)))
    }

    /// The digest of a file.
    pub(crate) fn file(&self, url: &str, checksum: Option<Digest>) -> Option<&Digest> {
        self.files.get(&(url.to_owned(), checksum))
    }

    pub(super) fn len(&self) -> usize {
        self.commits.len() + self.files.len()
    }
}

/// The images that were asked for, with their answers.
#[derive(Debug, Default)]
pub(crate) struct Images {
    pub(super) answers: BTreeMap<(String, Platform), Image>,
}

/// An image as a build needs it.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) manifest: Digest,
    pub(crate) config: ImageConfig,
}

impl Images {
    pub(crate) fn answer(&self, reference: &str, platform: &Platform) -> Option<&Image> {
        self.answers.get(&(reference.to_owned(), platform.clone()))
    }
}

impl Image {
    /// Whether it has no layers.
    pub(crate) fn is_empty(&self) -> bool {
        self.config.rootfs.diff_ids.is_empty() && self.config.history.iter().all(|entry| entry.empty_layer)
    }

    /// The reference with registry and digest, for people.
    pub(crate) fn full_name(&self, reference: &str) -> String {
        match reference.parse::<oci::Reference>() {
            Ok(parsed) if parsed.digest().is_none() => format!("{parsed}@{}", self.manifest),
            Ok(parsed) => parsed.to_string(),
            Err(_) => reference.to_owned(),
        }
    }
}
