//! `estiba push`.
//!
//! What is known to be there costs one question. Only where files of other owners must be read does the program start over
//! inside its namespaces.

mod place;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use builder::transfer::push::{self, PushError, PushOptions, Pushed};
use builder::{Compress, CompressForm};
use oci::{Digest, Platform, Reference};
use remote::{Client, Setup};
use runtime::ladder::Probe;
use serde::{Deserialize, Serialize};
use store::Store;

use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::image::{self, Meant, familiar};
use crate::ui::progress::Mode;
use crate::ui::transfer::{Progress, ProgressArgs};
use crate::wire::WireArgs;
use crate::worker::{self, Plan};
use crate::{rootfs, ui, wire};

const EXAMPLES: &str = "\
Examples:
  estiba push localhost:5000/app:1.2
  estiba push app registry.example.com/team/app:1.2      Under another name
  estiba push --compression zstd app localhost:5000/app
  estiba push -a localhost:5000/app                      Every tag that the store has
  estiba push app oci:layout:1.2                         Into an OCI layout, or oci-archive:FILE, docker-archive:FILE
  estiba push oci-archive:app.tar localhost:5000/app
  digest=$(estiba push -q app localhost:5000/app)

What the registry has is not sent; what another of its repositories has is mounted from there.";

/// Arguments of `estiba push`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The image, by name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Its name in the registry [default: the image's own]
    #[arg(value_name = "NAME[:TAG]")]
    to: Option<String>,
    /// Every tag of the repository that the store has
    #[arg(short, long, conflicts_with = "to")]
    all_tags: bool,
    /// The form of layers that are not compressed yet: gzip, zstd, estargz, zstd:chunked or uncompressed
    #[arg(long, visible_alias = "compression-format", value_name = "FORM", value_parser = compress_form)]
    compression: Option<CompressForm>,
    /// How hard to compress, in the form's own scale
    #[arg(long, value_name = "N")]
    compression_level: Option<i32>,
    /// Compress again what is compressed in another form
    #[arg(long)]
    force_compression: bool,
    /// Of an image for several platforms, push this one alone
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Push an image for several platforms with all of them: it is always so, without --platform
    #[arg(long, hide = true, conflicts_with = "platform")]
    all_platforms: bool,
    /// How many layers go side by side
    #[arg(short, long, visible_alias = "jobs", value_name = "N")]
    parallel: Option<usize>,
    /// Write the digest that the image has in the registry into this file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    wire: WireArgs,
}

/// A push as data: it may cross to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    setup: Setup,
    mode: Mode,
    quiet: bool,
    items: Vec<(Digest, Reference)>,
    compress: Compress,
    /// By digest, under no tag.
    #[serde(default)]
    untagged: bool,
    platform: Option<Platform>,
    parallel: Option<usize>,
    digestfile: Option<PathBuf>,
}

/// Reads `--compression`.
pub(crate) fn compress_form(text: &str) -> Result<CompressForm, String> {
    match text {
        "gzip" => Ok(CompressForm::Gzip),
        "zstd" => Ok(CompressForm::Zstd),
        "uncompressed" | "none" => Ok(CompressForm::Uncompressed),
        "estargz" => Ok(CompressForm::Estargz),
        "zstd:chunked" => Ok(CompressForm::ZstdChunked),
        _ => Err("expected gzip, zstd, estargz, zstd:chunked or uncompressed".to_owned()),
    }
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    if place::is_meant(&args) {
        return place::run(&args, context);
    }
    let Some(store) = context.existing_store()? else { return Err(image::missing_without_store(&args.image)) };
    let items = items(&store, &args)?;
    let job = Job {
        setup: args.wire.setup_for(&items.first().map(|(_, to)| to.to_string()).unwrap_or_default())?,
        items,
        mode: args.progress.mode(),
        quiet: args.progress.quiet,
        compress: Compress { form: args.compression, level: args.compression_level, force: args.force_compression },
        untagged: false,
        platform: args.platform,
        parallel: args.parallel,
        digestfile: args.digestfile.map(std::path::absolute).transpose()?,
    };
    let client = wire::client(&job.setup)?;
    match send(&job, &Arc::new(store), &client, None)? {
        Some(pushed) => tell(&job, &pushed),
        None => worker::execute(&Plan { root: context.root()?.to_path_buf(), job: worker::Job::Push(job) }),
    }
}

/// What is pushed, and where to.
fn items(store: &Store, args: &Args) -> Result<Vec<(Digest, Reference)>> {
    if args.all_tags {
        let wanted: Reference = args.image.parse()?;
        let rows = store.index().images()?.into_iter();
        let named = rows.filter_map(|row| familiar(&row.name).map(|name| (row.manifest, name)));
        let items: Vec<_> = named.filter(|(_, name)| name.name() == wanted.name() && name.tag().is_some()).collect();
        return if items.is_empty() { Err(image::missing(store, &args.image)) } else { Ok(items) };
    }
    let (found, meant) = image::find(store, &args.image, None)?;
    let (digest, own) = match meant {
        Meant::Name(name) => {
            let row = store.index().image(&name)?;
            (row.map_or_else(|| found.manifest.digest(), |row| row.manifest), familiar(&name))
        }
        Meant::Id => (found.manifest.digest(), None),
    };
    let to = match (&args.to, own) {
        (Some(written), _) => super::pull::bare(written).parse()?,
        (None, Some(own)) => own,
        (None, None) => {
            return Err(Error::usage(format!("`{}` is no name: where is it to go?", args.image))
                .hint("`estiba push IMAGE REGISTRY/NAME:TAG`"));
        }
    };
    Ok(vec![(digest, to)])
}

/// Sends it. `None`: the sandbox is needed first.
pub(crate) fn send(
    job: &Job,
    store: &Arc<Store>,
    client: &Client,
    probe: Option<&Probe>,
) -> Result<Option<Vec<Pushed>>> {
    let defaults = PushOptions::default();
    let options = PushOptions {
        compress: job.compress,
        parallel: job.parallel.unwrap_or(defaults.parallel).max(1),
        platform: job.platform.clone(),
        untagged: job.untagged,
        ..defaults
    };
    let progress = Progress::start(job.mode);
    let sink = progress.sink();
    let all = async {
        let mut pushed = Vec::new();
        for (image, to) in &job.items {
            pushed.push(push::push(store, client, image, to, &options, probe, &sink).await?);
        }
        Ok(pushed)
    };
    let result: Result<Vec<Pushed>, PushError> = wire::together(all)?;
    progress.finish();
    match result {
        Ok(pushed) => Ok(Some(pushed)),
        Err(PushError::NeedsSandbox) if probe.is_none() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The same, in a process that has no thread yet.
pub(crate) fn in_sandbox(job: &Job, store: Store) -> Result<u8> {
    let client = wire::client(&job.setup)?;
    let (store, probe) = rootfs::enter(store)?;
    match send(job, &Arc::new(store), &client, Some(&probe))? {
        Some(pushed) => tell(job, &pushed),
        None => Err(Error::failed("the push asked for namespaces that it was given")),
    }
}

fn tell(job: &Job, pushed: &[Pushed]) -> Result<u8> {
    let mut out = String::new();
    for ((_, to), pushed) in job.items.iter().zip(pushed) {
        let (digest, size) = (pushed.descriptor.digest, pushed.descriptor.size);
        if job.quiet {
            out.push_str(&format!("{digest}\n"));
        } else {
            let tag = to.tag().map_or_else(String::new, |tag| format!("{}: ", tag.as_str()));
            out.push_str(&format!("{tag}digest: {digest} size: {size}\n"));
        }
    }
    if let (Some(path), Some(first)) = (&job.digestfile, pushed.first()) {
        write_digest(path, &first.descriptor.digest)?;
    }
    ui::out(&out)?;
    Ok(0)
}

fn write_digest(path: &Path, digest: &Digest) -> Result {
    std::fs::write(path, digest.to_string()).during(format!("--digestfile {}", path.display()))
}

impl Job {
    /// The push at the end of a build.
    pub(crate) fn of_build(
        manifest: Digest,
        names: &[Reference],
        compress: Compress,
        untagged: bool,
        setup: Setup,
        mode: Mode,
    ) -> Self {
        let items = names.iter().map(|name| (manifest, name.clone())).collect();
        Self { setup, mode, quiet: false, items, compress, untagged, platform: None, parallel: None, digestfile: None }
    }
}
