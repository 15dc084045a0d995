//! `estiba volume`: THE TABLE of its verbs.

mod create;
mod inspect;
mod ls;
mod prune;
mod rm;

use clap::{ArgMatches, Command};
use containers::layout::Layout;
use containers::volume::{Volume, Volumes};

use super::group::{self, Verb, verb};
use crate::context::Context;
use crate::error::{Error, Result};

const VERBS: &[Verb] = &[
    verb!(create, "Make a volume"),
    verb!(ls, &["list"], "List volumes"),
    verb!(inspect, "Show everything about volumes"),
    verb!(rm, &["remove"], "Remove volumes that no container uses"),
    verb!(prune, "Remove all volumes that no container uses"),
];

const EXAMPLES: &str = "\
Examples:
  estiba volume create data
  estiba run -v data:/var/lib/app app          A volume that is not there is made
  estiba volume create --opt type=tmpfs --opt o=size=64m scratch
  estiba volume ls --filter dangling=true
  estiba volume rm data

A volume begins with what the image has at the place where it is mounted first.";

/// Adds the verbs to `estiba volume`.
pub(super) fn arguments(command: Command) -> Command {
    group::arguments(command.after_help(EXAMPLES), VERBS)
}

/// Runs one of them.
pub(super) fn run(matches: &ArgMatches, context: &Context) -> Result<u8> {
    group::run(matches, context, VERBS)
}

/// The store's volumes.
fn volumes(context: &Context) -> Result<Volumes> {
    Ok(Volumes::new(&Layout::new(&store::Layout::new(context.root()?))))
}

/// docker's JSON of a volume.
fn shown(volumes: &Volumes, volume: &Volume) -> serde_json::Value {
    let created = volume.created.system().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    serde_json::json!({
        "CreatedAt": oci::Timestamp::from_unix(i64::try_from(created.as_secs()).unwrap_or_default(), 0),
        "Driver": containers::volume::DRIVER,
        "Labels": volume.labels,
        "Mountpoint": volumes.data(&volume.name),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
        "Anonymous": volume.anonymous,
    })
}

/// One `--filter`.
#[derive(Debug)]
enum Filter {
    Dangling(bool),
    Driver(String),
    Label(bool, String, Option<String>),
    Name(String),
}

impl Filter {
    fn parse(text: &str) -> Result<Self> {
        let label = |is: bool, value: &str| {
            let (key, value) =
                value.split_once('=').map_or((value, None), |(key, value)| (key, Some(value.to_owned())));
            Self::Label(is, key.to_owned(), value)
        };
        match text.split_once('=') {
            Some(("dangling", "true" | "1")) => Ok(Self::Dangling(true)),
            Some(("dangling", "false" | "0")) => Ok(Self::Dangling(false)),
            Some(("driver", driver)) => Ok(Self::Driver(driver.to_owned())),
            Some(("label!", value)) => Ok(label(false, value)),
            Some(("label", value)) => Ok(label(true, value)),
            Some(("name", name)) => Ok(Self::Name(name.to_owned())),
            _ => Err(Error::usage(format!("--filter {text}: unknown filter"))
                .hint("there are dangling=true|false, driver=, label=KEY[=VALUE] and name=")),
        }
    }

    fn accepts(&self, volume: &Volume, used: bool) -> bool {
        match self {
            Self::Dangling(dangling) => *dangling != used,
            Self::Driver(driver) => driver == containers::volume::DRIVER,
            Self::Label(is, key, value) => {
                let has = volume.labels.get(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found));
                has == *is
            }
            Self::Name(part) => volume.name.contains(part.as_str()),
        }
    }
}

/// Removes volumes, inside the namespaces: what containers wrote belongs to their ids. Says each name; what cannot be removed is the
/// error, after all others are gone.
fn remove(context: &Context, volumes: &Volumes, names: &[String], force: bool) -> Result<()> {
    let Some(store) = context.existing_store()? else { return missing(names, force) };
    let _locked = volumes.lock()?;
    crate::sandbox::enter(store.layout())?;
    let mut failed = Vec::new();
    for name in names {
        match volumes.remove(name, false) {
            Ok(()) => crate::ui::out(&format!("{name}\n"))?,
            Err(containers::volume::VolumeError::Absent(_)) if force => {}
            Err(error) => failed.push(error.to_string()),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Error::failed(failed.join("\n"))) }
}

fn missing(names: &[String], force: bool) -> Result<()> {
    match names.first() {
        Some(name) if !force => Err(Error::failed(format!("no such volume: {name}"))),
        _ => Ok(()),
    }
}
