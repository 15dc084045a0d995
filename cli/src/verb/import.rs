//! `estiba import`.

use std::fs::File;
use std::io::{self, IsTerminal, Read};

use oci::{ContainerConfig, History, ImageConfig, Platform, Reference, Timestamp};

use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::image::{self, anonymous_name};
use crate::{duration, ui};

const EXAMPLES: &str = "\
Examples:
  estiba import rootfs.tar base
  tar -c -C rootfs . | estiba import - base
  estiba import -c 'CMD [\"sh\"]' -c 'ENV A=1' rootfs.tar.zst base:1";

/// Arguments of `estiba import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The tar, compressed or not; `-` reads standard input
    file: String,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<Reference>,
    /// Change the configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR, STOPSIGNAL
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,
    /// A remark for the history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// The platform it is for
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let mut config = ImageConfig::empty(&platform);
    let now = Timestamp::from_unix(duration::now(), 0);
    config.created = Some(now.clone());
    config.config = changed(&args.changes, &platform)?;
    let comment = args.message.clone().unwrap_or_else(|| format!("Imported from {}", args.file));
    config.history.push(History { created: Some(now), comment, ..History::default() });
    let store = context.store()?;
    // Until it is named, only the lease keeps a collector away from the image.
    let _lease = store.lease()?;
    let stream: Box<dyn Read + Send> = match args.file.as_str() {
        "-" if io::stdin().is_terminal() => {
            return Err(Error::usage("standard input is a terminal").hint("name the tar file"));
        }
        "-" => Box::new(io::stdin()),
        path if path.contains("://") => {
            return Err(Error::later("importing from a URL", "download it, and give the file"));
        }
        path => Box::new(File::open(path).during(format!("open {path}"))?),
    };
    let manifest = builder::import::tarball(&store, stream, config).during(&args.file)?;
    let id = image::read_any(&store, &manifest)?.id();
    let name = args.name.as_ref().map_or_else(|| anonymous_name(&id), ToString::to_string);
    store.index().put_image(&name, &manifest, duration::now())?;
    ui::out(&format!("{id}\n"))?;
    Ok(0)
}

/// The configuration that the instructions make: a Dockerfile from scratch, lowered.
pub(super) fn changed(changes: &[String], platform: &Platform) -> Result<ContainerConfig> {
    const ALLOWED: [&str; 9] =
        ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "USER", "VOLUME", "STOPSIGNAL", "WORKDIR"];
    for change in changes {
        let word = change.split_whitespace().next().unwrap_or_default().to_uppercase();
        if !ALLOWED.contains(&word.as_str()) {
            return Err(Error::usage(format!("--change '{change}': {word} has no place here"))
                .hint(format!("there are {}", ALLOWED.join(", "))));
        }
    }
    let text = format!("FROM scratch\n{}\n", changes.join("\n"));
    let options = frontend::Options { platform: platform.clone(), ..frontend::Options::default() };
    let lowered = super::build::lower_text("--change", text, options)?;
    Ok(lowered.config.config)
}
