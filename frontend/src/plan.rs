//! Which stages a target needs, and which images those need.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, ImageConfig, Platform, Raw};

use crate::diagnostic::Diagnostic;
use crate::lower::Lowered;
use crate::source::{SourceText, Span};
use crate::syntax::Dockerfile;

/// What the caller of a build decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stage to build, by name or by number; the last one where absent.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// The platform to build for.
    pub platform: Platform,
    /// The platform that builds.
    pub build_platform: Platform,
    /// `--label`: added to the image's.
    pub labels: BTreeMap<String, String>,
    /// `--build-context`: names that replace stages and images.
    pub contexts: BTreeMap<String, NamedContext>,
    /// No vertex takes its result from the cache.
    pub no_cache: bool,
    /// The stages, by name or number, whose vertices do not either.
    pub no_cache_filter: BTreeSet<String>,
    /// The network of a RUN that names none.
    pub network: graph::Network,
    /// The host name that RUNs see.
    pub hostname: Option<String>,
    /// `SOURCE_DATE_EPOCH`, in seconds.
    pub source_date_epoch: Option<i64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            target: None,
            build_args: BTreeMap::new(),
            platform: Platform::host(),
            build_platform: Platform::host(),
            labels: BTreeMap::new(),
            contexts: BTreeMap::new(),
            no_cache: false,
            no_cache_filter: BTreeSet::new(),
            network: graph::Network::Default,
            hostname: None,
            source_date_epoch: None,
        }
    }
}

/// What a name given with `--build-context` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory; the graph calls it `Source::Local` by the name.
    Directory,
    /// An image: a reference, or `oci-layout://…`.
    Image(String),
}

/// What a [`Plan`] needs to go on.
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
}

/// The answer to a [`Wanted`].
#[derive(Clone, Debug)]
pub enum Provided {
    /// An image.
    Image {
        /// The digest of its manifest for the platform.
        manifest: Digest,
        /// Its configuration.
        config: Raw<ImageConfig>,
    },
}

/// A Dockerfile on its way to a graph.
#[derive(Debug)]
pub struct Plan {}

impl Plan {
    /// Chooses the target and finds what it needs.
    ///
    /// # Errors
    /// Everything that is wrong with the stages: names, cycles, expansions.
    pub fn new(dockerfile: Dockerfile, source: &SourceText, options: Options) -> Result<Plan, Vec<Diagnostic>> {
        let _ = (dockerfile, source, options);
        todo!()
    }

    /// What is needed next; `None` when [`Plan::lower`] can run.
    pub fn wanted(&self) -> Option<Wanted> {
        todo!()
    }

    /// Answers what [`Plan::wanted`] asked.
    ///
    /// # Errors
    /// The image's `ONBUILD` triggers are wrong.
    pub fn provide(&mut self, wanted: Wanted, provided: Provided) -> Result<(), Vec<Diagnostic>> {
        let _ = (wanted, provided);
        todo!()
    }

    /// Makes the graph.
    ///
    /// # Errors
    /// Everything that is wrong with the reachable instructions.
    pub fn lower(self) -> Result<Lowered, Vec<Diagnostic>> {
        todo!()
    }
}
