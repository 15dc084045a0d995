//! `estiba load`.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use oci::{Digest, Platform, Reference};
use store::Store;

use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::image::{self, anonymous_name};
use crate::{duration, ui};

const EXAMPLES: &str = "\
Examples:
  estiba load -i app.tar              An archive of docker save, podman save or skopeo
  docker save app | estiba load
  estiba load -i layout/ --tag app    An OCI layout on disk";

/// Arguments of `estiba load`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The archive, compressed or not, or an OCI layout's folder [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Name the image that is loaded
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Option<Reference>,
    /// The platform, where there are several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let store = context.store()?;
    // Until they are named, only the lease keeps a collector away from the images.
    let _lease = store.lease()?;
    let loaded = match args.input.as_deref() {
        Some(path) if path.is_dir() => load_folder(&store, path, &args)?,
        Some(path) => {
            let file = File::open(path).during(format!("open {}", path.display()))?;
            load_stream(&store, Box::new(file)).during(path.display())?
        }
        None if io::stdin().is_terminal() => {
            return Err(Error::usage("standard input is a terminal").hint("name the archive: `estiba load -i FILE`"));
        }
        None => load_stream(&store, Box::new(io::stdin()))?,
    };
    let mut out = String::new();
    for (names, manifest) in loaded {
        let names = args.tag.clone().map_or(names, |tag| vec![tag]);
        out.push_str(&keep(&store, &names, &manifest)?);
    }
    if !args.quiet {
        ui::out(&out)?;
    }
    Ok(0)
}

/// An image that is in the store now, and the names it brought along.
pub(super) type Loaded = Vec<(Vec<Reference>, Digest)>;

fn load_folder(store: &Store, path: &Path, args: &Args) -> Result<Loaded> {
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let manifest = builder::import::layout(store, path, None, &platform).during(path.display())?;
    Ok(vec![(names_in(path, &manifest)?, manifest)])
}

/// The references that a layout's index gives an image, as containerd, docker and our own scripts write them.
///
/// `org.opencontainers.image.ref.name` is no reference but a tag of whatever the folder is called.
pub(super) fn names_in(layout: &Path, manifest: &Digest) -> Result<Vec<Reference>> {
    let path = layout.join("index.json");
    // The image was just imported through this file: it is there, and no larger than a document may be.
    let index: oci::Index = serde_json::from_slice(&std::fs::read(&path).during(path.display())?)?;
    let alone = index.manifests.len() == 1;
    let ours = index.manifests.iter().filter(|descriptor| alone || descriptor.digest == *manifest);
    let names = ours.filter_map(|descriptor| descriptor.annotations.get("io.containerd.image.name")?.parse().ok());
    Ok(names.collect())
}

pub(super) fn load_stream(store: &Store, stream: Box<dyn Read + Send>) -> Result<Loaded> {
    builder::import::archive(store, stream).map_err(|error| {
        let error = Error::from(error);
        if error.message().starts_with("the tar ") {
            return error
                .hint("`load` reads what `save` of estiba, docker or podman wrote; `estiba import` takes a file tree");
        }
        error
    })
}

/// Names the image; without a name it stays until `prune`. Gives docker's line.
pub(super) fn keep(store: &Store, names: &[Reference], manifest: &Digest) -> Result<String> {
    let image = image::read_any(store, manifest)?;
    if names.is_empty() {
        store.index().put_image(&anonymous_name(&image.id()), manifest, duration::now())?;
        return Ok(format!("Loaded image ID: {}\n", image.id()));
    }
    let mut out = String::new();
    for name in names {
        store.index().put_image(&name.to_string(), manifest, duration::now())?;
        out.push_str(&format!("Loaded image: {}\n", name.familiar()));
    }
    Ok(out)
}
