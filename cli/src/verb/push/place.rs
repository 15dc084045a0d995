//! A push from or to something that is no registry: a layout or an archive on this machine. It is a copy.

use builder::transfer::copy::{self, CopyOptions, Place};

use super::{Args, write_digest};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::place::{Ready, explain};
use crate::ui::transfer::Progress;
use crate::verb::pull::{bare, is_place, settle};
use crate::{ui, wire};

/// Whether the arguments name a place on this machine.
pub(super) fn is_meant(args: &Args) -> bool {
    is_place(&args.image) || args.to.as_deref().is_some_and(is_place)
}

/// Runs the verb.
pub(super) fn run(args: &Args, context: &Context) -> Result<u8> {
    let from = if is_place(&args.image) { args.image.parse()? } else { Place::Store(args.image.clone()) };
    let to: Place = match &args.to {
        Some(written) => written.parse()?,
        None => {
            return Err(Error::usage(format!("{from}: where is it to go?")).hint(format!("`estiba push {from} NAME`")));
        }
    };
    if args.compression.is_some() && !(matches!(from, Place::Store(_)) && matches!(to, Place::Registry(_))) {
        return Err(Error::usage(format!("{to}: --compression works from the store to a registry"))
            .hint("`estiba build -o type=oci,compression=zstd,dest=FILE` writes compressed archives"));
    }
    let mut ready = Ready::remote(wire::client(&args.wire.setup_for(bare(args.to.as_deref().unwrap_or_default()))?)?);
    if copy::needs_store(&from, &to) {
        ready = ready.with_trees(context, !matches!(from, Place::Store(_)))?;
    }
    let options = CopyOptions {
        platform: args.platform.clone(),
        all: args.all_platforms,
        parallel: args.parallel.unwrap_or_default(),
        ..CopyOptions::default()
    };
    let progress = Progress::start(args.progress.mode());
    let sink = progress.sink();
    let copied = wire::together(async {
        match copy::copy(&ready.hands(&sink), &from, &to, &options).await {
            Ok(copied) => Ok(copied),
            Err(error) => Err(explain(error, &ready.source, &from).await),
        }
    })?;
    progress.finish();
    let copied = copied?;
    if let Some(store) = &ready.store {
        settle(store, copied.fresh);
    }
    let (digest, size) = (copied.descriptor.digest, copied.descriptor.size);
    if let Some(path) = &args.digestfile {
        write_digest(path, &digest)?;
    }
    ui::out(&if args.progress.quiet { format!("{digest}\n") } else { format!("digest: {digest} size: {size}\n") })?;
    Ok(0)
}
