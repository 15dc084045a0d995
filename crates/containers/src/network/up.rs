//! A container's network, made and taken down.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use runtime::container::{self, Mount, Source, Spec};
use runtime::ladder::Rung;
use rustix::fs::{Mode, OFlags};

use super::carrier::{self, Carried, Wanted};
use super::error::NetworkError;
use super::files::{self, Servers};
use super::keeper;
use super::namespace::{self, Made};
use super::ports::{self, Published};
use super::sidecar::{self, Sidecar};
use super::{claim, forward, pasta};
use crate::config::{Carrier, NetworkMode};
use crate::layout::Folder;
use crate::state::{Network as State, Place, ProcessId};
use crate::{Config, Container};

/// What a network is made from.
pub struct Asked<'a> {
    /// What was asked.
    pub config: &'a Config,
    /// The container's folder.
    pub folder: &'a Folder,
    /// The store.
    pub store: &'a Path,
    /// Where this process stands.
    pub rung: &'a Rung,
    /// A container by its id.
    pub find: &'a dyn Fn(&str) -> Option<Container>,
}

/// A network for a container that is about to be started. Dropped, its sidecars end.
#[derive(Debug, Default)]
pub struct Up {
    /// `None` where the runtime does what there is to do.
    namespace: Option<OwnedFd>,
    /// Whether it is the host's where another was asked: in a chroot there is no other.
    surroundings: bool,
    /// Files of ours that are mounted inside.
    files: Vec<(&'static str, OwnedFd)>,
    sidecars: Vec<Sidecar>,
    state: State,
    coming: Option<Coming>,
}

/// What is not there yet when the container's first process begins to prepare itself.
#[derive(Debug)]
struct Coming {
    made: Made,
    carrier: carrier::Starting,
    /// What is forwarded once the container's addresses are known.
    claims: Vec<claim::Claim>,
    /// Where the host's services are reached, where that is no address of the container's network.
    gateway: Option<IpAddr>,
}

/// Begins to make a container's network: in a process of one thread, in the user namespace in which the container will be started, and in the
/// network that leads out. The rest is to [`Up::finish`], while the container prepares itself.
///
/// # Errors
/// What is not to be had, in words for the user.
pub fn up(asked: &Asked<'_>) -> Result<Up, NetworkError> {
    let mut up = match &asked.config.network.mode {
        NetworkMode::Private(Carrier::Any) if *asked.rung == Rung::Chroot => return Ok(surroundings(asked)),
        NetworkMode::Host | NetworkMode::None => return Ok(Up::default().without_ports(asked)),
        NetworkMode::Container(id) => return Ok(shared(asked, id)?.without_ports(asked)),
        NetworkMode::Private(wanted) => private(asked, *wanted)?,
        NetworkMode::Networks(_) => of_users(asked)?,
    };
    up.state.ports.sort_unstable();
    Ok(up)
}

/// Where no namespace can be made.
fn surroundings(asked: &Asked<'_>) -> Up {
    let mut up = Up { surroundings: true, ..Up::default() };
    let config = &asked.config.network;
    if !config.ports.is_empty() || config.publish_all {
        up.state
            .notes
            .push("no port is published: where namespaces are refused, the network is that around us".to_owned());
    }
    up
}

/// The network of another container that runs, and its files.
fn shared(asked: &Asked<'_>, id: &str) -> Result<Up, NetworkError> {
    let stopped = || NetworkError::NotRunning(id.to_owned());
    let lender = (asked.find)(id).ok_or_else(stopped)?;
    let init = lender.state.init.ok_or_else(stopped)?;
    let path = format!("/proc/{}/ns/net", init.pid);
    let opened = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let namespace = opened.map_err(|errno| sys::Error::new("open", path, errno))?;
    // Opened first, checked then: the number could have been another's before, but not from now on.
    if sys::process::start_time(init.pid).ok() != Some(init.start) {
        return Err(stopped());
    }
    let mut up = Up { namespace: Some(namespace), ..Up::default() };
    if let Some(folder) = asked.folder.path().parent().map(|all| all.join(lender.config.id.as_str())) {
        for (target, name) in [("/etc/hosts", "hosts"), ("/etc/resolv.conf", "resolv.conf")] {
            up.files.extend(open(&folder.join(name)).ok().map(|file| (target, file)));
        }
    }
    Ok(up)
}

/// A namespace, a way out, and ports that lead inside.
fn private(asked: &Asked<'_>, wanted: Carrier) -> Result<Up, NetworkError> {
    let config = &asked.config.network;
    let mut claims = claim::claim(&ports::wanted(config)?)?;
    let published: Vec<Published> = claims.iter().map(|claim| claim.published).collect();
    let made = namespace::make(namespace::owner())?;
    let mut up = Up { namespace: Some(made.to_fd()?), ..Up::default() };
    up.state.ports.clone_from(&published);
    let host_gateway = config.hosts.iter().any(|host| host.address.is_none());
    let carrier = match carrier::choose(wanted) {
        Ok(carrier) => carrier,
        Err(why) => {
            up.state.notes.push(format!("the container has no way out, only loopback: {why}"));
            up.forward(claims, &made, &[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])?;
            up.write(asked, files::resolv_conf(asked.config, Servers::Instead(None)), None)?;
            return Ok(up);
        }
    };
    // Root's carrier is nobody: what only root may have is passed on by a forwarder, which got it from us.
    let first = claim::first_free_port();
    let carries = |published: &Published| {
        carrier::carries(carrier, published.container.protocol) && published.host.port() >= first
    };
    let given: Vec<Published> = published.iter().copied().filter(carries).collect();
    // Let go of just before the program takes them: nobody else is likely to be as quick.
    claims.retain(|claim| !carries(&claim.published));
    let name_server = carrier::name_server(carrier);
    let resolv_conf = files::resolv_conf(asked.config, Servers::Instead(Some(name_server)));
    let names = resolv_conf.as_deref().is_some_and(|text| files::asks(text, name_server));
    let wanted = Wanted { interface: None, names, ports: &given, host_gateway, mac: config.mac };
    let starting = carrier::start(&made, carrier, &wanted)?;
    let gateway = if carrier == Carrier::Pasta { carrier::default_gateway() } else { None };
    // Its own address is not known yet: the file is there to be mounted, and is written again.
    up.write(asked, resolv_conf, gateway)?;
    up.coming = Some(Coming { made, carrier: starting, claims, gateway });
    Ok(up)
}

/// A namespace in networks of the user, which their keeper connects.
fn of_users(asked: &Asked<'_>) -> Result<Up, NetworkError> {
    let claims = claim::claim(&ports::wanted(&asked.config.network)?)?;
    let made = namespace::make(namespace::Owner::Caller)?;
    let pid = std::process::id().cast_signed();
    let supervisor = ProcessId { pid, start: sys::process::start_time(pid)? };
    let joined = keeper::join(asked.store, asked.rung, asked.config, supervisor, made.fd())
        .map_err(|error| NetworkError::User(error.to_string()))?;
    let mut up = Up { namespace: Some(made.to_fd()?), ..Up::default() };
    up.state.driver = joined.driver;
    up.state.notes = joined.notes;
    up.state.ports = claims.iter().map(|claim| claim.published).collect();
    up.state.places = joined.endpoints.iter().map(place).collect();
    let addresses: Vec<IpAddr> = up.state.places.iter().flat_map(|place| &place.addresses).map(|(ip, _)| *ip).collect();
    let gateway = up.state.places.iter().flat_map(|place| &place.gateways).next().copied();
    up.forward(claims, &made, &addresses)?;
    up.write(asked, files::resolv_conf(asked.config, Servers::Given(&joined.name_servers)), gateway)?;
    Ok(up)
}

/// What the keeper gave.
fn place(leased: &super::lease::Leased) -> Place {
    Place {
        network: leased.network.clone(),
        interface: leased.interface.clone(),
        addresses: leased.addresses.iter().map(|cidr| (cidr.address, cidr.prefix)).collect(),
        gateways: leased.gateways.clone(),
        mac: Some(leased.mac),
        aliases: leased.aliases.clone(),
    }
}

impl Up {
    /// Notes what can't be published.
    fn without_ports(mut self, asked: &Asked<'_>) -> Self {
        let config = &asked.config.network;
        if !config.ports.is_empty() || config.publish_all {
            let whose = match &config.mode {
                NetworkMode::Host => "the container's ports are the host's already",
                NetworkMode::None => "the container has no network",
                _ => "ports are published by the container whose network it is",
            };
            self.state.notes.push(format!("no port is published: {whose}"));
        }
        self
    }

    /// Leads ports inside, where there are some that nobody else does.
    fn forward(&mut self, claims: Vec<claim::Claim>, made: &Made, targets: &[IpAddr]) -> Result<(), NetworkError> {
        if !claims.is_empty() {
            self.sidecars.push(forward::start(claims, made.fd(), targets)?);
        }
        Ok(())
    }

    /// Writes the container's files, and opens them.
    fn write(
        &mut self,
        asked: &Asked<'_>,
        resolv_conf: Option<Vec<u8>>,
        gateway: Option<IpAddr>,
    ) -> Result<(), NetworkError> {
        if let Some(path) = self.write_hosts(asked, gateway)? {
            self.files.push(("/etc/hosts", open(&path)?));
        }
        if let Some(content) = resolv_conf {
            let path = asked.folder.path().join("resolv.conf");
            write(&path, &content)?;
            self.files.push(("/etc/resolv.conf", open(&path)?));
        }
        Ok(())
    }

    /// Writes who is called what, if anybody asked for that. Gives where.
    fn write_hosts(&self, asked: &Asked<'_>, gateway: Option<IpAddr>) -> Result<Option<PathBuf>, NetworkError> {
        if asked.config.network.no_hosts {
            return Ok(None);
        }
        let path = asked.folder.path().join("hosts");
        write(&path, &files::hosts(asked.config, &self.state.places, gateway))?;
        Ok(Some(path))
    }

    /// Waits for what is not there yet: before the container's program begins.
    ///
    /// # Errors
    /// What the program that carries the traffic said.
    pub fn finish(&mut self, asked: &Asked<'_>) -> Result<(), NetworkError> {
        let Some(Coming { made, carrier, claims, gateway }) = self.coming.take() else { return Ok(()) };
        let Carried { driver, sidecar, place } = carrier.wait(&made, sidecar::PATIENCE)?;
        self.state.driver = Some(driver.to_owned());
        self.sidecars.push(sidecar);
        let targets: Vec<IpAddr> = place.addresses.iter().map(|(address, _)| *address).collect();
        let gateway = gateway.or_else(|| place.gateways.first().copied().filter(|_| driver != pasta::PROGRAM));
        self.state.places.push(place);
        self.forward(claims, &made, &targets)?;
        self.write_hosts(asked, gateway).map(drop)
    }

    /// Has the runtime connect the container: to be called before it is started, with the [`container::Stdio::files`] that it gets.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn connect(&self, spec: &mut Spec, descriptors: &mut Vec<OwnedFd>) -> std::io::Result<()> {
        if self.surroundings {
            spec.network = container::Network::Host;
        }
        let Some(namespace) = &self.namespace else { return Ok(()) };
        spec.network = container::Network::Joined { index: descriptors.len() };
        descriptors.push(namespace.as_fd().try_clone_to_owned()?);
        for (at, (target, file)) in self.files.iter().enumerate() {
            match *target {
                "/etc/hosts" => spec.hosts = None,
                _ => spec.resolv_conf = None,
            }
            let source = Source::File { index: descriptors.len() };
            descriptors.push(file.try_clone()?);
            // First of all: who mounts another one there wants that one.
            spec.mounts.insert(at, Mount { target: (*target).to_owned(), source, readonly: false });
        }
        Ok(())
    }

    /// What of it could not be had.
    pub fn notes(&self) -> &[String] {
        &self.state.notes
    }

    /// What came of it, for the container's state, and its sidecars: whoever has them ends them ([`super::sidecar::end`]).
    pub fn keep(mut self) -> (State, Vec<ProcessId>) {
        let sidecars = std::mem::take(&mut self.sidecars).into_iter().map(Sidecar::keep).collect();
        (std::mem::take(&mut self.state), sidecars)
    }
}

/// In place: who has it mounted sees what is new.
fn write(path: &Path, content: &[u8]) -> Result<(), NetworkError> {
    std::fs::write(path, content).map_err(|error| NetworkError::File { path: path.to_owned(), error })
}

fn open(path: &Path) -> Result<OwnedFd, NetworkError> {
    let opened = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|errno| NetworkError::File { path: path.to_owned(), error: errno.into() })
}
