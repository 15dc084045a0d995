//! `estiba save`.

use std::io::IsTerminal;
use std::path::PathBuf;

use builder::transfer::pull as transfer;
use oci::{Digest, Platform, Reference};
use store::{Blobs as _, Store};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::image::{self, Meant, familiar};
use crate::present;

const EXAMPLES: &str = "\
Examples:
  estiba save -o app.tar app
  estiba save app | docker load
  estiba save --format oci -o images.tar app team/tool:1
  estiba save --format oci-dir -o layout app";

/// The forms of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// What docker, podman and skopeo load
    #[value(alias = "docker-archive")]
    Docker,
    /// An OCI layout in a tar
    #[value(alias = "oci-archive")]
    Oci,
    /// An OCI layout as a folder
    OciDir,
}

/// Arguments of `estiba save`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The form of the archive
    #[arg(long, value_name = "FORMAT", default_value = "docker")]
    format: Format,
    /// The platform, where an image has several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    if args.output.is_none() && std::io::stdout().is_terminal() {
        return Err(
            Error::usage("the archive would go to the terminal").hint("use `-o FILE`, or redirect standard output")
        );
    }
    let Some(store) = context.existing_store()? else { return Err(image::missing_without_store(&args.images[0])) };
    let images = chosen(&store, &args)?;
    for (_, manifest) in &images {
        // An index was found whole.
        if image::children(&store, manifest)?.is_empty() {
            present::whole(&store, manifest)?;
        }
    }
    // Layers that are trees belong to ids that only the sandbox may read.
    let (store, _) = crate::rootfs::enter(store)?;
    let dest = match &args.output {
        Some(path) => builder::Destination::Path(std::path::absolute(path)?),
        None => builder::Destination::Stdout,
    };
    let compression = builder::Compress::default();
    let output = match args.format {
        Format::Docker => builder::Output::Docker { dest, tar: true, compression, dress: None },
        Format::Oci => builder::Output::Oci { dest, tar: true, compression, dress: None },
        Format::OciDir => builder::Output::Oci { dest, tar: false, compression, dress: None },
    };
    builder::export::save(&store, &images, &output)?;
    Ok(0)
}

/// The images and the names that go with them: the one that was written, or none for an id.
fn chosen(store: &Store, args: &Args) -> Result<Vec<(Vec<Reference>, Digest)>> {
    let mut all: Vec<(Vec<Reference>, Digest)> = Vec::new();
    for text in &args.images {
        let (found, meant) = image::find(store, text, args.platform.as_ref())?;
        let manifest = whole_index(store, &meant, args)?.unwrap_or(found.manifest.digest());
        let name = match meant {
            Meant::Name(name) => familiar(&name),
            Meant::Id => None,
        };
        match all.iter_mut().find(|(_, known)| *known == manifest) {
            Some((names, _)) => names.extend(name),
            None => all.push((name.into_iter().collect(), manifest)),
        }
    }
    Ok(all)
}

/// The index of a name, where all its images are here and none was chosen: then all of them are saved. A build for several
/// platforms made it, or a pull of all.
fn whole_index(store: &Store, meant: &Meant, args: &Args) -> Result<Option<Digest>> {
    let (Meant::Name(name), None) = (meant, &args.platform) else { return Ok(None) };
    let Some(row) = store.index().image(name)? else { return Ok(None) };
    let children = image::children(store, &row.manifest)?;
    for child in &children {
        if store.blobs().size(child)?.is_none() || !transfer::missing(store, child)?.is_empty() {
            return Ok(None);
        }
    }
    Ok((!children.is_empty()).then_some(row.manifest))
}
