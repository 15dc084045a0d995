//! Starting the container: the first time, and again.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use runtime::bundle::{self, Foreigner};
use runtime::container::{self, Running, Spec, Stdio, WindowSize};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use sys::signal::{SignalSet, Signals};

use super::Supervisor;
use super::connection::Connections;
use super::disk::Disk;
use super::health::Health;
use super::keeper::Following;
use super::notify::Notify;
use super::protocol::{self, Hello, StartFailure};
use super::restart::Restarts;
use super::start::Start;
use super::streams::{Attachment, Streams};
use crate::launch::resources::{self, Effort};
use crate::launch::{self, Grounds};
use crate::layout::Folder;
use crate::network::{self, sidecar::Leaving};
use crate::record::Durability;
use crate::state::{ProcessId, Status};
use crate::time::Moment;

/// Signals that a supervisor takes: SIGTERM ends the container; a terminal's and a pipe's are not for it.
pub(super) const TAKEN: [i32; 5] = [1, 2, 3, 13, crate::signal::SIGTERM];

/// What another runtime is given, in the container's folder.
const BUNDLE: &str = "bundle";

/// How many who connect wait.
const BACKLOG: i32 = 16;

impl Supervisor {
    /// Sets up and starts the container, and says how that went. `None` when it did not start, and all is cleaned up.
    pub(super) fn begin(start: Start, socket: OwnedFd) -> Option<Self> {
        let attached = start.attached.clone();
        let size = attached.as_ref().and_then(|attached| attached.size);
        let mut supervisor = match Self::new(start) {
            Ok(supervisor) => supervisor,
            Err(failure) => {
                drop(protocol::send(&socket, &Hello::Failed(failure)));
                return None;
            }
        };
        if attached.is_some() {
            supervisor.streams.expect();
        }
        let first = supervisor.state.started.is_never();
        match supervisor.launch(size) {
            Ok(pid) => {
                supervisor.say_hello(socket, pid, attached);
                // After the first time something is on disk; nobody waits for it.
                if first && supervisor.config.durability() == Durability::Synced {
                    drop(supervisor.folder.sync(&[supervisor.folder.state()]));
                }
                Some(supervisor)
            }
            Err(failure) => {
                supervisor.give_up(&failure);
                drop(protocol::send(&socket, &Hello::Failed(failure)));
                None
            }
        }
    }

    fn new(start: Start) -> Result<Self, StartFailure> {
        let Start { containers, container, lock, probe, interpreter, held, given, handed, limited, .. } = start;
        let signals = Signals::block(&SignalSet::of(&TAKEN)).map_err(StartFailure::ours)?;
        // Where the container has an init, that is a copy of this process: the command line may hold secrets.
        if container.config.process.init {
            sys::process::forget_arguments().map_err(StartFailure::ours)?;
        }
        let listener = listen(&container.folder).map_err(StartFailure::ours)?;
        let tree = container.tree().map_err(StartFailure::ours)?;
        let streams = Streams::open(&container.config, &container.folder, given);
        let health = Health::new(&container.config);
        let notify = Notify::new(&container.config, &container.folder);
        let disk = Disk::new(&container.config, &container.folder, containers.layout(), limited);
        if !container.state.started.is_never() {
            disk.check()?;
        }
        Ok(Self {
            containers,
            tree,
            probe,
            interpreter,
            held,
            state: container.state,
            folder: container.folder,
            config: container.config,
            running: None,
            leaving: Leaving::default(),
            watched: Vec::new(),
            following: Following::default(),
            since: Instant::now(),
            lock,
            listener,
            signals,
            connections: Connections::default(),
            streams: streams.map_err(StartFailure::ours)?,
            health,
            notify,
            disk,
            handed,
            stop: None,
            restarts: Restarts::default(),
            notes: Vec::new(),
            shrinks: super::handover::first(),
        })
    }

    /// Starts the container's program. Gives the number of its first process.
    pub(super) fn launch(&mut self, size: Option<WindowSize>) -> Result<i32, StartFailure> {
        // First of all: what carries the traffic takes longest to begin.
        let mut up = self.network()?;
        let snapshots = self.containers.store().snapshots();
        self.tree.renew(&snapshots).map_err(StartFailure::ours)?;
        let grounds = Grounds {
            rootfs: self.tree.root_fs(&snapshots),
            owners: self.tree.owners(&snapshots),
            layout: self.containers.layout(),
            probe: &self.probe,
        };
        let mut spec = launch::spec(&self.config, &grounds).map_err(StartFailure::ours)?;
        if let (Some(own), Some(size)) = (spec.terminal.as_mut(), size.or(self.streams.size())) {
            *own = size;
        }
        spec.mounts.extend(self.interpreter.clone());
        self.notify.dress(&mut spec);
        spec.durable_rootfs = !self.config.life.remove;
        let (place, note) = resources::place(&self.config, self.effort());
        spec.cgroup = place;
        self.notes.extend(note);
        self.notes.extend(resources::unmet(&self.config));
        self.notes.extend_from_slice(up.notes());
        let mut stdio: Stdio = self.streams.stdio().map_err(StartFailure::ours)?;
        self.handed.dress(&mut spec, &mut stdio).map_err(StartFailure::ours)?;
        launch::share(&self.config, &self.probe.rung, &mut spec, &mut stdio.files, |id| self.containers.known(id))
            .map_err(StartFailure::ours)?;
        up.connect(&mut spec, &mut stdio.files).map_err(StartFailure::ours)?;
        if needs_network(&spec) {
            self.connect(&mut up)?;
        }
        let mut running = self.run(&spec, stdio, &mut up)?;
        (self.state.network, self.state.sidecars) = up.keep();
        self.streams.started(running.terminal());
        let pid = running.pid();
        self.state.groups = running.group().folders().to_vec();
        self.running = Some(running);
        self.since = Instant::now();
        self.record_start(pid);
        Ok(pid)
    }

    /// A container that is soon gone is not worth asking the service manager for.
    fn effort(&self) -> Effort {
        if self.config.life.remove && self.streams.is_attached() { Effort::Cheap } else { Effort::Full }
    }

    /// By ourselves, or by the runtime that was asked for.
    fn run(&self, spec: &Spec, stdio: Stdio, up: &mut network::Up) -> Result<Running, StartFailure> {
        let Some(program) = &self.config.isolation.runtime else {
            return container::run_while(spec, stdio, || self.connect(up));
        };
        self.connect(up)?;
        let dir = self.folder.path().join(BUNDLE);
        let annotations = &self.config.life.annotations;
        let by = Foreigner { program, id: self.config.id.as_str(), annotations, dir: &dir };
        Ok(bundle::run(&by, spec, stdio)?)
    }

    /// Begins to make what it is connected to. Dropped, that goes.
    fn network(&self) -> Result<network::Up, StartFailure> {
        self.asking(network::up)
    }

    /// Makes the rest of it.
    fn connect(&self, up: &mut network::Up) -> Result<(), StartFailure> {
        self.asking(|asked| up.finish(asked))
    }

    fn asking<T>(
        &self,
        work: impl FnOnce(&network::Asked<'_>) -> Result<T, network::NetworkError>,
    ) -> Result<T, StartFailure> {
        let find = |id: &str| self.containers.known(id);
        let store = self.containers.store().root();
        let asked =
            network::Asked { config: &self.config, folder: &self.folder, store, rung: &self.probe.rung, find: &find };
        work(&asked).map_err(StartFailure::ours)
    }

    fn record_start(&mut self, pid: i32) {
        let state = &mut self.state;
        state.status = Status::Running;
        state.boot = store::boot_id().unwrap_or_default();
        state.supervisor = ProcessId::of(std::process::id().cast_signed());
        state.init = ProcessId::of(pid);
        state.started = Moment::now();
        (state.finished, state.exit_code, state.error) = (Moment::NEVER, None, None);
        (state.oom_killed, state.stopped) = (false, false);
        state.restarts = self.restarts.count;
        self.write_pidfile(pid);
        self.health.started(&mut self.state);
        self.disk.started(self.state.init, self.since);
        // Who reads what was before sees a container that is started a little later.
        drop(self.folder.write_state(&self.state, Durability::Fleeting));
        self.containers.tell(&self.config, "start");
        self.notify.started();
    }

    fn write_pidfile(&self, pid: i32) {
        if let Some(path) = &self.config.life.pidfile {
            // Checked by who started us; gone since, it is nobody's any more.
            drop(std::fs::write(path, pid.to_string()));
        }
    }

    /// Tells who started us. Where he stays, his connection is one of the attached.
    fn say_hello(&mut self, socket: OwnedFd, pid: i32, attached: Option<Attachment>) {
        let notes = std::mem::take(&mut self.notes);
        // He may be gone; the container is not his.
        drop(protocol::send(&socket, &Hello::Started { pid, notes }));
        if let Some(attached) = attached {
            self.streams.join(socket, attached);
        }
    }
}

/// Whether its network must be there while it is prepared: what is set of it is set on interfaces that there are, and would change
/// what the program that makes them finds.
fn needs_network(spec: &Spec) -> bool {
    spec.boundary.sysctls.iter().any(|(name, _)| name.starts_with("net"))
}

/// Listens in the container's folder.
fn listen(folder: &Folder) -> std::io::Result<OwnedFd> {
    // What a killed supervisor left.
    drop(std::fs::remove_file(folder.control()));
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let (_dir, address) = address(folder.path())?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// The address of the socket in a container's folder, which is longer than an address may be; good while the descriptor is open.
pub(crate) fn address(folder: &Path) -> std::io::Result<(OwnedFd, SocketAddrUnix)> {
    use std::os::fd::AsRawFd as _;
    let dir = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/control.sock", dir.as_raw_fd()))?;
    Ok((dir, address))
}
