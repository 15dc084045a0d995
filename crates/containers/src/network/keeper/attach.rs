//! Containers that come and go.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::KeeperError;
use super::place;
use super::protocol::{Join, Joined};
use super::serve::Serving;
use crate::ContainerId;
use crate::config::Endpoint;
use crate::event::{Event, Journal};
use crate::layout::Layout;
use crate::network::bridge;
use crate::network::definition::{Definition, NetworkError};
use crate::network::lease::{Attachment, Leased, Leases};

/// What a way out costs, so that the first network's is taken and another one's when that is gone.
const METRIC: u32 = 100;
/// The most networks that one container is in: its interfaces are found by their numbers.
const ENDPOINTS: usize = 64;
/// Between two attempts to connect again what another keeper left: a container may be about to start.
const RETRY: Duration = Duration::from_secs(1);
/// How long that is tried: a container that starts has its first process by then.
const GIVES_UP: Duration = Duration::from_secs(60);

impl Serving {
    /// Connects a container.
    pub(super) fn join(&mut self, join: &Join, namespace: BorrowedFd<'_>) -> Result<Joined, KeeperError> {
        if join.anew {
            self.leave(&join.container, None)?;
        }
        let pidfd =
            join.supervisor.open().ok_or_else(|| KeeperError::Refused("its supervisor has ended".to_owned()))?;
        let (had, lost) =
            self.leases.of(&join.container).map_or((0, 0), |known| (known.endpoints.len(), known.lost.len()));
        if had + lost + join.endpoints.len() > ENDPOINTS {
            return Err(KeeperError::Refused(format!("a container is in {ENDPOINTS} networks at most")));
        }
        let is_new = had + lost == 0;
        if is_new {
            self.leases.attachments.retain(|attachment| attachment.container != join.container);
            self.leases.attachments.push(Attachment {
                container: join.container.clone(),
                name: join.name.clone(),
                hostname: join.hostname.clone(),
                supervisor: join.supervisor,
                servers: join.servers.clone(),
                endpoints: Vec::new(),
                lost: Vec::new(),
            });
            self.watched.push((join.supervisor, pidfd));
        }
        let mut notes = Vec::new();
        let connected =
            join.endpoints.iter().try_for_each(|wanted| self.connect(&join.container, wanted, namespace, &mut notes));
        if let Err(error) = connected {
            // What was connected before this stays; what came with it goes.
            let new: Vec<ContainerId> = self.leases.of(&join.container).map_or_else(Vec::new, |attachment| {
                attachment.endpoints.iter().skip(had).map(|leased| leased.id.clone()).collect()
            });
            for network in new {
                drop(self.leave(&join.container, Some(&network)));
            }
            if is_new {
                drop(self.leave(&join.container, None));
            }
            return Err(error);
        }
        self.keep()?;
        Ok(self.joined(&join.container, notes))
    }

    fn joined(&self, container: &ContainerId, notes: Vec<String>) -> Joined {
        let endpoints = self.leases.of(container).map(|attachment| attachment.endpoints.clone()).unwrap_or_default();
        // Those that answer for the world first: a C library asks three at most.
        let (inner, outer): (Vec<&Leased>, Vec<&Leased>) = endpoints.iter().partition(|leased| leased.internal);
        let mut name_servers: Vec<IpAddr> =
            outer.into_iter().chain(inner).flat_map(|leased| leased.gateways.iter().copied()).collect();
        name_servers.retain(|gateway| self.dns.listens(*gateway));
        Joined { endpoints, name_servers, driver: self.leases.driver.clone(), notes }
    }

    /// One network more.
    fn connect(
        &mut self,
        container: &ContainerId,
        wanted: &Endpoint,
        namespace: BorrowedFd<'_>,
        notes: &mut Vec<String>,
    ) -> Result<(), KeeperError> {
        let network = self.networks.find(&wanted.network)?;
        let Some(attachment) = self.leases.of(container) else { return Err(KeeperError::Child) };
        if attachment.endpoints.iter().chain(&attachment.lost).any(|leased| leased.id == network.id) {
            let (name, network) = (&attachment.name, &network.name);
            return Err(NetworkError::Invalid(format!("container {name} is in network {network} already")).into());
        }
        let mut inside = place::interfaces(namespace)?;
        let taken = inside.links()?;
        let taken = taken.iter().map(|link| &link.name).chain(attachment.lost.iter().map(|leased| &leased.interface));
        let taken: Vec<&String> = taken.collect();
        let number = (0..).find(|at| !taken.contains(&&format!("eth{at}"))).unwrap_or_default();
        let (interface, port) = (format!("eth{number}"), format!("ve{}-{number}", &container.as_str()[..8]));
        let leased = self.leases.lease(&network, wanted, interface, port)?;
        self.plug(container, &network, leased, namespace, &mut inside, notes)
    }

    fn plug(
        &mut self,
        container: &ContainerId,
        network: &Definition,
        leased: Leased,
        namespace: BorrowedFd<'_>,
        inside: &mut sys::netlink::Socket,
        notes: &mut Vec<String>,
    ) -> Result<(), KeeperError> {
        self.bring_up(network, notes)?;
        let position = self.leases.of(container).map_or(0, |attachment| attachment.endpoints.len());
        let metric = METRIC + u32::try_from(position).unwrap_or_default();
        if let Err(error) = bridge::plug_in(&mut self.place.route, inside, namespace, network, &leased, metric) {
            self.take_down_unused();
            return Err(error.into());
        }
        let attachment = self.leases.attachments.iter_mut().find(|attachment| attachment.container == *container);
        attachment.into_iter().for_each(|attachment| attachment.endpoints.push(leased.clone()));
        Ok(())
    }

    /// A network's bridge, its name server, and a way out.
    fn bring_up(&mut self, network: &Definition, notes: &mut Vec<String>) -> Result<(), KeeperError> {
        let mut forwards = Ok(());
        if self.leases.within(&network.id).next().is_none() {
            let made = bridge::set_up(&mut self.place.route, self.place.rules.as_mut(), network)?;
            self.programs |= made.by_program;
            notes.extend(made.note);
            forwards = self.place.forward(network);
        }
        for subnet in &network.subnets {
            if !network.dns || self.dns.listens(subnet.gateway) {
                continue;
            }
            let listens = self.place.name_server(subnet.gateway, &network.bridge()).and_then(|(datagrams, streams)| {
                let listen = self.dns.listen(subnet.gateway, datagrams, streams);
                listen.map_err(|error| sys::Error::from_io("listen", "", &error).into())
            });
            if let Err(error) = listens {
                notes.push(format!("network {}: names do not resolve on {}: {error}", network.name, subnet.gateway));
            }
        }
        let way_out = if network.internal { Ok(()) } else { self.way_out() };
        if let Err(why) = forwards.and(way_out) {
            notes.push(format!("network {} has no way out: {why}", network.name));
        }
        Ok(())
    }

    /// Disconnects a container, from all networks or one.
    pub(super) fn leave(&mut self, container: &ContainerId, network: Option<&ContainerId>) -> Result<(), KeeperError> {
        let Some(attachment) = self.leases.attachments.iter_mut().find(|one| one.container == *container) else {
            return Ok(());
        };
        let (gone, left): (Vec<Leased>, Vec<Leased>) =
            attachment.endpoints.drain(..).partition(|leased| network.is_none_or(|network| leased.id == *network));
        attachment.endpoints = left;
        attachment.lost.retain(|leased| network.is_some_and(|network| leased.id != *network));
        let (supervisor, empty) =
            (attachment.supervisor, attachment.endpoints.is_empty() && attachment.lost.is_empty());
        // One that is refused is no reason to leave the others, or to think of a container that is gone as here; who comes by its name
        // next removes what is left.
        let refused =
            gone.iter().filter_map(|leased| self.place.route.remove_link(&leased.port).err()).collect::<Vec<_>>();
        if empty {
            self.leases.attachments.retain(|attachment| attachment.container != *container);
            self.watched.retain(|(watched, _)| *watched != supervisor);
        }
        self.take_down_unused();
        self.keep()?;
        refused.into_iter().next().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Removes bridges that nobody is connected to.
    pub(super) fn take_down_unused(&mut self) {
        let Ok(links) = self.place.route.links() else { return };
        // One that was removed by its user meanwhile is in no list any more, but here.
        let networks = self.networks.list().unwrap_or_default();
        for network in networks.iter().filter(|network| self.leases.within(&network.id).next().is_none()) {
            let name = network.bridge();
            if links.iter().any(|link| link.name == name) {
                let rules = self.place.rules.as_mut();
                // Where it cannot be removed now, the next one to come and go tries again.
                drop(bridge::tear_down(&mut self.place.route, rules, &name, self.programs));
            }
            network.subnets.iter().for_each(|subnet| self.dns.close(subnet.gateway));
        }
    }

    /// Takes over who is left of a keeper that was killed.
    pub(super) fn adopt(&mut self, mut before: Leases) {
        let old = std::mem::take(&mut before.attachments);
        self.leases = before;
        for mut attachment in old {
            let Some(pidfd) = attachment.supervisor.open() else { continue };
            self.watched.push((attachment.supervisor, pidfd));
            attachment.lost.splice(..0, std::mem::take(&mut attachment.endpoints));
            self.leases.attachments.push(attachment);
        }
        self.adopted = Instant::now();
        self.connect_lost();
        self.take_down_unused();
        drop(self.keep());
    }

    /// Tries again, when that is due, what could not be connected as it was taken over.
    pub(super) fn retry(&mut self, now: Instant) {
        if self.retry.take_if(|due| *due <= now).is_some() {
            self.connect_lost();
            drop(self.keep());
        }
    }

    /// Connects what is lost, as far as that goes. One that cannot be connected is not to keep others from it.
    fn connect_lost(&mut self) {
        let gives_up = self.adopted.elapsed() >= GIVES_UP;
        for at in 0..self.leases.attachments.len() {
            let container = self.leases.attachments[at].container.clone();
            for leased in std::mem::take(&mut self.leases.attachments[at].lost) {
                match self.connect_again(&container, leased.clone()) {
                    Ok(()) => {}
                    Err(error) if gives_up => self.tell_lost(&self.leases.attachments[at], &leased, &error),
                    Err(_) => self.leases.attachments[at].lost.push(leased),
                }
            }
        }
        let left = self.leases.attachments.iter().any(|attachment| !attachment.lost.is_empty());
        self.retry = if left { Instant::now().checked_add(RETRY) } else { None };
    }

    fn tell_lost(&self, attachment: &Attachment, leased: &Leased, why: &KeeperError) {
        let event =
            Event::now("container", "network_lost", attachment.container.as_str()).with("name", &attachment.name);
        let event = event.with("network", &leased.network).with("error", why);
        Journal::new(&Layout::new(&store::Layout::new(&self.store))).record(&event);
    }

    fn connect_again(&mut self, container: &ContainerId, leased: Leased) -> Result<(), KeeperError> {
        let network = self.networks.find(leased.id.as_str())?;
        let namespace = self.namespace_of(container)?;
        let mut inside = place::interfaces(namespace.as_fd())?;
        self.plug(container, &network, leased, namespace.as_fd(), &mut inside, &mut Vec::new())
    }

    /// The network namespace of a container, by its first process.
    fn namespace_of(&self, container: &ContainerId) -> Result<std::fs::File, KeeperError> {
        let path = Layout::new(&store::Layout::new(&self.store)).container(container).state();
        let bytes = std::fs::read(&path).map_err(|error| KeeperError::Io("read", path, error))?;
        let state: crate::State = serde_json::from_slice(&bytes)?;
        let init = state.init.filter(|init| init.lives()).ok_or(KeeperError::Child)?;
        let path = std::path::PathBuf::from(format!("/proc/{}/ns/net", init.pid));
        std::fs::File::open(&path).map_err(|error| KeeperError::Io("open", path, error))
    }

    /// Writes down who is where.
    pub(super) fn keep(&mut self) -> Result<(), KeeperError> {
        self.leases.carriers = self.carriers.iter().map(|(process, _)| *process).collect();
        let (path, partial) = (self.files.leases(), self.files.folder.join(".leases-new"));
        let write = || {
            std::fs::write(&partial, serde_json::to_vec(&self.leases)?).and_then(|()| std::fs::rename(&partial, &path))
        };
        write().map_err(|error| KeeperError::Io("write", path.clone(), error))
    }
}
