//! What the caller of a build decides.

use std::collections::{BTreeMap, BTreeSet};

use oci::Platform;

/// What the caller of a build decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stage to build, by name or by number; the last one where absent.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// An image that takes the place of the first FROM's (`--from`).
    pub first_base: Option<String>,
    /// The platform to build for.
    pub platform: Platform,
    /// The platform that builds.
    pub build_platform: Platform,
    /// Whether others are built for beside this one: then names of steps say which one they are for.
    pub several: bool,
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
    /// What the ignore file leaves out of the main context: a COPY of it is worth a warning.
    pub ignored: graph::pattern::IgnoreRules,
    /// Every stage is looked at, and of the images that are provided nothing is known.
    pub lint: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            target: None,
            build_args: BTreeMap::new(),
            first_base: None,
            platform: Platform::host(),
            build_platform: Platform::host(),
            several: false,
            labels: BTreeMap::new(),
            contexts: BTreeMap::new(),
            no_cache: false,
            no_cache_filter: BTreeSet::new(),
            network: graph::Network::Default,
            hostname: None,
            source_date_epoch: None,
            ignored: graph::pattern::IgnoreRules::none(),
            lint: false,
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
