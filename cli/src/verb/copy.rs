//! `estiba copy`.

use std::path::PathBuf;

use builder::transfer::copy::{self, Copied, CopyOptions, Place};
use oci::Platform;
use remote::Setup;

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
#[derive(Debug, Clone, Default, clap::Args)]
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
    /// The options of both ends.
    fn setups(&self, common: &WireArgs) -> Result<(Setup, Setup)> {
        let one =
            |creds: &Option<String>, authfile: &Option<PathBuf>, tls: Option<bool>, cert_dir: &Option<PathBuf>| {
                let mut args = common.clone();
                args.creds = creds.clone().or(args.creds);
                args.authfile = authfile.clone().or(args.authfile);
                args.tls_verify = tls.or(args.tls_verify);
                args.cert_dir = cert_dir.clone().or(args.cert_dir);
                args.setup()
            };
        let source = one(&self.src_creds, &self.src_authfile, self.src_tls_verify, &self.src_cert_dir)?;
        let same = self.src_creds.is_none() && self.dest_creds.is_none();
        // A password that is typed is typed once.
        let mut target = if same && common.creds.is_some() {
            let mut target = source.clone();
            let other = one(&Some("x:x".to_owned()), &None, self.dest_tls_verify, &self.dest_cert_dir)?;
            (target.tls_verify, target.cert_dir) = (other.tls_verify, other.cert_dir);
            target
        } else {
            one(&self.dest_creds, &self.dest_authfile, self.dest_tls_verify, &self.dest_cert_dir)?
        };
        if self.dest_authfile.is_some() {
            target.credentials = None;
        }
        Ok((source, target))
    }

    fn differ(&self) -> bool {
        let Self {
            src_creds,
            dest_creds,
            src_tls_verify,
            dest_tls_verify,
            src_authfile,
            dest_authfile,
            src_cert_dir,
            dest_cert_dir,
        } = self;
        src_creds.is_some()
            || dest_creds.is_some()
            || src_tls_verify.is_some()
            || dest_tls_verify.is_some()
            || src_authfile.is_some()
            || dest_authfile.is_some()
            || src_cert_dir.is_some()
            || dest_cert_dir.is_some()
    }
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
    let ready = if args.ends.differ() {
        let (source, target) = args.ends.setups(&args.wire)?;
        Ready::between(wire::client(&source)?, wire::client(&target)?)
    } else {
        Ready::remote(wire::client(&args.wire.setup()?)?)
    };
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
