//! `--filter`, as docker has it: of one kind any may hold, of different kinds all must; labels all must.

use containers::network::ports::ContainerPort;
use containers::time::Moment;
use containers::{Container, Containers, Status};
use oci::Digest;
use store::Store;

use super::{pattern, row, unknown_filter};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::image;

/// What there is.
pub(super) const KNOWN: &str = "there are id=, name=, label=KEY[=VALUE], status=, health=, ancestor=IMAGE, volume=, network=, exited=CODE, since=CONTAINER, before=CONTAINER, publish=PORT[/PROTOCOL], expose=PORT[/PROTOCOL]";

const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// All filters of a command line.
#[derive(Debug, Default)]
pub(super) struct Filters {
    all: Vec<Filter>,
}

#[derive(Debug)]
enum Filter {
    Id(String),
    Name(String),
    Label(String, Option<String>),
    Status(String),
    Health(String),
    Ancestor(Box<Ancestor>),
    Volume(String),
    Network(String),
    Exited(i32),
    Since(Moment),
    Before(Moment),
    Publish(Ports),
    Expose(Ports),
}

/// An image, and all that were built on it.
#[derive(Debug)]
struct Ancestor {
    name: String,
    image: Option<(Digest, Vec<oci::DiffId>)>,
    store: Option<Store>,
}

/// A port or a range of them.
#[derive(Debug)]
struct Ports {
    first: u16,
    last: u16,
    protocol: String,
}

impl Filters {
    pub(super) fn parse(written: &[String], containers: &Containers, context: &Context) -> Result<Self> {
        let all = written.iter().map(|text| Filter::parse(text, containers, context)).collect::<Result<_>>()?;
        Ok(Self { all })
    }

    /// Whether states are asked for: then those that do not run are meant, too.
    pub(super) fn name_states(&self) -> bool {
        self.all.iter().any(|filter| matches!(filter, Filter::Status(_) | Filter::Exited(_)))
    }

    pub(super) fn accept(&self, container: &Container) -> bool {
        self.all.iter().all(|filter| match filter {
            Filter::Label(..) => filter.accepts(container),
            other => self.all.iter().filter(|one| one.kind() == other.kind()).any(|one| one.accepts(container)),
        })
    }
}

impl Filter {
    fn parse(text: &str, containers: &Containers, context: &Context) -> Result<Self> {
        let bad = |why: String| Error::usage(format!("--filter {text}: {why}"));
        let Some((kind, value)) = text.split_once('=') else { return Err(unknown_filter(text)) };
        let made = |meant: &str| Ok::<_, Error>(containers.find(meant)?.config.created);
        let one_of = |known: &[&str]| {
            if known.contains(&value) {
                Ok(value.to_owned())
            } else {
                Err(bad(format!("expected {}", known.join(", "))))
            }
        };
        Ok(match kind {
            "id" => Self::Id(value.to_owned()),
            "name" => Self::Name(value.to_owned()),
            "label" => match value.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(value.to_owned(), None),
            },
            "status" => Self::Status(one_of(&STATES)?),
            "health" => Self::Health(one_of(&HEALTH)?),
            "ancestor" => Self::Ancestor(Box::new(Ancestor::find(value, context)?)),
            "volume" => Self::Volume(value.to_owned()),
            "network" => Self::Network(value.to_owned()),
            "exited" => Self::Exited(value.parse().map_err(|_| bad(format!("{value:?} is not an exit code")))?),
            "since" | "after" => Self::Since(made(value)?),
            "before" => Self::Before(made(value)?),
            "publish" => {
                Self::Publish(Ports::parse(value).ok_or_else(|| bad("expected PORT[-PORT][/PROTOCOL]".to_owned()))?)
            }
            "expose" => {
                Self::Expose(Ports::parse(value).ok_or_else(|| bad("expected PORT[-PORT][/PROTOCOL]".to_owned()))?)
            }
            _ => return Err(unknown_filter(text)),
        })
    }

    fn kind(&self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(self)
    }

    fn accepts(&self, container: &Container) -> bool {
        let (config, state) = (&container.config, &container.state);
        match self {
            Self::Id(id) => config.id.as_str().starts_with(id.as_str()) || pattern::matches(id, config.id.as_str()),
            Self::Name(name) => {
                pattern::matches(name, &config.name) || pattern::matches(name, &format!("/{}", config.name))
            }
            Self::Label(key, value) => {
                let own = config.life.labels.get(key);
                own.is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
            }
            Self::Status(status) => word(state.status) == status,
            Self::Health(health) => {
                let own = state.health.as_ref().map(|health| health.status.as_str()).filter(|own| !own.is_empty());
                own.unwrap_or("none") == health
            }
            Self::Ancestor(ancestor) => ancestor.accepts(container),
            Self::Volume(volume) => {
                row::mounts(config).iter().any(|mount| mount == volume)
                    || config.data.mounts.iter().any(|mount| mount.target == *volume)
            }
            Self::Network(network) => row::networks(config).iter().any(|own| own == network),
            Self::Exited(code) => state.status == Status::Exited && state.exit_code == Some(*code),
            Self::Since(moment) => config.created > *moment,
            Self::Before(moment) => config.created < *moment,
            Self::Publish(ports) => {
                state.network.ports.iter().any(|port| ports.has(port.container))
                    || config.network.ports.iter().any(|port| ports.has(port.container))
            }
            Self::Expose(ports) => config.network.exposed.iter().any(|port| ports.has(*port)),
        }
    }
}

/// docker's word for a state.
fn word(status: Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Restarting => "restarting",
        Status::Exited => "exited",
    }
}

impl Ancestor {
    fn find(name: &str, context: &Context) -> Result<Self> {
        let store = context.existing_store()?;
        let image = store.as_ref().and_then(|store| {
            let (image, _) = image::find(store, name, None).ok()?;
            Some((image.id(), image.config.value().rootfs.diff_ids.clone()))
        });
        Ok(Self { name: name.to_owned(), image, store })
    }

    fn accepts(&self, container: &Container) -> bool {
        let of = &container.config.image;
        // The image may be gone from the store, or its name given to another.
        if of.name == self.name || of.name.strip_suffix(":latest") == Some(&self.name) {
            return self.image.as_ref().is_none_or(|(id, _)| *id == of.id) || of.id.to_string() == self.name;
        }
        let (Some((id, layers)), Some(store)) = (&self.image, &self.store) else { return false };
        if *id == of.id {
            return true;
        }
        image::read(store, &of.manifest, None)
            .is_ok_and(|image| image.config.value().rootfs.diff_ids.starts_with(layers))
    }
}

impl Ports {
    fn parse(text: &str) -> Option<Self> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then(|| Self { first, last, protocol: protocol.to_owned() })
    }

    fn has(&self, port: ContainerPort) -> bool {
        (self.first..=self.last).contains(&port.port) && port.protocol.as_str() == self.protocol
    }
}

#[cfg(test)]
mod tests {
    use containers::network::ports::Protocol;

    use super::*;

    #[test]
    fn ports_are_ranges_of_a_protocol() {
        let port = |port, protocol| ContainerPort { port, protocol };
        let ports = Ports::parse("80-90").unwrap();
        assert!(ports.has(port(80, Protocol::Tcp)) && ports.has(port(90, Protocol::Tcp)));
        assert!(!ports.has(port(91, Protocol::Tcp)) && !ports.has(port(80, Protocol::Udp)));
        assert!(Ports::parse("53/udp").unwrap().has(port(53, Protocol::Udp)));
        for bad in ["", "x", "9-1", "70000"] {
            assert!(Ports::parse(bad).is_none(), "{bad}");
        }
    }
}
