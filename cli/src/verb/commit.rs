//! `estiba commit`.

use std::io::{self, Read, Write};
use std::time::Duration;

use containers::client::Client;
use containers::supervisor::protocol::Request;
use containers::{Config, Container, Status};
use layer::TarWriter;
use oci::{ContainerConfig, History, ImageConfig, Reference, Timestamp};
use runtime::tree::{Walk, WalkOptions};
use sys::Root;

use super::diff::{is_stub, targets};
use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::image::{self, anonymous_name};
use crate::inside::Layers;
use crate::{chosen, duration, ui};

const EXAMPLES: &str = "\
Examples:
  estiba commit web web:mended
  estiba commit -c 'CMD [\"serve\"]' -c 'ENV A=1' -m 'with a fix' web web:2

What is in volumes and other mounts is no part of the image. A build says more of where an image comes from.";

/// How long a supervisor may take to freeze a container.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `estiba commit`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The container
    container: String,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<Reference>,
    /// Who made it
    #[arg(short, long, value_name = "TEXT")]
    author: Option<String>,
    /// Change the configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR, STOPSIGNAL
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,
    /// A remark for the history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Freeze the container meanwhile [default: true]
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pause: Option<bool>,
    /// Print nothing but the id
    #[arg(short, long, hide = true)]
    quiet: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let container = chosen::one(&containers, &args.container)?;
    let store = context.store()?;
    // Until it is named, only the lease keeps a collector away from the image.
    let _lease = store.lease()?;
    let of = &container.config.image;
    let base = image::read(&store, &of.manifest, Some(&of.platform))
        .during(format!("the image of {}", container.config.name))?;
    let mut config = base.config.value().clone();
    describe(&mut config, &args, &container.config)?;
    let layers = Layers::enter(&containers, &container)?;
    let frozen = Frozen::new(&container, args.pause.unwrap_or(true));
    let (reader, writer) = io::pipe()?;
    let targets = targets(&container.config);
    let writing = std::thread::spawn(move || write(&layers, &targets, writer));
    let made = builder::import::upon(&store, (&base.manifest, &base.config), Box::new(reader), config);
    let written = writing.join().map_err(|_| Error::failed("reading the changes failed"))?;
    drop(frozen);
    // Where both failed, the cause is what could not be read.
    written.during(format!("read what {} changed", container.config.name))?;
    let manifest = made?;
    let id = image::read_any(&store, &manifest)?.id();
    let name = args.name.as_ref().map_or_else(|| anonymous_name(&id), ToString::to_string);
    store.index().put_image(&name, &manifest, duration::now())?;
    ui::out(&format!("{id}\n"))?;
    Ok(0)
}

/// The tar of what was changed, without places that were made for mounts.
fn write(layers: &Layers, targets: &[String], out: impl Write) -> Result {
    let image = layers.image()?;
    let options = WalkOptions { ids: layers.ids(&layers.upper), lower: Some(&image) };
    let mut walk = Walk::new(&Root::open(&layers.upper)?, options)?;
    let mut tar = TarWriter::new(io::BufWriter::with_capacity(1 << 18, out));
    // Folders that may be there for a mount alone come when something in them does.
    let mut held: Vec<layer::Entry> = Vec::new();
    while let Some((entry, file)) = walk.next_entry()? {
        held.retain(|folder| entry.path.starts_with(&[folder.path.as_slice(), b"/"].concat()));
        if is_stub(&entry, targets) {
            held.push(entry);
            continue;
        }
        for folder in held.drain(..).filter(|held| held.kind == layer::Kind::Dir) {
            tar.append(&folder, &mut io::empty())?;
        }
        match file {
            // A program may write to it meanwhile: what a header says of a file is what follows.
            Some(file) => tar.append(&entry, &mut file.chain(io::repeat(0)).take(entry.size))?,
            None => tar.append(&entry, &mut io::empty())?,
        };
    }
    Ok(tar.finish()?.flush()?)
}

/// What the image says of itself: what the container was started with, and what is to be different.
fn describe(image: &mut ImageConfig, args: &Args, container: &Config) -> Result {
    let now = Timestamp::from_unix(duration::now(), 0);
    let own = &mut image.config;
    let process = &container.process;
    let (entrypoint, cmd) = process.args.split_at(process.entrypoint.min(process.args.len()));
    let words = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
    (own.entrypoint, own.cmd) = (words(entrypoint), words(cmd));
    // The host name is the container's own.
    let variable =
        |(name, value): &(String, String)| (name != "HOSTNAME" && name != "TERM").then(|| format!("{name}={value}"));
    own.env = process.env.iter().filter_map(variable).collect();
    own.working_dir.clone_from(&process.cwd);
    own.user.clone_from(&process.user);
    own.labels.clone_from(&container.life.labels);
    if let Some(signal) = &container.life.stop_signal {
        own.stop_signal.clone_from(signal);
    }
    merge(own, super::import::changed(&args.changes, &container.image.platform)?);
    image.created = Some(now.clone());
    if let Some(author) = &args.author {
        image.author.clone_from(author);
    }
    image.history.push(History {
        created: Some(now),
        created_by: process.args.join(" "),
        author: args.author.clone().unwrap_or_default(),
        comment: args.message.clone().unwrap_or_default(),
        ..History::default()
    });
    Ok(())
}

/// What instructions say takes the place of what was.
fn merge(own: &mut ContainerConfig, changes: ContainerConfig) {
    if changes.entrypoint.is_some() {
        own.entrypoint = changes.entrypoint;
    }
    if changes.cmd.is_some() {
        own.cmd = changes.cmd;
    }
    for variable in changes.env {
        let name = variable.split('=').next().unwrap_or_default().to_owned() + "=";
        own.env.retain(|there| !there.starts_with(&name));
        own.env.push(variable);
    }
    let texts = [
        (&mut own.user, changes.user),
        (&mut own.working_dir, changes.working_dir),
        (&mut own.stop_signal, changes.stop_signal),
    ];
    for (text, change) in texts {
        if !change.is_empty() {
            *text = change;
        }
    }
    own.labels.extend(changes.labels);
    own.volumes.extend(changes.volumes);
    own.exposed_ports.extend(changes.exposed_ports);
}

/// A container that is frozen until this is dropped.
struct Frozen<'c>(Option<&'c Container>);

impl<'c> Frozen<'c> {
    fn new(container: &'c Container, asked: bool) -> Self {
        if !asked || container.state.status != Status::Running {
            return Self(None);
        }
        match ask(container, &Request::Pause) {
            Ok(()) => Self(Some(container)),
            Err(error) => {
                ui::err(&format!("note: {} goes on meanwhile: {}\n", container.config.name, error.message()));
                Self(None)
            }
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Some(container) = self.0.take()
            && let Err(error) = ask(container, &Request::Unpause)
        {
            error.report();
        }
    }
}

fn ask(container: &Container, request: &Request) -> Result {
    use containers::supervisor::protocol::Reply;
    match Client::connect(&container.folder)?.ask(request, Some(PATIENCE))? {
        Reply::Failed(why) => Err(Error::failed(why)),
        _ => Ok(()),
    }
}
