//! Containers that a verb is about: named one by one, or all of a kind.

use std::fs;
use std::path::PathBuf;

use containers::{Container, ContainerId, Containers, ContainersError};

use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::ui;

/// The longest file with an id in it that is read.
const MAX_ID: u64 = 4096;

/// Whose containers are meant.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Chosen {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required_unless_present_any = ["all", "latest", "cidfiles", "filters"])]
    pub(crate) names: Vec<String>,
    /// All containers
    #[arg(short, long, conflicts_with = "names")]
    all: bool,
    /// The container that was made last
    #[arg(short, long, conflicts_with_all = ["names", "all"])]
    latest: bool,
    /// The container whose id is in a file
    #[arg(long = "cidfile", value_name = "FILE")]
    cidfiles: Vec<PathBuf>,
    /// Only those that have it: name=, id=, label=NAME[=VALUE], status=, restart-policy=, ancestor=
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
}

/// A container and how it was called.
pub(crate) struct One {
    /// What is printed about it.
    pub(crate) written: String,
    /// Itself.
    pub(crate) container: Container,
}

/// A container whose settings cannot be read.
pub(crate) struct Unread {
    /// How it was called.
    pub(crate) written: String,
    /// Its id.
    pub(crate) id: ContainerId,
    why: ContainersError,
    /// Whether it was meant itself, and not all of a kind.
    named: bool,
}

/// All that were found, and what could not be.
#[derive(Default)]
pub(crate) struct Found {
    /// Those that were found, in the order in which they were named.
    pub(crate) ones: Vec<One>,
    /// How many of the names lead to nothing.
    pub(crate) absent: usize,
    /// Those whose settings cannot be read.
    pub(crate) unreadable: Vec<Unread>,
    not_there: Vec<Error>,
    errors: Vec<Error>,
}

impl Chosen {
    /// For a verb that writes it otherwise.
    pub(crate) fn new(names: Vec<String>, all: bool, latest: bool, filters: Vec<String>) -> Self {
        Self { names, all, latest, cidfiles: Vec::new(), filters }
    }

    /// Whether containers were chosen one by one.
    pub(crate) fn is_by_name(&self) -> bool {
        !self.names.is_empty() || !self.cidfiles.is_empty()
    }

    /// The containers; names that lead to nothing are told by [`Found::report`].
    pub(crate) fn find(&self, containers: &Containers) -> Result<Found> {
        let mut found = Found::default();
        let mut names = self.names.clone();
        for path in &self.cidfiles {
            names.push(read_id(path)?);
        }
        for name in names {
            match containers.find(&name) {
                Ok(container) => found.ones.push(One { written: name, container }),
                Err(error @ ContainersError::NoSuch(_)) => {
                    found.absent += 1;
                    found.not_there.push(explain(containers, error));
                }
                Err(why) if why.is_unreadable() => {
                    let id = containers.find_id(&name)?;
                    found.unreadable.push(Unread { written: name, id, why, named: true });
                }
                Err(error) => found.errors.push(explain(containers, error)),
            }
        }
        if self.is_by_name() {
            return Ok(found);
        }
        let filters = self.filters.iter().map(|filter| Filter::parse(filter)).collect::<Result<Vec<_>>>()?;
        let listing = containers.listing()?;
        let mut all = listing.containers;
        all.retain(|container| Filter::all(&filters, container));
        if self.latest {
            all.truncate(1);
        }
        // What they are is not known, so no filter means them.
        if self.all && filters.is_empty() {
            let unread = |(id, why): (ContainerId, _)| Unread { written: id.to_string(), id, why, named: false };
            found.unreadable = listing.unreadable.into_iter().map(unread).collect();
        }
        found.ones =
            all.into_iter().map(|container| One { written: container.config.id.to_string(), container }).collect();
        Ok(found)
    }
}

impl Found {
    /// Tells what was not found. Gives the exit code so far.
    pub(crate) fn report(&self) -> u8 {
        self.not_there.iter().for_each(Error::report);
        u8::from(!self.not_there.is_empty()).max(self.report_but_absent())
    }

    /// The same, but for names that lead to nothing.
    pub(crate) fn report_but_absent(&self) -> u8 {
        self.errors.iter().for_each(Error::report);
        let code = u8::from(!self.errors.is_empty());
        self.unreadable.iter().map(Unread::report).fold(code, u8::max)
    }
}

impl Unread {
    /// Whoever meant all of a kind only hears that it was left out.
    fn report(&self) -> u8 {
        if !self.named {
            note_unreadable(&self.id, &self.why);
            return 0;
        }
        Error::failed(format!("{}: its settings cannot be read: {}", self.written, self.why))
            .hint(format!("`estiba rm -f {}` removes it without them", self.id.short()))
            .report();
        1
    }
}

/// Tells of a container that is left out.
pub(crate) fn note_unreadable(id: &ContainerId, why: &ContainersError) {
    let short = id.short();
    ui::note(&format!("container {short} cannot be read, and is left out: {why}; `estiba rm -f {short}` removes it"));
}

/// The containers of the store; none where there is no store yet.
pub(crate) fn containers(context: &Context) -> Result<Containers> {
    Ok(Containers::new(&store::Layout::new(context.root()?)))
}

/// Tells of each what came of it: its name, or why not. Gives the exit code.
pub(crate) fn tell(results: impl IntoIterator<Item = (String, Result<()>)>, mut code: u8) -> Result<u8> {
    for (written, result) in results {
        match result {
            Ok(()) => ui::out(&format!("{written}\n"))?,
            Err(error) => {
                error.report();
                code = error.exit_code();
            }
        }
    }
    Ok(code)
}

/// The one container of a name.
pub(crate) fn one(containers: &Containers, name: &str) -> Result<Container> {
    containers.find(name).map_err(|error| explain(containers, error))
}

/// With the name that was probably meant.
fn explain(containers: &Containers, error: ContainersError) -> Error {
    let near = match &error {
        ContainersError::NoSuch(name) => {
            let all = containers.list().unwrap_or_default();
            crate::near::nearest(name, all.iter().map(|one| one.config.name.as_str())).map(str::to_owned)
        }
        _ => None,
    };
    let error = Error::from(error);
    match near {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

fn read_id(path: &PathBuf) -> Result<String> {
    let what = format!("--cidfile {}", path.display());
    if fs::metadata(path).during(&what)?.len() > MAX_ID {
        return Err(Error::usage(format!("{what}: the file holds more than an id")));
    }
    Ok(fs::read_to_string(path).during(&what)?.trim().to_owned())
}

/// What a container must have.
struct Filter {
    key: &'static str,
    value: String,
}

/// What can be asked for.
const KEYS: [&str; 6] = ["name", "id", "label", "status", "restart-policy", "ancestor"];

impl Filter {
    fn parse(written: &str) -> Result<Self> {
        let (key, value) = written.split_once('=').unwrap_or((written, ""));
        match KEYS.into_iter().find(|known| *known == key) {
            Some(key) => Ok(Self { key, value: value.to_owned() }),
            None => Err(Error::usage(format!("--filter {written}: expected one of {}", KEYS.join(", ")))),
        }
    }

    /// docker's rule: values of one key are alternatives, labels and keys must all be met.
    fn all(filters: &[Self], container: &Container) -> bool {
        KEYS.iter().all(|key| {
            let mut of_key = filters.iter().filter(|filter| filter.key == *key).peekable();
            match *key {
                "label" => of_key.all(|filter| filter.matches(container)),
                _ => of_key.peek().is_none() || of_key.any(|filter| filter.matches(container)),
            }
        })
    }

    fn matches(&self, container: &Container) -> bool {
        let (config, value) = (&container.config, self.value.as_str());
        match self.key {
            "name" => config.name.contains(value),
            "id" => config.id.as_str().starts_with(value),
            "label" => match value.split_once('=') {
                Some((name, value)) => config.life.labels.get(name).is_some_and(|own| own == value),
                None => config.life.labels.contains_key(value),
            },
            "status" => status(container) == value,
            "restart-policy" => policy(container.config.life.restart).split(':').next() == Some(value),
            _ => config.image.name == value || config.image.id.to_string().contains(value),
        }
    }
}

/// docker's word for where it is.
pub(crate) fn status(container: &Container) -> &'static str {
    match container.state.status {
        containers::Status::Created => "created",
        containers::Status::Running => "running",
        containers::Status::Paused => "paused",
        containers::Status::Restarting => "restarting",
        containers::Status::Exited => "exited",
    }
}

/// A policy as it is written.
pub(crate) fn policy(policy: containers::config::Restart) -> String {
    match policy {
        containers::config::Restart::No => "no".to_owned(),
        containers::config::Restart::OnFailure(0) => "on-failure".to_owned(),
        containers::config::Restart::OnFailure(times) => format!("on-failure:{times}"),
        containers::config::Restart::Always => "always".to_owned(),
        containers::config::Restart::UnlessStopped => "unless-stopped".to_owned(),
    }
}
