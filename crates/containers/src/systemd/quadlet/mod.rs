//! Units from descriptions of containers, in the form that podman's Quadlet made common (podman-systemd.unit(5)).
//!
//! `web.container` becomes `web.service`, `data.volume` becomes `data-volume.service`, and so on; a container that names
//! `data.volume` requires that service. What stands in `[Unit]`, `[Service]` and `[Install]` stays as it is.

mod build;
mod container;
mod image;
mod key;
mod network;
mod volume;

use std::path::{Path, PathBuf};

use super::unit::{SyntaxError, Unit};
use super::words::{self, WordError};

/// A description, read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it was.
    pub path: PathBuf,
    /// Its file, and those of its `.d` folder merged into it.
    pub unit: Unit,
}

/// A unit that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// `web.service`.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Symbolic links to it, as paths below the folder of units: `multi-user.target.wants/web.service`.
    pub links: Vec<PathBuf>,
}

/// What a description cannot become a unit for.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Its syntax.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Its words.
    #[error("{key}: {error}")]
    Words {
        /// Of which key.
        key: String,
        /// Why.
        error: WordError,
    },
    /// A key that nobody knows: a typing error would otherwise be a container without what was asked.
    #[error("[{section}] has no key `{key}`{hint}")]
    Key {
        /// The section.
        section: &'static str,
        /// The key.
        key: String,
        /// What to do.
        hint: String,
    },
    /// A key that is missing.
    #[error("[{0}] needs `{1}`")]
    Missing(&'static str, &'static str),
    /// A description that it names is not there.
    #[error("{key}={value}: there is no {name}")]
    Absent {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// The file.
        name: String,
    },
    /// A kind of file that is not made into a unit.
    #[error("{0} files are not supported")]
    Kind(String),
    /// A value that cannot be.
    #[error("{key}={value}: {why}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// Why.
        why: String,
    },
}

/// For whom, and with which program.
#[derive(Debug, Clone)]
pub struct Grounds {
    /// The binary that the units start.
    pub binary: PathBuf,
    /// Whether for the service manager of a user.
    pub user: bool,
}

/// All descriptions that were found together, so that they may name each other.
#[derive(Debug, Clone, Default)]
pub struct Descriptions {
    sources: Vec<Source>,
}

impl Descriptions {
    /// Adds one; one of the same name that was added before counts.
    pub fn add(&mut self, source: Source) {
        if !self.sources.iter().any(|known| known.path.file_name() == source.path.file_name()) {
            self.sources.push(source);
        }
    }

    /// The unit of each description, or why there is none, in the order in which they were added.
    pub fn generate(&self, grounds: &Grounds) -> Vec<(&Path, Result<Generated, Problem>)> {
        self.sources.iter().map(|source| (source.path.as_path(), self.one(source, grounds))).collect()
    }

    fn one(&self, source: &Source, grounds: &Grounds) -> Result<Generated, Problem> {
        let making = Making { all: self, grounds, source };
        let unit = match extension(&source.path) {
            "container" => container::unit(&making)?,
            "volume" => volume::unit(&making)?,
            "network" => network::unit(&making)?,
            "image" => image::unit(&making)?,
            "build" => build::unit(&making)?,
            other => return Err(Problem::Kind(format!(".{other}"))),
        };
        let name = format!("{}.service", making.service()?);
        Ok(Generated { links: links(&unit, &name), text: unit.to_string(), name })
    }

    fn find(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path.file_name().is_some_and(|known| known == name))
    }
}

/// One description on its way to a unit.
struct Making<'m> {
    all: &'m Descriptions,
    grounds: &'m Grounds,
    source: &'m Source,
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// The section of a kind of description, and what is put behind the name of its service.
fn section_of(extension: &str) -> Option<(&'static str, &'static str)> {
    Some(match extension {
        "container" => ("Container", ""),
        "volume" => ("Volume", "-volume"),
        "network" => ("Network", "-network"),
        "image" => ("Image", "-image"),
        "build" => ("Build", "-build"),
        _ => return None,
    })
}

/// The name of a description's service, without `.service`.
fn service_of(source: &Source) -> Result<String, Problem> {
    let kind = extension(&source.path);
    let (section, suffix) = section_of(kind).ok_or_else(|| Problem::Kind(format!(".{kind}")))?;
    let named = source.unit.section(section).and_then(|section| section.last("ServiceName"));
    if let Some(name) = named {
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            let why = "no name of a unit".to_owned();
            return Err(Problem::Value { key: "ServiceName".to_owned(), value: name.to_owned(), why });
        }
        return Ok(name.to_owned());
    }
    Ok(match stem(&source.path).strip_suffix('@') {
        Some(template) => format!("{template}{suffix}@"),
        None => format!("{}{suffix}", stem(&source.path)),
    })
}

impl Making<'_> {
    fn service(&self) -> Result<String, Problem> {
        service_of(self.source)
    }

    fn words(&self, key: &str, value: &str) -> Result<Vec<String>, Problem> {
        words::split(value).map_err(|error| Problem::Words { key: key.to_owned(), error })
    }

    /// The file as it is, its own section under a name that systemd leaves alone; with what every unit says.
    fn begin(&self, section: &'static str) -> Unit {
        let mut unit = self.source.unit.clone();
        for known in &mut unit.sections {
            if known.name == section {
                known.name = format!("X-{section}");
            }
        }
        let path = self.source.path.display().to_string();
        let of_unit = unit.section_mut("Unit");
        of_unit.preset("SourcePath", path);
        if self.source.unit.section("Quadlet").and_then(|quadlet| quadlet.last("DefaultDependencies")) != Some("false")
        {
            // The user's manager has no such target: there this waits for nothing.
            of_unit.add("Wants", "network-online.target");
            of_unit.add("After", "network-online.target");
        }
        unit
    }

    /// A unit that runs one command once.
    fn once(&self, unit: &mut Unit, command: &[String]) {
        let line = words::join(command.iter().map(String::as_str));
        let service = unit.section_mut("Service");
        service.preset("Type", "oneshot");
        service.preset("RemainAfterExit", "yes");
        service.preset("SyslogIdentifier", "%N");
        service.add("ExecStart", line);
    }

    /// The command's beginning: the binary and its verbs.
    fn command(&self, verbs: &[&str]) -> Vec<String> {
        let binary = self.grounds.binary.display().to_string();
        std::iter::once(binary).chain(verbs.iter().map(|verb| (*verb).to_owned())).collect()
    }

    /// A description that a value names: what its thing is called, and its service, which the unit then requires.
    fn named(&self, unit: &mut Unit, key: &'static str, name: &str) -> Result<String, Problem> {
        let absent = || Problem::Absent { key, value: name.to_owned(), name: name.to_owned() };
        let source = self.all.find(name).ok_or_else(absent)?;
        let service = format!("{}.service", service_of(source)?);
        let of_unit = unit.section_mut("Unit");
        of_unit.add("Requires", &service);
        of_unit.add("After", &service);
        Ok(match extension(name.as_ref()) {
            "volume" => volume::name(source),
            "network" => network::name(source),
            "image" => image::name(source)?,
            "build" => build::name(source)?,
            _ => container::name(source),
        })
    }
}

/// What `systemctl enable` would make of `[Install]`, which it cannot for a unit that is generated.
fn links(unit: &Unit, name: &str) -> Vec<PathBuf> {
    let Some(install) = unit.section("Install") else { return Vec::new() };
    let (template, target) = match (name.split_once('@'), install.last("DefaultInstance")) {
        (Some((before, ".service")), Some(instance)) => (true, format!("{before}@{instance}.service")),
        (Some((_, ".service")), None) => (true, String::new()),
        _ => (false, name.to_owned()),
    };
    let mut links = Vec::new();
    for alias in install.all("Alias").iter().flat_map(|value| value.split_whitespace()) {
        links.push(PathBuf::from(alias));
    }
    // A template without an instance is not wanted by anybody.
    if !(template && target.is_empty()) {
        for (key, folder) in [("WantedBy", "wants"), ("RequiredBy", "requires"), ("UpheldBy", "upholds")] {
            for by in install.all(key).iter().flat_map(|value| value.split_whitespace()) {
                links.push(PathBuf::from(format!("{by}.{folder}")).join(&target));
            }
        }
    }
    // What would leave the folder of units is no name of a unit.
    links.retain(|link| link.components().all(|part| matches!(part, std::path::Component::Normal(_))));
    links
}

#[cfg(test)]
mod tests;
