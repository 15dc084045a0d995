//! Making a container of an image and options: what `run` and `create` share.

use containers::config::MadeBy;
use containers::id::{ContainerId, check_name};
use containers::{Container, Containers};
use oci::Platform;
use store::Store;
use sys::lock::Lock;

use super::options::{self, Options};
use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::launch::Ground;
use crate::present::Wanted;
use crate::resolve::Policy;
use crate::rootfs;
use crate::ui::progress::Mode;
use crate::verb::pull::bare;
use crate::wire::WireArgs;

/// The image, its command, and what the container is to be.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Args {
    /// The image, by name or id; and the command instead of the image's own
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "IMAGE [COMMAND]")]
    words: Vec<String>,
    #[command(flatten)]
    pub(in crate::verb) options: Options,
    /// The platform, where the image has several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// When the image is looked for in its registry: missing, always, newer or never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "missing",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pull: Policy,
    /// Show no progress of a pull
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    wire: WireArgs,
}

/// A container that was made and does not run yet; this process is in its namespaces.
pub(in crate::verb) struct New {
    pub(in crate::verb) containers: Containers,
    pub(in crate::verb) container: Container,
    pub(in crate::verb) lock: Lock,
    pub(in crate::verb) ground: Ground,
}

impl Args {
    /// Makes the container. `verb` is whose options are meant.
    pub(in crate::verb) fn make(&self, verb: &'static str, context: &Context) -> Result<New> {
        let Some((name, command)) = self.words.split_first() else { return Err(Error::usage("the image is missing")) };
        if name.starts_with('-') {
            return Err(unknown_option(verb, name));
        }
        self.options.life.check()?;
        let store = match context.existing_store()? {
            Some(store) => store,
            None => context.store()?,
        };
        let image = self.image(name, &store)?;
        // What the arguments name is looked at before the namespaces change who we are.
        let containers = Containers::new(store.layout());
        let id = ContainerId::random()?;
        let platform = image.config.value().platform();
        let of = containers::config::Image {
            name: name.clone(),
            id: image.id(),
            manifest: image.manifest.digest(),
            platform: platform.clone(),
        };
        let called = self.called(&containers)?;
        let mut config = self.options.settle(id.clone(), called, of, command, &image.config.value().config)?;
        config.made_by = typed(verb, &self.words);
        config.life.at_once = verb == "run";
        if self.options.life.replace {
            super::super::rm::replace(&containers, &config.name)?;
        }
        let allotting = options::settle_others(&mut config, &containers)?;
        let volumes = self.options.provide(&mut config, &store)?;
        let mut made = containers.begin(config).map_err(explain)?;
        // From here on they are in use.
        drop((volumes, allotting));
        let ground = Ground::enter(store.layout(), made.config(), name)?;
        let rootfs = rootfs::Prepared::new(&store, &image, &ground.probe, id.as_str())
            .during(format!("prepare the file system of {name}"))?;
        let (tree, lease) = rootfs.keep(id.as_str())?;
        let mounted = rootfs::mounted(&store, made.config(), &ground.probe, &lease)?;
        if !mounted.is_empty() {
            made.mount_images(&mounted)?;
        }
        let (container, lock) = made.finish(&tree)?;
        drop(lease);
        self.options.life.write_cidfile(&id)?;
        Ok(New { containers, container, lock, ground })
    }

    fn image(&self, name: &str, store: &Store) -> Result<crate::image::Image> {
        let wanted = Wanted {
            name,
            platform: self.platform.as_ref(),
            policy: self.pull,
            setup: self.wire.setup_for(bare(name))?,
            mode: if self.quiet { Mode::Quiet } else { Mode::Auto },
        };
        wanted.get(store)
    }

    fn called(&self, containers: &Containers) -> Result<String> {
        match &self.options.life.name {
            Some(name) => {
                check_name(name).map(|()| name.clone()).map_err(|error| Error::usage(format!("--name: {error}")))
            }
            None => Ok(containers.new_name()?),
        }
    }
}

/// What was typed after the verb.
fn typed(verb: &str, words: &[String]) -> MadeBy {
    let all: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let end = all.len().saturating_sub(words.len());
    let begin = all[..end].iter().position(|word| word == verb).map_or(end, |at| at + 1);
    MadeBy { options: all[begin..end].to_vec(), words: words.to_vec() }
}

/// The error of a container that could not be made, with what helps.
fn explain(error: containers::ContainersError) -> Error {
    match &error {
        containers::ContainersError::Taken { name, .. } => {
            let hint = format!("remove it (`estiba rm -f {name}`), rename it, or give --replace");
            Error::from(error).hint(hint)
        }
        _ => Error::from(error),
    }
}

/// The error for an option that the parser took for the image: everything after the image may begin with `-`.
fn unknown_option(verb: &'static str, word: &str) -> Error {
    let command = match verb {
        "create" => <super::super::create::Args as clap::Args>::augment_args(clap::Command::new(verb)),
        _ => <super::Args as clap::Args>::augment_args(clap::Command::new(verb)),
    };
    let written = word.split('=').next().unwrap_or(word);
    let option = match written.strip_prefix('-').filter(|letters| !letters.starts_with('-')) {
        // Of `-dit` it is the `d` that is unknown.
        Some(letters) => letters
            .chars()
            .find(|letter| !command.get_arguments().any(|known| known.get_short() == Some(*letter)))
            .map_or_else(|| written.to_owned(), |letter| format!("-{letter}")),
        None => written.to_owned(),
    };
    if let Some(later) = super::super::later::flag("run", &option) {
        return later;
    }
    let error = Error::usage(format!("`estiba {verb}` has no option `{option}`"));
    let names: Vec<_> =
        command.get_arguments().filter_map(clap::Arg::get_long).map(|name| format!("--{name}")).collect();
    match crate::near::nearest(&option, names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("`estiba {verb} --help` lists what there is")),
    }
}
