//! `estiba copy`.

use std::path::PathBuf;

use builder::transfer::copy::{self, Copied, CopyOptions, Place};
use oci::Platform;
use remote::Client;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::place::{self, Ready};
use crate::ui;
use crate::ui::transfer::{Progress, ProgressArgs};
use crate::wire::{self, WireArgs};
use crate::worker::{self, Plan};

const EXAMPLES: &str = "\
Places:
  docker://REF, or REF alone       A registry; short names are docker's
  oci:DIR[:NAME|@DIGEST]           An OCI layout in a folder
  oci-archive:FILE[:NAME]          An OCI layout in a tar
  docker-archive:FILE[:REF]        What `docker save` and `docker load` handle
  store:NAME                       Our own store

Examples:
  estiba copy debian:bookworm localhost:5000/debian:bookworm
  estiba copy --all docker://registry.example.com/app:1.2 docker://mirror.example.com/app:1.2
  estiba copy registry.example.com/app:1.2 oci:layout:1.2
  estiba copy docker-archive:app.tar registry.example.com/app
  estiba copy store:app oci-archive:app.tar:1.2
  estiba copy --all --referrers app:1.2 localhost:5000/app:1.2     With signatures and bills of materials

Bytes are copied as they are: every digest stays, unless the store compresses a layer for a registry. What is at the target
already is not sent, and what one registry has in another repository is mounted. Of an index, the image for this machine is
copied, as skopeo does; `--all` copies the index with every platform.";

/// Arguments of `estiba copy`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where from
    #[arg(value_name = "SOURCE")]
    from: Place,
    /// Where to
    #[arg(value_name = "TARGET")]
    to: Place,
    /// An index with every platform, not this machine's image alone
    #[arg(short, long, visible_alias = "all-platforms", conflicts_with = "platform")]
    all: bool,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Also what refers to it: signatures, bills of materials
    #[arg(long)]
    referrers: bool,
    /// Keep the digest: layers that the store has in another form are fetched again; fail where that cannot be
    #[arg(long)]
    preserve_digests: bool,
    /// How many blobs go side by side
    #[arg(short, long, visible_alias = "jobs", value_name = "N", default_value_t = 3, hide_default_value = true)]
    parallel: usize,
    /// Write the digest into a file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    wire: WireArgs,
    #[command(flatten)]
    ends: EndArgs,
}

/// Options for one of the two registries, where they differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "One registry of two")]
struct EndArgs {
    /// As --creds, for the source
    #[arg(long, value_name = "USER[:PASSWORD]")]
    src_creds: Option<String>,
    /// As --creds, for the target
    #[arg(long, value_name = "USER[:PASSWORD]")]
    dest_creds: Option<String>,
    /// As --tls-verify, for the source
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    src_tls_verify: Option<bool>,
    /// As --tls-verify, for the target
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    dest_tls_verify: Option<bool>,
    /// As --authfile, for the source
    #[arg(long, value_name = "FILE", conflicts_with = "src_creds")]
    src_authfile: Option<PathBuf>,
    /// As --authfile, for the target
    #[arg(long, value_name = "FILE", conflicts_with = "dest_creds")]
    dest_authfile: Option<PathBuf>,
    /// As --cert-dir, for the source
    #[arg(long, value_name = "DIR")]
    src_cert_dir: Option<PathBuf>,
    /// As --cert-dir, for the target
    #[arg(long, value_name = "DIR")]
    dest_cert_dir: Option<PathBuf>,
}

impl EndArgs {
    /// The options of one end: its own, else those for both.
    fn source(&self, common: &WireArgs) -> WireArgs {
        let own = (&self.src_creds, &self.src_authfile, self.src_tls_verify, &self.src_cert_dir);
        end(common, own)
    }

    /// The same of the other end.
    fn target(&self, common: &WireArgs) -> WireArgs {
        let own = (&self.dest_creds, &self.dest_authfile, self.dest_tls_verify, &self.dest_cert_dir);
        end(common, own)
    }
}

type Own<'o> = (&'o Option<String>, &'o Option<PathBuf>, Option<bool>, &'o Option<PathBuf>);

fn end(common: &WireArgs, (creds, authfile, tls_verify, cert_dir): Own<'_>) -> WireArgs {
    // A file that is named for one end wins over a password for both.
    let common_creds = common.creds.clone().filter(|_| authfile.is_none());
    WireArgs {
        creds: creds.clone().or(common_creds),
        authfile: authfile.clone().or(common.authfile.clone()),
        tls_verify: tls_verify.or(common.tls_verify),
        cert_dir: cert_dir.clone().or(common.cert_dir.clone()),
        ..common.clone()
    }
}

/// The clients of both ends: one client where they are one registry, which then is asked for one token.
fn clients(args: &Args) -> Result<(Client, Client)> {
    let registry = |place: &Place| match place {
        Place::Registry(reference) => Some(reference.registry().to_owned()),
        _ => None,
    };
    let (from, to) = (registry(&args.from), registry(&args.to));
    if from == to && args.ends == EndArgs::default() {
        let client = wire::client(&place::setup(&args.wire, &args.to)?)?;
        return Ok((client.clone(), client));
    }
    let own = args.ends.src_creds.is_some() || args.ends.dest_creds.is_some();
    if from.is_some() && to.is_some() && from != to && args.wire.creds.is_some() && !own {
        return Err(Error::usage("--creds are for one registry, and there are two")
            .hint("`--src-creds` and `--dest-creds` say whose they are"));
    }
    let source = place::setup(&args.ends.source(&args.wire), &args.from)?;
    let target = place::setup(&args.ends.target(&args.wire), &args.to)?;
    Ok((wire::client(&source)?, wire::client(&target)?))
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let ready = ready(&args, context)?;
    let options = CopyOptions {
        platform: args.platform.clone(),
        all: args.all,
        preserve_digests: args.preserve_digests,
        referrers: args.referrers,
        parallel: args.parallel,
    };
    let progress = Progress::start(args.progress.mode());
    let sink = progress.sink();
    let copied = wire::together(async {
        match copy::copy(&ready.hands(&sink), &args.from, &args.to, &options).await {
            Ok(copied) => Ok(copied),
            Err(error) => Err(place::explain(error, &ready.source, &args.from).await),
        }
    })?;
    progress.finish();
    finish(&args, &ready, copied?)
}

/// Clients, and the store if a place is in it.
fn ready(args: &Args, context: &Context) -> Result<Ready> {
    let (source, target) = clients(args)?;
    let ready = Ready::between(source, target);
    if copy::needs_store(&args.from, &args.to) {
        let make = !matches!(args.from, Place::Store(_));
        return ready.with_trees(context, make);
    }
    Ok(ready)
}

fn finish(args: &Args, ready: &Ready, copied: Copied) -> Result<u8> {
    let digest = copied.descriptor.digest;
    if let (Some(store), false) = (&ready.store, copied.fresh.is_empty()) {
        // An error here costs a pull after the machine's next start, and nothing else.
        let job = worker::Job::Sync { layers: copied.fresh };
        drop(worker::detached(&Plan { root: store.root().to_path_buf(), job }));
    }
    if let Some(file) = &args.digestfile {
        std::fs::write(file, digest.to_string())
            .map_err(|error| Error::from(error).context(format!("write {}", file.display())))?;
    }
    if args.progress.quiet {
        ui::out(&format!("{digest}\n"))?;
    } else {
        ui::out(&format!("{}\n", named(&args.to, &digest)))?;
    }
    Ok(0)
}

/// The target with its digest: what can be copied from, or pulled, exactly.
fn named(to: &Place, digest: &oci::Digest) -> String {
    match to {
        Place::Registry(reference) => format!("{}@{digest}", reference.familiar_name()),
        Place::Layout { dir, .. } => format!("oci:{}@{digest}", dir.display()),
        other => format!("{other} {digest}"),
    }
}
