//! A real keeper, with processes in network namespaces for containers: on the host as root, and in a user namespace.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use runtime::channel::{self, Received};
use runtime::ladder::Entry;
use rustix::thread::LinkNameSpaceType;
use sys::netlink::{Peer, Socket};
use sys::ns::Namespaces;

use super::client::ensure_by;
use super::protocol::{Join, Joined};
use super::*;
use crate::ContainerId;
use crate::config::Endpoint;
use crate::layout::Layout;
use crate::network::definition::{Definition, Networks, Wanted};
use crate::state::{ProcessId, State};
use std::time::Duration;

/// A store with networks, and its keeper.
struct Machine {
    dir: tempfile::TempDir,
    rung: Rung,
}

/// A process that stands for a container and its supervisor.
struct Container {
    id: ContainerId,
    name: String,
    process: ProcessId,
    namespace: OwnedFd,
    child: Option<sys::fork::Forked>,
}

impl Machine {
    fn new(rung: Rung) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), rung }
    }

    fn keeper(&self) -> Keeper {
        ensure_by(self.dir.path(), &self.rung, |store, rung| {
            let (mut ready, said) = std::io::pipe().unwrap();
            let plan = Plan { store: store.to_owned(), rung: *rung, ready: said.as_raw_fd(), here: false };
            let child = sys::fork::child(|| begin::run(&plan)).unwrap();
            child.wait().unwrap();
            drop(said);
            let mut words = String::new();
            std::io::Read::read_to_string(&mut ready, &mut words).unwrap();
            if words == begin::READY { Ok(()) } else { Err(KeeperError::Refused(words)) }
        })
        .unwrap()
    }

    fn network(&self, name: &str, internal: bool) -> Definition {
        let layout = Layout::new(&store::Layout::new(self.dir.path()));
        Networks::new(&layout).create(&Wanted { name: name.into(), internal, ipv6: true, ..Wanted::default() }).unwrap()
    }

    fn container(&self, keeper: &Keeper, name: &str) -> Container {
        let (ours, theirs) = channel::pair().unwrap();
        let entry = Entry::Join(keeper.pidfd().unwrap());
        let child = sys::fork::child(move || {
            entry.enter().unwrap();
            sys::ns::unshare(Namespaces::NEWNET).unwrap();
            sys::netif::loopback_up().unwrap();
            let namespace = std::fs::File::open("/proc/self/ns/net").unwrap();
            channel::send(&theirs, b"x", &[namespace.as_fd()]).unwrap();
            loop {
                std::thread::park();
            }
        })
        .unwrap();
        let Received::Packet(_, mut fds) = channel::receive(&ours, true).unwrap() else { panic!("no namespace") };
        let pid = child.pid().cast_signed();
        let process = ProcessId { pid, start: sys::process::start_time(pid).unwrap() };
        let (id, name) = (ContainerId::random().unwrap(), name.to_owned());
        // By which a keeper finds it that did not connect it.
        let layout = Layout::new(&store::Layout::new(self.dir.path()));
        let folder = layout.container(&id);
        std::fs::create_dir_all(folder.path()).unwrap();
        let state = State { init: Some(process), ..State::default() };
        std::fs::write(folder.state(), serde_json::to_vec(&state).unwrap()).unwrap();
        Container { id, name, process, namespace: fds.remove(0), child: Some(child) }
    }

    fn gone(&self) -> bool {
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if find(self.dir.path()).unwrap().is_none() {
                return true;
            }
            // Each look is a visit: it stays for a moment after it.
            std::thread::sleep(Duration::from_millis(900));
        }
        false
    }
}

impl Container {
    fn join(&self, keeper: &Keeper, networks: &[&str]) -> Result<Joined, KeeperError> {
        let endpoint = |name: &&str| Endpoint {
            network: (*name).to_owned(),
            aliases: vec!["alias".into()],
            ..Endpoint::default()
        };
        let join = Join {
            container: self.id.clone(),
            name: self.name.clone(),
            hostname: None,
            supervisor: self.process,
            servers: Vec::new(),
            endpoints: networks.iter().map(endpoint).collect(),
            anew: false,
        };
        keeper.join(join, self.namespace.as_fd())
    }

    /// Does something in its network namespace; whether that was true.
    fn inside(&self, keeper: &Keeper, work: impl FnOnce() -> bool) -> bool {
        let entry = Entry::Join(keeper.pidfd().unwrap());
        let child = sys::fork::child(|| {
            entry.enter().unwrap();
            rustix::thread::move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .unwrap();
            u8::from(!work())
        });
        child.unwrap().wait().unwrap() == 0
    }

    fn end(&mut self) {
        super::serve::end(self.process);
        if let Some(child) = self.child.take() {
            child.wait().unwrap();
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.end();
    }
}

fn ip(joined: &Joined, at: usize) -> IpAddr {
    joined.endpoints[at].addresses[0].address
}

fn reaches(address: IpAddr, port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::new(address, port), Duration::from_millis(1500)).is_ok()
}

/// The first address of a name, asked of a server.
fn resolve(server: IpAddr, name: &str) -> Option<IpAddr> {
    let mut packet = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.push(u8::try_from(name.len()).unwrap());
    packet.extend_from_slice(name.as_bytes());
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    socket.send_to(&packet, (server, 53)).ok()?;
    let mut answer = [0; 512];
    let (length, _) = socket.recv_from(&mut answer).ok()?;
    let answered = answer[3] & 15 == 0 && answer[7] > 0;
    answered.then(|| IpAddr::from(<[u8; 4]>::try_from(&answer[length - 4..length]).unwrap()))
}

/// A listener in a container: a process that ends with the test.
fn listen(container: &Container, keeper: &Keeper) -> sys::fork::Forked {
    let entry = Entry::Join(keeper.pidfd().unwrap());
    let (mut up, mut said) = std::io::pipe().unwrap();
    let namespace = container.namespace.try_clone().unwrap();
    let child = sys::fork::child(move || {
        entry.enter().unwrap();
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let listener = TcpListener::bind("[::]:7000").unwrap();
        said.write_all(b"x").unwrap();
        drop(said);
        listener.incoming().for_each(drop);
        0
    });
    std::io::Read::read_exact(&mut up, &mut [0]).unwrap();
    child.unwrap()
}

fn kill(child: sys::fork::Forked) {
    let pid = child.pid().cast_signed();
    super::serve::end(ProcessId { pid, start: sys::process::start_time(pid).unwrap() });
    child.wait().unwrap();
}

/// The rungs that can be tried as this user.
fn rungs() -> Vec<Rung> {
    if rustix::process::geteuid().is_root() { vec![Rung::Root, Rung::root_of_its_own()] } else { vec![Rung::SingleId] }
}

#[test]
fn containers_see_each_other_by_name_and_others_not_at_all() {
    for rung in rungs() {
        let machine = Machine::new(rung);
        let (front, back) = (machine.network("front", false), machine.network("back", true));
        let keeper = machine.keeper();
        let (app, db, other) =
            (machine.container(&keeper, "app"), machine.container(&keeper, "db"), machine.container(&keeper, "other"));
        let app_in = app.join(&keeper, &["front", "back"]).unwrap();
        assert!(app_in.notes.is_empty(), "{:?}", app_in.notes);
        let (db_in, other_in) = (db.join(&keeper, &["back"]).unwrap(), other.join(&keeper, &["front"]).unwrap());
        assert_eq!(app_in.endpoints[1].interface, "eth1");
        assert_eq!(db_in.name_servers.len(), 2);
        let server = listen(&db, &keeper);
        let (db_at, gateway) = (ip(&db_in, 0), back.subnets[0].gateway);
        assert!(
            app.inside(&keeper, || resolve(gateway, "db") == Some(db_at) && reaches(db_at, 7000)),
            "{:?}",
            machine.rung
        );
        assert!(app.inside(&keeper, || resolve(gateway, "alias").is_some()));
        let six = db_in.endpoints[0].addresses[1].address;
        assert!(app.inside(&keeper, || reaches(six, 7000)), "IPv6");
        // Another network: neither by name nor by address.
        let front_gateway = front.subnets[0].gateway;
        let hidden = other.inside(&keeper, || resolve(front_gateway, "db").is_none() && !reaches(db_at, 7000));
        assert!(hidden, "{:?}", machine.rung);
        let app_at = ip(&app_in, 0);
        assert!(other.inside(&keeper, || resolve(front_gateway, "app") == Some(app_at)));
        // A second time, an address that is taken, a network that is not there.
        assert!(app.join(&keeper, &["front"]).unwrap_err().to_string().contains("already"));
        assert!(other.join(&keeper, &["gone"]).unwrap_err().to_string().contains("there is no network gone"));
        assert_eq!(ip(&other_in, 0), ip(&other.join(&keeper, &["back"]).unwrap(), 0));
        assert!(other.inside(&keeper, || reaches(db_at, 7000)), "connected while it runs");
        keeper.leave(&other.id, Some(&back.id)).unwrap();
        assert!(other.inside(&keeper, || !reaches(db_at, 7000)), "and disconnected");
        keeper.rename(&db.id, "data").unwrap();
        assert!(app.inside(&keeper, || resolve(gateway, "data") == Some(db_at) && resolve(gateway, "db").is_none()));
        kill(server);
        drop((app, db, other, keeper));
        assert!(machine.gone(), "it ends with the last");
        assert_eq!(leases(machine.dir.path()).unwrap().attachments, []);
    }
}

/// A network beyond the host: a namespace whose only neighbour is the host, and which knows no way to anybody else. Gives a
/// listener's address in it.
fn outside(name: &str, net: u8) -> (SocketAddr, sys::fork::Forked) {
    let (mut up, mut said) = std::io::pipe().unwrap();
    let (ours, theirs) = channel::pair().unwrap();
    let child = sys::fork::child(move || {
        sys::ns::unshare(Namespaces::NEWNET).unwrap();
        let namespace = std::fs::File::open("/proc/self/ns/net").unwrap();
        channel::send(&theirs, b"x", &[namespace.as_fd()]).unwrap();
        let Received::Packet(..) = channel::receive(&theirs, true).unwrap() else { return 1 };
        let mut route = Socket::route().unwrap();
        let link = route.link("wan").unwrap().unwrap();
        route.add_address(link.index, [198, 18, net, 2].into(), 24).unwrap();
        route.up(link.index).unwrap();
        let listener = TcpListener::bind("0.0.0.0:7001").unwrap();
        said.write_all(b"x").unwrap();
        listener.incoming().for_each(drop);
        0
    })
    .unwrap();
    let Received::Packet(_, fds) = channel::receive(&ours, true).unwrap() else { panic!() };
    let mut route = Socket::route().unwrap();
    route.remove_link(name).unwrap();
    route.add_pair(name, &Peer { name: "wan", namespace: fds[0].as_fd(), mac: None }, None).unwrap();
    let link = route.link(name).unwrap().unwrap();
    route.add_address(link.index, [198, 18, net, 1].into(), 24).unwrap();
    route.up(link.index).unwrap();
    channel::send(&ours, b"x", &[]).unwrap();
    std::io::Read::read_exact(&mut up, &mut [0]).unwrap();
    (SocketAddr::from(([198, 18, net, 2], 7001)), child)
}

#[test]
fn packets_get_out_and_come_back() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make a network beyond the host");
        return;
    }
    for (at, rung) in rungs().into_iter().enumerate() {
        let number = u8::try_from(std::process::id() % 100 * 2).unwrap() + u8::try_from(at).unwrap();
        let name = format!("estiba-w{number}");
        let (beyond, world) = outside(&name, number);
        let machine = Machine::new(rung);
        machine.network("front", false);
        machine.network("back", true);
        let keeper = machine.keeper();
        let (app, db) = (machine.container(&keeper, "app"), machine.container(&keeper, "db"));
        let joined = app.join(&keeper, &["front"]).unwrap();
        if machine.rung != Rung::Root && !joined.notes.is_empty() {
            eprintln!("skipped: {:?}", joined.notes);
            kill(world);
            continue;
        }
        db.join(&keeper, &["back"]).unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        let mut out = false;
        while !out && Instant::now() < until {
            out = app.inside(&keeper, || reaches(beyond.ip(), beyond.port()));
        }
        assert!(out, "{:?} {joined:?}", machine.rung);
        assert!(db.inside(&keeper, || !reaches(beyond.ip(), beyond.port())), "internal");
        drop((app, db, keeper));
        assert!(machine.gone());
        kill(world);
        Socket::route().unwrap().remove_link(&name).unwrap();
    }
}

#[test]
fn a_keeper_that_was_killed_is_followed_by_another() {
    for rung in rungs() {
        let machine = Machine::new(rung);
        let front = machine.network("front", false);
        let keeper = machine.keeper();
        let (app, db) = (machine.container(&keeper, "app"), machine.container(&keeper, "db"));
        let (app_in, db_in) = (app.join(&keeper, &["front"]).unwrap(), db.join(&keeper, &["front"]).unwrap());
        let before = keeper.process();
        super::serve::end(before);
        while before.lives() {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(keeper);
        // Who is where is still known; another one connects them again.
        assert_eq!(leases(machine.dir.path()).unwrap().attachments.len(), 2);
        let keeper = machine.keeper();
        assert_ne!(keeper.process(), before);
        let server = listen(&db, &keeper);
        let (db_at, gateway) = (ip(&db_in, 0), front.subnets[0].gateway);
        assert!(
            app.inside(&keeper, || resolve(gateway, "db") == Some(db_at) && reaches(db_at, 7000)),
            "{:?}",
            machine.rung
        );
        let third = machine.container(&keeper, "third");
        let third_in = third.join(&keeper, &["front"]).unwrap();
        assert!(![ip(&app_in, 0), db_at].contains(&ip(&third_in, 0)));
        kill(server);
        drop((app, db, third, keeper));
        assert!(machine.gone());
        if machine.rung == Rung::Root {
            assert!(Socket::route().unwrap().link(&front.bridge()).unwrap().is_none(), "its bridge is gone");
        }
    }
}

#[test]
fn a_container_that_starts_while_another_keeper_takes_over_is_connected_again() {
    for rung in rungs() {
        let machine = Machine::new(rung);
        let front = machine.network("front", true);
        let keeper = machine.keeper();
        let (app, db) = (machine.container(&keeper, "app"), machine.container(&keeper, "db"));
        app.join(&keeper, &["front"]).unwrap();
        let db_at = ip(&db.join(&keeper, &["front"]).unwrap(), 0);
        // As it is between its connection and its first process.
        let path = Layout::new(&store::Layout::new(machine.dir.path())).container(&db.id).state();
        let state = std::fs::read(&path).unwrap();
        std::fs::write(&path, serde_json::to_vec(&State::default()).unwrap()).unwrap();
        let before = keeper.process();
        super::serve::end(before);
        while before.lives() {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(keeper);
        let keeper = machine.keeper();
        let places = || {
            let leases = leases(machine.dir.path()).unwrap();
            leases.of(&db.id).map(|attachment| (attachment.endpoints.len(), attachment.lost.len())).unwrap()
        };
        // Held meanwhile: nobody else gets its address, nor can it be connected twice.
        assert_eq!(places(), (0, 1));
        let third = machine.container(&keeper, "third");
        assert_ne!(ip(&third.join(&keeper, &["front"]).unwrap(), 0), db_at);
        assert!(db.join(&keeper, &["front"]).unwrap_err().to_string().contains("already"));
        std::fs::write(&path, state).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while places() != (1, 0) {
            assert!(Instant::now() < until, "{:?}: {:?}", machine.rung, places());
            std::thread::sleep(Duration::from_millis(20));
        }
        let server = listen(&db, &keeper);
        let gateway = front.subnets[0].gateway;
        assert!(
            app.inside(&keeper, || resolve(gateway, "db") == Some(db_at) && reaches(db_at, 7000)),
            "{:?}",
            machine.rung
        );
        kill(server);
        drop((app, db, third, keeper));
        assert!(machine.gone());
    }
}

#[test]
fn many_look_for_a_keeper_at_once_and_find_one() {
    let machine = Machine::new(rungs().remove(0));
    machine.network("front", false);
    let store = machine.dir.path().to_owned();
    let first = machine.keeper();
    let found: Vec<ProcessId> = std::thread::scope(|scope| {
        let looking: Vec<_> = (0..16).map(|_| scope.spawn(|| find(&store).unwrap().unwrap().process())).collect();
        looking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(found.iter().all(|process| *process == first.process()));
    drop(first);
    assert!(machine.gone());
    assert!(ensure(&store, &Rung::Unprivileged).unwrap_err().to_string().contains("--network host"));
}
