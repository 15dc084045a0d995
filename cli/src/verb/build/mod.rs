//! `estiba build`.
//!
//! The road of a build that changes nothing is: parse, stat, look up, print. It starts no thread
//! and writes nothing. On the first miss the request goes to a worker, which is this program
//! executed again (see [`crate::worker`]).

mod attesting;
mod caching;
mod call;
mod checking;
pub(super) mod context;
mod dockerfile;
mod familiar;
pub(super) mod locking;
mod logfile;
mod options;
mod output;
mod platform;
pub(crate) mod refused;
pub(crate) mod report;
mod running;
mod telling;
pub(crate) mod work;

pub(in crate::verb) use running::rlimit;

use std::sync::Arc;

use builder::{Cached, Image, LocalContext, Request};
use frontend::{Epoch, Lowered, Plan};
use graph::Graph;
use remote::Setup;
use store::Store;

use self::dockerfile::Source;
use self::report::{Push, Report};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resolve::{Access, Addresses, Policy, Resolver};
use crate::ui::progress::Mode;
use crate::wire::WireArgs;
use crate::worker::{self, Job};
use crate::{ui, wire};

const EXAMPLES: &str = "\
Examples:
  estiba build -t app .                              The Dockerfile of this folder
  estiba build -t app -f docker/Dockerfile .         Another Dockerfile
  estiba build --target test --build-arg V=1.2 .     One stage, with an argument
  estiba build -o type=local,dest=out .              The file tree into a folder
  estiba build -o type=oci,dest=app.tar .            An OCI archive
  estiba build --explain .                           Why steps were not cached
  estiba build --print=graph=dot . | dot -Tsvg       The build as a picture
  estiba build --reproducible .                      The same digest on any machine
  estiba build --push -t HOST/team/app:1 .           Build, and send it to its registry
  estiba build --platform linux/amd64,linux/arm64 .  An image for two platforms
  estiba build --pull .                              Ask whether base images have moved
  echo 'FROM busybox' | estiba build -               A Dockerfile without a context

FROM takes a name (of the store, else of its registry), `oci-layout://DIR` and `scratch`.";

/// Arguments of `estiba build`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    context: context::ContextArgs,
    #[command(flatten)]
    locking: locking::LockingArgs,
    #[command(flatten)]
    output: output::OutputArgs,
    #[command(flatten)]
    platform: platform::PlatformArgs,
    #[command(flatten)]
    caching: caching::CachingArgs,
    #[command(flatten)]
    running: running::RunningArgs,
    #[command(flatten)]
    attesting: attesting::AttestingArgs,
    #[command(flatten)]
    checking: checking::CheckingArgs,
    #[command(flatten)]
    telling: telling::TellingArgs,
    /// Name the image (may be repeated)
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    tags: Vec<String>,
    /// Build this stage instead of the last
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Set a build argument; without a value it comes from the environment
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    build_args: Vec<String>,
    /// Add a label to the image
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Let every time in the image be SOURCE_DATE_EPOCH, or 1970: the same inputs give the same digest
    #[arg(long)]
    reproducible: bool,
    /// How many steps run side by side
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// How to show progress
    #[arg(
        long,
        value_name = "MODE",
        default_value = "auto",
        hide_default_value = true,
        env = "BUILDKIT_PROGRESS",
        hide_env = true
    )]
    progress: Mode,
    /// Print nothing but the image's id
    #[arg(short, long)]
    quiet: bool,
    /// When base images are looked for in their registries: missing, always, newer or never; bare, it means always
    #[arg(
        long,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_value = "missing",
        default_missing_value = "always",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pull: Policy,
    #[command(flatten)]
    wire: WireArgs,
    #[command(flatten)]
    familiar: familiar::FamiliarArgs,
}

impl Args {
    /// Whether `--check` was given.
    pub(in crate::verb) fn checks(&self) -> bool {
        self.checking.check
    }
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    args.familiar.check()?;
    let call = args.checking.call()?;
    let mut outputs = args.output.destinations(&args.tags)?;
    let setup = setup(&args, &outputs.tags)?;
    let origin = context::Origin::of(&args.context.context)?;
    // A Dockerfile that is missing makes no store.
    let source = origin.folder().map(|main| dockerfile::read(args.context.file.as_deref(), main)).transpose()?;
    let store = Arc::new(match context.existing_store()? {
        Some(store) => store,
        None => context.store()?,
    });
    let mut resolver = resolver(&args, &store, &setup)?;
    let source = match source {
        Some(source) => source,
        None => {
            let main = origin.bring(&mut resolver, &store, options::keeps_git_dir(&args))?;
            dockerfile::read(args.context.file.as_deref(), main)?
        }
    };
    let brought = resolver.brought();
    resolver = resolver.with_locked(args.locking.settled(&source)?);
    let pushes = outputs.pushes.drain(..).map(|(how, names)| Push::new(how, names, &setup)).collect();
    let mut report = Report::new(&args, &source, outputs.naming.clone(), pushes);
    let mut options = options::for_frontend(&args)?;
    options.ignored = context::ignored(&args, &source)?;
    let platforms = match args.platform.all_platforms {
        true => platform::of_bases(&mut resolver, &source, &options)?,
        false => args.platform.all()?,
    };
    if let Some(call) = call {
        // What is asked of a Dockerfile is asked for the first platform, as by buildx.
        options.platform = platforms.first().cloned().unwrap_or_else(oci::Platform::host);
        return call.answer(&mut resolver, &source, options);
    }
    let (lowered, mut images) = platform::lower(&mut resolver, &source, &options, &platforms)?;
    images.iter_mut().for_each(|image| args.familiar.apply(&mut image.config));
    let contexts = match args.checking.print {
        Some(_) => Vec::new(),
        None => context::all(&args, &source, (&lowered.graph, &images), &mut resolver)?,
    };
    report.shown = resolver.shown();
    let addresses = resolver.addresses();
    // Its threads end here: what comes may have to be without any.
    drop(resolver);
    report.warn(&source, &lowered.warnings, &lowered.unused_args);
    if let Some(what) = &args.checking.print {
        ui::out(&ui::graph::print(what, &lowered.graph, &images)?)?;
        return Ok(0);
    }
    let epoch = match lowered.epoch {
        Some(Epoch::Context) => Some(context::newest(&contexts)?),
        Some(Epoch::Seconds(seconds)) => Some(seconds),
        None => options::epoch(&args)?,
    };
    let mut request = request(&args, &source, (lowered.graph, images), contexts, epoch, outputs)?;
    attesting::came_from(&mut request.options.attesting.invocation, &args, brought);
    request.images.iter_mut().for_each(|image| args.output.change(&mut image.config));
    output::check_levels(&request)?;
    let root = context.root()?.to_path_buf();
    let mut cached = builder::cached(&request, &store).map_err(|error| report.fail(error))?;
    let mut notes = args.caching.notes();
    if matches!(cached, Cached::Miss { found: false, .. }) && !request.options.caching.from.is_empty() {
        notes.extend(caching::import(&mut request, &setup)?);
        if !request.options.caching.imported.is_empty() {
            cached = builder::cached(&request, &store).map_err(|error| report.fail(error))?;
        }
    }
    if matches!(cached, Cached::Miss { .. }) || report.verify {
        fetch(&args, &mut report, &request, (&store, &setup), addresses)?;
    }
    if report.verify {
        // A second build runs what the first one found.
        let trees = matches!(cached, Cached::Miss { needs_sandbox: true, .. });
        cached = Cached::Miss { needs_sandbox: trees || attesting::runs_something(&request), found: true };
    }
    match cached {
        Cached::Hit(built) => {
            report.notes(&notes);
            report.hit(&request)?;
            report.record_hit(&store, &request, &built)?;
            match report.needs_sandbox(&store, &built)? {
                true => worker::execute(&worker::Plan { root, job: Job::Conclude { report, built } }),
                false => Ok(0),
            }
        }
        Cached::Miss { needs_sandbox: true, .. } => {
            let keys = std::mem::take(&mut request.options.caching.keys);
            worker::execute(&worker::Plan { root, job: Job::Build { request, report, setup, keys, notes } })
        }
        Cached::Miss { needs_sandbox: false, .. } => {
            let (client, note) = wire::client_or_note(&setup);
            work::build(request, report, &store, None, client, notes.into_iter().chain(note).collect())
        }
    }
}

/// Answers what plans ask.
fn resolver<'r>(args: &Args, store: &'r Arc<Store>, setup: &'r Setup) -> Result<Resolver<'r>> {
    let mode = if args.quiet { Mode::Quiet } else { args.progress.settle() };
    let access = Access { secrets: args.running.secrets()?, agent: options::agent(args)? };
    Ok(Resolver::new(store, args.familiar.pull(args.pull), setup, mode).with_access(access))
}

/// Fetches the files and checkouts that the rest of the build reads.
fn fetch(
    args: &Args,
    report: &mut Report,
    request: &Request,
    (store, setup): (&Arc<Store>, &Setup),
    addresses: Addresses,
) -> Result {
    let missing = builder::sources::missing(request, store, report.verify);
    let missing = missing.map_err(|error| report.fail(error))?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut resolver = resolver(args, store, setup)?.with_addresses(addresses).with_shown(report.shown);
    resolver.fetch(&missing)?;
    report.shown = resolver.shown();
    Ok(())
}

/// How registries are reached. Name and password are for the registry of the image's own name: a Dockerfile names any.
fn setup(args: &Args, tags: &[String]) -> Result<Setup> {
    match (tags.first(), &args.wire.creds) {
        (Some(tag), _) => args.wire.setup_for(tag),
        (None, None) => args.wire.setup(),
        (None, Some(_)) => Err(Error::usage("--creds are for the registry of the image's name, and it has none")
            .hint("add `-t REGISTRY/NAME`, or `estiba login REGISTRY`")),
    }
}

/// Lowers a text that needs no image.
pub(super) fn lower_text(name: &str, text: String, options: frontend::Options) -> Result<Lowered> {
    let text = frontend::SourceText::new(name, text.into_bytes())?;
    let source = Source { text, path: None, context: None, foreign: false };
    let refused = |found: Vec<frontend::Diagnostic>| report::refuse(&source, &found);
    let parsed = frontend::parse(&source.text);
    if parsed.diagnostics.iter().any(frontend::Diagnostic::is_error) {
        return Err(refused(parsed.diagnostics));
    }
    Plan::new(parsed.dockerfile, &source.text, options).and_then(Plan::lower).map_err(refused)
}

/// Everything the builder needs to know.
fn request(
    args: &Args,
    source: &Source,
    (graph, images): (Graph, Vec<Image>),
    contexts: Vec<LocalContext>,
    epoch: Option<i64>,
    outputs: output::Outputs,
) -> Result<Request> {
    Ok(Request {
        graph,
        images,
        contexts,
        options: builder::Options {
            exporting: outputs.exporting,
            attesting: attesting::asked(args, source)?,
            epoch,
            ..options::for_builder(args)?
        },
        tags: outputs.tags,
        outputs: outputs.all,
    })
}
