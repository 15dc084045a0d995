//! Answers what a plan asks: image configurations, out of the store, an OCI layout, or a registry.
//!
//! Of a registry only documents are fetched. Layers come when a step needs them, so that a build which finds everything in
//! its cache moves none.

mod sources;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use builder::transfer::Sink;
use builder::transfer::pull::{self, PullError, PullOptions, Pulled, Scope};
use frontend::{Provided, Wanted};
use indicatif::{ProgressBar, ProgressStyle};
use oci::{Platform, Reference};
use remote::{Client, Setup};
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::runtime::Runtime;

use crate::error::{Error, Result, While};
use crate::image::{self, Image, Meant, Sought};
use crate::lockfile::Locked;
use crate::ui::progress::{INTERNAL, Mode};
use crate::ui::{self, style};
use crate::verb::pull::{bare, explain, is_absence};
use crate::wire;

pub(crate) use sources::{Access, Addresses};

/// How a reference names an OCI layout on disk.
pub(crate) const LAYOUT: &str = "oci-layout://";

/// When a registry is asked for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Policy {
    /// Each time: the tag may have moved
    #[value(alias = "true")]
    Always,
    /// When the image is not in the store
    #[value(aliases = ["false", "ifmissing"])]
    Missing,
    /// Never
    Never,
    /// Each time; where the registry does not answer, what the store has will do
    #[value(alias = "ifnewer")]
    Newer,
}

impl Policy {
    /// Whether an image that is in the store as a whole will do unasked.
    pub(crate) fn is_content_with(self, store: &Store, name: &str, platform: Option<&Platform>) -> bool {
        let is_here = || match image::seek(store, bare(name), platform) {
            Ok(Sought::Here(image, _)) => {
                pull::missing(store, &image.manifest.digest()).is_ok_and(|missing| missing.is_empty())
            }
            _ => false,
        };
        match self {
            Self::Always | Self::Newer => false,
            Self::Missing | Self::Never => is_here(),
        }
    }
}

/// Finds images for a build. Connections are made by the first question that needs one, and kept for the next.
pub(crate) struct Resolver<'r> {
    store: &'r Arc<Store>,
    policy: Policy,
    setup: &'r Setup,
    mode: Mode,
    link: Option<Link>,
    /// Lines that were shown, as the numbering of `--progress=plain` counts.
    shown: usize,
    access: Access,
    addresses: Addresses,
    answers: sources::Answers,
    /// What must not be asked, since it is settled.
    locked: Locked,
    /// What the main context turned out to be: an algorithm and hexadecimal digits.
    brought: Option<(&'static str, String)>,
}

struct Link {
    runtime: Runtime,
    client: Client,
}

impl<'r> Resolver<'r> {
    /// A resolver that has asked nobody.
    pub(crate) fn new(store: &'r Arc<Store>, policy: Policy, setup: &'r Setup, mode: Mode) -> Self {
        Self {
            store,
            policy,
            setup,
            mode,
            link: None,
            shown: 0,
            access: Access::default(),
            brought: None,
            addresses: Addresses::default(),
            answers: sources::Answers::default(),
            locked: Locked::default(),
        }
    }

    /// Asking registries at other times.
    pub(crate) fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// With what a lock file settled.
    pub(crate) fn with_locked(mut self, locked: Locked) -> Self {
        self.locked = locked;
        self
    }

    /// With steps that were shown before.
    pub(crate) fn with_shown(mut self, shown: usize) -> Self {
        self.shown = shown;
        self
    }

    /// How many steps were shown.
    pub(crate) fn shown(&self) -> usize {
        self.shown
    }

    /// Finds what the plan wants.
    pub(crate) fn answer(&mut self, wanted: &Wanted) -> Result<Provided> {
        let (reference, platform) = match wanted {
            Wanted::Image { reference, platform, .. } => (reference, platform),
            Wanted::Git { url, reference, checksum, .. } => {
                let commit = self.commit(url, reference.as_deref(), checksum.as_deref())?;
                return Ok(Provided::Git { commit });
            }
            Wanted::Http { url, checksum, filename, .. } => {
                return Ok(Provided::Http { digest: self.file(url, checksum.as_ref(), filename)? });
            }
        };
        if let Some(settled) = self.locked.image(reference, platform)? {
            let image = self.image(&settled, platform)?;
            return Ok(Provided::Image { manifest: image.manifest.digest(), config: image.config });
        }
        let image = match reference.strip_prefix(LAYOUT) {
            Some(layout) => from_layout(self.store, layout, platform)?,
            None => self.image(bare(reference), platform)?,
        };
        Ok(Provided::Image { manifest: image.manifest.digest(), config: image.config })
    }

    /// The platforms that an image is there for; known once it was asked for.
    pub(crate) fn platforms(&self, reference: &str) -> Result<Vec<Platform>> {
        match reference.starts_with(LAYOUT) {
            true => Ok(vec![Platform::host()]),
            false => image::platforms(self.store, bare(reference)),
        }
    }

    fn image(&mut self, written: &str, platform: &Platform) -> Result<Image> {
        let sought = image::seek(self.store, written, Some(platform))?;
        match (sought, self.policy) {
            (Sought::Here(image, _), Policy::Missing | Policy::Never) => Ok(image),
            // What a digest names does not move.
            (Sought::Here(image, Meant::Id), _) => Ok(image),
            (Sought::Here(image, _), _) if written.contains('@') => Ok(image),
            (Sought::Here(..), Policy::Always) => self.ask(written, platform),
            (Sought::Here(image, _), Policy::Newer) => self.ask(written, platform).or_else(|error| {
                self.note(&format!("{written} of the store is used: {}", error.message()));
                Ok(image)
            }),
            (Sought::NotHere(error), Policy::Never) => Err(error.hint("without --pull=never the registry is asked")),
            (Sought::NotHere(here), Policy::Always | Policy::Missing | Policy::Newer) => {
                self.ask(written, platform).map_err(|error| error.hints_of(&here))
            }
        }
    }

    /// Lets the registries that a name may mean tell what it is.
    fn ask(&mut self, written: &str, platform: &Platform) -> Result<Image> {
        let candidates = self.link()?.client.candidates(written)?;
        if self.policy == Policy::Missing && candidates.len() > 1 {
            for name in &candidates {
                if let Some(image) = image::by_platform(self.store, name, platform)? {
                    return Ok(image);
                }
            }
        }
        let mut failure = None;
        for name in &candidates {
            match self.documents(name, platform) {
                Ok(image) => return Ok(image),
                Err((error, absent)) => {
                    failure.get_or_insert(error);
                    if !absent {
                        break;
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| image::missing(self.store, written)))
    }

    /// Fetches index, manifest and configuration. With an error comes whether the image is not there, and another
    /// registry worth asking.
    fn documents(&mut self, name: &Reference, platform: &Platform) -> Result<Image, (Error, bool)> {
        let options =
            PullOptions { platform: Some(platform.clone()), layers: Scope::DocumentsOnly, ..PullOptions::default() };
        let step = Step::begin(self.mode, self.shown + 1, &format!("load metadata for {name}"));
        self.shown += 1;
        let link = self.link().map_err(|error| (error, false))?;
        let client = link.client.clone();
        let sink: Sink = Arc::new(|_| ());
        let pulled = {
            let store = Arc::clone(self.store);
            let link = self.link().map_err(|error| (error, false))?;
            link.runtime.block_on(async {
                match documents(&store, &client, name, &options, &sink).await {
                    Ok(pulled) => Ok(pulled),
                    Err(error) => {
                        let absent = is_absence(&error);
                        Err((explain(error, &client, name).await, absent))
                    }
                }
            })
        };
        match pulled {
            Ok(pulled) => {
                step.end(Ok(()));
                // What it is for was compared, or will be warned of.
                image::read(self.store, &pulled.manifest, None).map_err(|error| (error, false))
            }
            Err((error, absent)) => {
                step.end(Err(()));
                Err((error, absent))
            }
        }
    }

    fn link(&mut self) -> Result<&Link> {
        if self.link.is_none() {
            self.link = Some(Link { runtime: wire::small_runtime()?, client: wire::client(self.setup)? });
        }
        self.link.as_ref().ok_or_else(|| Error::failed("there is no client"))
    }

    fn note(&self, text: &str) {
        match self.mode {
            Mode::Quiet => {}
            Mode::RawJson => ui::err(&json_note(text)),
            Mode::Auto | Mode::Tty | Mode::Plain => {
                ui::err(&format!("{} {}\n", style::hint("note:"), style::harmless(text)))
            }
        }
    }
}

/// The documents of an image for a platform. The one image that a name has is taken for whatever platform it is, as BuildKit
/// takes it; of an index the platform must be there.
async fn documents(
    store: &Arc<Store>,
    client: &Client,
    name: &Reference,
    options: &PullOptions,
    sink: &Sink,
) -> Result<Pulled, PullError> {
    match pull::pull(store, client, name, options, None, sink).await {
        Err(error @ PullError::Platform { .. }) => {
            let any = PullOptions { platform: None, ..options.clone() };
            match pull::pull(store, client, name, &any, None, sink).await {
                Ok(pulled) if pulled.top == pulled.manifest => Ok(pulled),
                _ => Err(error),
            }
        }
        other => other,
    }
}

fn json_note(message: &str) -> String {
    format!("{}\n", serde_json::json!({ "event": "note", "message": message }))
}

/// `[internal] load metadata for NAME` and the like, as readers of BuildKit's output know it.
struct Step {
    mode: Mode,
    number: usize,
    words: String,
    began: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    fn begin(mode: Mode, number: usize, what: &str) -> Self {
        let words = format!("{INTERNAL} {}", style::harmless(what));
        let mut spinner = None;
        match mode {
            Mode::Plain => ui::err(&format!("#{number} {words}\n")),
            Mode::RawJson => ui::err(&json_note(&words)),
            Mode::Auto | Mode::Tty => {
                let style = ProgressStyle::with_template(" {spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
                let bar = ProgressBar::new_spinner().with_style(style).with_message(words.clone());
                bar.tick();
                spinner = Some(bar);
            }
            Mode::Quiet => {}
        }
        Self { mode, number, words, began: Instant::now(), spinner }
    }

    fn end(self, result: Result<(), ()>) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        let took = self.began.elapsed().as_secs_f64();
        let number = self.number;
        match (self.mode, result) {
            (Mode::Plain, Ok(())) => ui::err(&format!("#{number} DONE {took:.1}s\n")),
            // Why is said with the place in the Dockerfile.
            (Mode::Plain, Err(())) => ui::err(&format!("#{number} ERROR\n")),
            (Mode::Auto | Mode::Tty, Ok(())) => {
                let took = style::dim(&format!("  {took:.1}s"));
                ui::err(&format!(" {} {}{took}\n", style::good("✓"), self.words));
            }
            (Mode::Auto | Mode::Tty, Err(_)) => ui::err(&format!(" {} {}\n", style::error("✗"), self.words)),
            (Mode::Quiet | Mode::RawJson, _) => {}
        }
    }
}

/// The image of an OCI layout, brought into the store: `DIR`, `DIR:TAG` or `DIR@sha256:…`.
pub(crate) fn from_layout(store: &Store, layout: &str, platform: &Platform) -> Result<Image> {
    let (dir, reference) = split_layout(layout);
    if !dir.join("index.json").exists() {
        let error = Error::failed(format!("{} is not an OCI layout: it has no index.json", dir.display()));
        return Err(
            error.hint("`estiba copy NAME oci:DIR` and `estiba build -o type=oci,tar=false,dest=DIR` write one")
        );
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
