//! `estiba pull`.
//!
//! Layers are unpacked with the owners that the image gives them, so the verb steps onto the privilege ladder first, while it
//! has one thread; then it starts the threads that move bytes.

mod place;

use std::sync::Arc;

use builder::transfer::Sink;
use builder::transfer::copy::Place;
use builder::transfer::pull::{self, PullError, PullOptions, Pulled};
use oci::{Digest, Platform, Reference};
use remote::{Client, Setup};
use runtime::ladder::Probe;
use serde::{Deserialize, Serialize};
use store::{LayerId, Store};

use crate::context::Context;
use crate::error::{Error, Result, code};
use crate::resolve::Policy;
use crate::ui::progress::Mode;
use crate::ui::style;
use crate::ui::transfer::{Progress, ProgressArgs};
use crate::wire::WireArgs;
use crate::worker::{self, Plan};
use crate::{image, remedy, rootfs, sandbox, ui, wire};

const EXAMPLES: &str = "\
Examples:
  estiba pull debian:bookworm
  estiba pull registry.example.com/team/app:1.2 team/tool@sha256:…
  estiba pull --platform linux/arm64 busybox
  estiba pull -a localhost:5000/app                  Every tag
  estiba pull oci:layout:1.2                         From an OCI layout; an archive: docker-archive:FILE, oci-archive:FILE
  id=$(estiba pull -q app) && estiba run --rm \"$id\"

A pull that was cut off goes on where it was, in whichever process comes next.";

/// Arguments of `estiba pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Names of images
    #[arg(required = true, value_name = "NAME[:TAG|@DIGEST]")]
    names: Vec<String>,
    /// Every tag of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// The platform, where there are several
    #[arg(long, value_name = "OS/ARCH", conflicts_with = "all_platforms")]
    platform: Option<Platform>,
    /// Every platform that there is
    #[arg(long)]
    all_platforms: bool,
    /// How many layers come side by side
    #[arg(short, long, visible_alias = "jobs", value_name = "N", default_value_t = pull::PARALLEL, hide_default_value = true)]
    parallel: usize,
    /// When to ask the registry: always, missing (not here), newer (moved) or never
    #[arg(long, visible_alias = "pull", value_name = "WHEN", default_value = "always", hide_default_value = true)]
    policy: Policy,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    wire: WireArgs,
}

/// A pull as data: `run` lets a child do it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) setup: Setup,
    pub(crate) mode: Mode,
    pub(crate) what: What,
    pub(crate) platform: Option<Platform>,
    pub(crate) all_platforms: bool,
    pub(crate) parallel: usize,
    /// What is printed on standard output.
    pub(crate) tell: Tell,
    /// Whether an image that is here will do where its registry fails.
    pub(crate) content: bool,
}

/// What is pulled.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum What {
    /// Images, by names as they were written.
    Names(Vec<String>),
    /// Every tag of repositories.
    Tags(Vec<String>),
    /// What is missing of an image whose manifest is here.
    Rest(Digest),
}

/// What a pull prints at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tell {
    /// What docker prints.
    Lines,
    /// The digest alone.
    Digest,
    /// Nothing: somebody else goes on.
    Nothing,
}

/// What a pull tells of an image that is here, and was not asked for: its digest, or the name that it has.
fn what_is_here(store: &Store, name: &str, platform: Option<&Platform>, tell: Tell) -> Result<String> {
    let image::Sought::Here(found, meant) = image::seek(store, bare(name), platform)? else { return Ok(String::new()) };
    let row = match &meant {
        image::Meant::Name(name) => store.index().image(name)?,
        image::Meant::Id => None,
    };
    Ok(match tell {
        Tell::Nothing => String::new(),
        Tell::Digest => format!("{}\n", row.map_or_else(|| found.manifest.digest(), |row| row.manifest)),
        Tell::Lines => format!("{}\n", row.map_or_else(|| bare(name).to_owned(), |row| row.name)),
    })
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let tell = if args.progress.quiet { Tell::Digest } else { Tell::Lines };
    let store = context.store()?;
    let (places, names): (Vec<_>, Vec<_>) = args.names.iter().cloned().partition(|name| is_place(name));
    for written in &places {
        ui::out(&place::pull(&store, &written.parse()?, args.platform.as_ref(), tell)?)?;
    }
    // One tag, or one platform, that is here says nothing of the others.
    let one = !(args.all_tags || args.all_platforms) || args.policy == Policy::Never;
    let is_enough = |name: &String| one && args.policy.is_content_with(&store, name, args.platform.as_ref());
    let (here, names): (Vec<String>, Vec<String>) = names.into_iter().partition(is_enough);
    for name in &here {
        ui::out(&what_is_here(&store, name, args.platform.as_ref(), tell)?)?;
    }
    if let (Policy::Never, Some(name)) = (args.policy, names.first()) {
        return Err(image::missing(&store, name));
    }
    if names.is_empty() {
        return Ok(0);
    }
    let job = Job {
        setup: setup(&args, &names)?,
        mode: args.progress.mode(),
        what: if args.all_tags { What::Tags(names) } else { What::Names(names) },
        platform: args.platform,
        all_platforms: args.all_platforms,
        parallel: args.parallel.max(1),
        tell,
        content: args.policy == Policy::Newer,
    };
    run_job(job, store)
}

/// One name and password are for one registry.
fn setup(args: &Args, names: &[String]) -> Result<Setup> {
    let registry = |name: &String| bare(name).parse::<Reference>().ok().map(|name| name.registry().to_owned());
    let first = names.first().map_or("", |name| bare(name));
    if args.wire.creds.is_some() && names.iter().any(|name| registry(name) != registry(&names[0])) {
        return Err(Error::usage("--creds are for one registry, and there are several")
            .hint("`estiba login` keeps one for each"));
    }
    args.wire.setup_for(first)
}

/// Whether something else than a registry is meant.
pub(super) fn is_place(written: &str) -> bool {
    Place::is_explicit(written) && !written.starts_with("docker://")
}

/// Does it, in a process that has no thread yet.
pub(crate) fn run_job(job: Job, store: Store) -> Result<u8> {
    // Files of credentials are read as who we are, before we become root inside.
    let client = wire::client(&job.setup)?;
    let (store, probe) = rootfs::enter(store)?;
    let store = Arc::new(store);
    let progress = Progress::start(job.mode);
    let mut work =
        Work { store: &store, client: &client, probe: &probe, sink: progress.sink(), job: &job, fresh: Vec::new() };
    let results = wire::together(work.all())?;
    progress.finish();
    settle(&store, std::mem::take(&mut work.fresh));
    let mut exit = 0;
    for result in results {
        match result {
            Ok(done) => ui::out(&done)?,
            Err(error) => {
                error.report();
                exit = code::FAILED;
            }
        }
    }
    Ok(exit)
}

/// A pull that goes on.
struct Work<'w> {
    store: &'w Arc<Store>,
    client: &'w Client,
    probe: &'w Probe,
    sink: Sink,
    job: &'w Job,
    /// Layers that are not on the disk yet.
    fresh: Vec<LayerId>,
}

impl Work<'_> {
    /// Gives what is to be printed of each image.
    async fn all(&mut self) -> Vec<Result<String>> {
        let mut results = Vec::new();
        match &self.job.what {
            What::Rest(manifest) => {
                results.push(self.rest(manifest).await);
            }
            What::Names(names) => {
                for name in names {
                    results.push(self.name(name).await);
                }
            }
            What::Tags(names) => {
                for name in names {
                    match self.tags(name).await {
                        Ok(references) => {
                            for reference in references {
                                results.push(self.one(&[reference]).await);
                            }
                        }
                        Err(error) => results.push(Err(error)),
                    }
                }
            }
        }
        results
    }

    async fn rest(&mut self, manifest: &Digest) -> Result<String> {
        match pull::complete(self.store, self.client, manifest, Some(self.probe), &self.sink).await {
            Ok(layers) => self.fresh.extend(layers),
            Err(PullError::NeedsSandbox) => return Err(sandbox::refused(self.probe, "unpacking layers")),
            Err(error) => return Err(error.into()),
        }
        Ok(String::new())
    }

    async fn name(&mut self, written: &str) -> Result<String> {
        let candidates = self.client.candidates(bare(written))?;
        match self.one(&candidates).await {
            Err(error) if self.job.content && self.is_here(written) => {
                ui::err(&format!("{} {written} of the store is used: {}\n", style::hint("note:"), error.message()));
                what_is_here(self.store, written, self.job.platform.as_ref(), self.job.tell)
            }
            other => other,
        }
    }

    fn is_here(&self, written: &str) -> bool {
        Policy::Missing.is_content_with(self.store, written, self.job.platform.as_ref())
    }

    /// Every tag that the repository lists.
    async fn tags(&self, written: &str) -> Result<Vec<Reference>> {
        let reference: Reference = bare(written).parse()?;
        if bare(written).contains('@') || bare(written).rsplit('/').next().is_some_and(|last| last.contains(':')) {
            return Err(
                Error::usage(format!("`{written}` names one image, --all-tags pulls all")).hint("leave the tag out")
            );
        }
        let tags = self.client.route(&reference)?.target().all_tags().await?;
        if tags.is_empty() {
            return Err(Error::failed(format!("{} has no tags", reference.familiar_name())));
        }
        tags.iter().map(|tag| Ok(format!("{}:{tag}", reference.name(), tag = tag.as_str()).parse()?)).collect()
    }

    /// The first of these names that there is.
    async fn one(&mut self, candidates: &[Reference]) -> Result<String> {
        let before = |reference: &Reference| self.store.index().image(&reference.to_string()).ok().flatten();
        let options = PullOptions {
            platform: self.job.platform.clone(),
            all_platforms: self.job.all_platforms,
            parallel: self.job.parallel,
            ..PullOptions::default()
        };
        let mut failure = None;
        for reference in candidates {
            let before = before(reference).map(|row| row.manifest);
            match pull::pull(self.store, self.client, reference, &options, Some(self.probe), &self.sink).await {
                Ok(pulled) => {
                    self.fresh.extend(pulled.fresh.iter().cloned());
                    return Ok(said(self.job.tell, &pulled, before));
                }
                Err(PullError::NeedsSandbox) => return Err(sandbox::refused(self.probe, "unpacking layers")),
                Err(error) => {
                    let gone = is_absence(&error);
                    let explained = explain(error, self.client, reference).await;
                    failure.get_or_insert(explained);
                    if !gone {
                        break;
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| Error::usage("no name was given")))
    }
}

/// Lets a child bring pulled layers to the disk, where this process has no time for it.
pub(crate) fn settle(store: &Store, layers: Vec<LayerId>) {
    if !layers.is_empty() {
        let plan = Plan { root: store.root().to_path_buf(), job: worker::Job::Sync { layers } };
        // A failure costs a pull after the machine's next start, and nothing else.
        drop(worker::detached(&plan));
    }
}

/// A name without the transport that skopeo's users write.
pub(crate) fn bare(written: &str) -> &str {
    ["docker://", "docker-image://"].iter().find_map(|prefix| written.strip_prefix(prefix)).unwrap_or(written)
}

/// Whether another registry may have what this one has not. Docker's says of what is not there that it wants a login.
pub(crate) fn is_absence(error: &PullError) -> bool {
    matches!(error, PullError::Remote(refusal) if refusal.is_not_found() || matches!(refusal, remote::Error::Unauthorized { .. }))
}

/// The error with what helps.
pub(crate) async fn explain(error: PullError, client: &Client, reference: &Reference) -> Error {
    let is_unknown = matches!(&error, PullError::Remote(refusal) if refusal.is_not_found());
    let has_others = matches!(&error, PullError::Platform { .. });
    let error = Error::from(error);
    if has_others {
        return error.hint("`--platform` chooses another");
    }
    if is_unknown { remedy::with_near_tags(error, client, reference).await } else { error }
}

fn said(tell: Tell, pulled: &Pulled, before: Option<Digest>) -> String {
    let name = pulled.name.to_string();
    match tell {
        Tell::Nothing => String::new(),
        Tell::Digest => format!("{}\n", pulled.top),
        Tell::Lines => {
            let status = if before == Some(pulled.top) && pulled.fresh.is_empty() {
                "Image is up to date for"
            } else {
                "Downloaded newer image for"
            };
            format!("Digest: {}\nStatus: {status} {}\n{name}\n", pulled.top, pulled.name.familiar())
        }
    }
}
