//! What the container's first process does before it is the user's program.
//!
//! In order: gather every mount as a detached descriptor while the old root is still there; change the root; attach them
//! by descriptor to targets resolved within the new one; then give up, one by one, all that the program shall not have.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use sys::clone::Forked;
use sys::mount::{Attributes, Setting};
use sys::ns::IdMap;
use sys::{OpenFlags, Root};

use super::become_user::{self, Becoming};
use super::boundary::Namespace;
use super::boundary::Users;
use super::device::{Attached, Devices, Shm};
use super::error::StartError;
use super::kernel_fs::{self, KernelFs};
use super::report::Report;
use super::run::Launch;
use super::spec::{Ids, Isolation, Network, Source, Spec};
use super::stub::{MountPoints, Stubs};
use super::user::User;
use super::{limit, namespaces, reaper, rootfs, sysctl, terminal, users};
use crate::snapshot::RootFs;

/// Where the container is put together: every machine has this directory, and no store lives in it. It is covered by a
/// file system in memory, in the container's own mount namespace only, which goes away with the old root.
const WORKSHOP: &str = "/proc";

/// Becomes the container, or says why not. Never returns.
pub(super) fn start(launch: Launch<'_>) -> ! {
    let _bulkhead = sys::clone::Bulkhead;
    let mut stubs = Stubs::default();
    let socket = match sys::exec::raise(&launch.report, sys::exec::LOWEST_OF_OURS) {
        Ok(socket) => socket,
        Err(_) => sys::clone::exit(125),
    };
    let error = match prepare(launch, &mut stubs) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let code = error.exit_code();
    // Where even this fails, the exit code says what can be said.
    let _ = Report::Failed { error, stubs }.send(socket, &[]);
    sys::clone::exit(code)
}

fn prepare(mut launch: Launch<'_>, stubs: &mut Stubs) -> Result<std::convert::Infallible, StartError> {
    sys::signal::reset_handlers();
    sys::signal::SignalSet::empty().block()?;
    rustix::process::umask(Mode::empty());
    let host_proc = proc_of_caller();
    // Before the files of this process are the machine's root's.
    if let (Some(adjustment), Some(proc)) = (launch.spec.oom_score_adj, &host_proc) {
        write_oom_score(proc, adjustment);
    }
    // Nobody inside may look into a process of ours, nor at our binary through it.
    let undumpable = rustix::process::DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(undumpable).map_err(|errno| StartError::setup("prctl", errno))?;
    become_user::die_with_parent()?;
    let own = launch.spec.boundary.namespaces.cgroup == Namespace::Own;
    crate::cgroup::enter(&launch.doors, launch.entered, own)?;
    let spec = launch.spec;
    let (points, devices, proc) = match spec.isolation {
        Isolation::Namespaces => enter_mounts(&mut launch, host_proc, stubs)?,
        Isolation::Chroot => super::bare::enter(spec, host_proc, stubs)?,
    };
    if spec.isolation == Isolation::Namespaces && spec.boundary.namespaces.uts == Namespace::Own {
        set_names(spec)?;
    }
    limit::apply(&spec.rlimits)?;
    if let Some(gate) = launch.gate.take() {
        wait_at(gate)?;
    }
    if spec.init || spec.boundary.namespaces.pid != Namespace::Own {
        fork_under_reaper(&launch)?;
    }
    let terminal = match spec.terminal {
        Some(size) => Some(terminal::open(&devices, size)?),
        None => None,
    };
    let becoming = Becoming { launch, root: points.root(), devices, proc, terminal, stubs: points.stubs.clone() };
    become_user::become_program(becoming)
}

/// Waits until it may go on. Who has the gate and goes away without opening it is about to end us, or has ended itself.
fn wait_at(gate: OwnedFd) -> Result<(), StartError> {
    File::from(gate).read_exact(&mut [0]).map_err(|error| sys::Error::from_io("read", "gate", &error).into())
}

fn set_names(spec: &Spec) -> Result<(), StartError> {
    let tried = |name: &Option<String>, set: fn(&[u8]) -> Result<(), Errno>, what: &str| match name {
        None => Ok(()),
        Some(name) => match set(name.as_bytes()) {
            // The name space is our own: only a filter that a container around us has put there refuses, and the
            // files that tell the name tell it anyhow.
            Ok(()) | Err(Errno::PERM) => Ok(()),
            Err(errno) => Err(StartError::setup(what, errno)),
        },
    };
    tried(&spec.hostname, rustix::system::sethostname, "sethostname")?;
    tried(&spec.boundary.domainname, rustix::system::setdomainname, "setdomainname")
}

/// The program's process goes on; the first process stays behind, and only reaps.
fn fork_under_reaper(launch: &Launch<'_>) -> Result<(), StartError> {
    match sys::clone::fork(sys::clone::Namespaces::NONE)? {
        Forked::Child => Ok(()),
        Forked::Parent { pid, .. } => reaper::stay(pid, lives_among_others(launch.spec)),
    }
}

/// Whether the container's processes do not end with its first one by the kernel's doing.
fn lives_among_others(spec: &Spec) -> bool {
    spec.isolation == Isolation::Chroot || spec.boundary.namespaces.pid != Namespace::Own
}

pub(super) fn proc_of_caller() -> Option<OwnedFd> {
    rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Refusals are no reason not to start: lowering it needs a capability that root itself may lack.
pub(super) fn write_oom_score(proc: &OwnedFd, adjustment: i32) {
    let opened = rustix::fs::openat(proc, "self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    if let Ok(fd) = opened {
        let _ = File::from(fd).write_all(adjustment.to_string().as_bytes());
    }
}

type Entered = (MountPoints, Option<Attached>, Option<OwnedFd>);

fn enter_mounts(launch: &mut Launch<'_>, host_proc: Option<OwnedFd>, stubs: &mut Stubs) -> Result<Entered, StartError> {
    let spec = launch.spec;
    // What takes part in mounts made later must be taken while it still can.
    let propagating = spec.mounts.iter().map(propagating).collect::<Result<Vec<_>, _>>()?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(|errno| StartError::setup("make mounts private", errno))?;
    match spec.network {
        Network::Host => {}
        Network::None => sys::netif::loopback_up()?,
        // Before `/sys` is made: it shows the devices of the network that its maker is in.
        Network::Joined { index } => sys::ns::join(launch.shared.get(index)?, sys::ns::Joined::NETWORK)?,
    }
    let host_proc = host_proc.ok_or_else(|| StartError::setup("open /proc", Errno::NOENT))?;
    sys::mount::remember_proc(&host_proc)?;
    namespaces::join(spec, &launch.shared)?;
    let shm = match launch.shm.take() {
        _ if spec.boundary.no_shm => Shm::None,
        Some(mount) => Shm::Shared(mount),
        None => Shm::Own(spec.shm_size),
    };
    let mut devices = Devices::new(shm, spec.privileged)?;
    devices.add(&spec.boundary.devices)?;
    let proc = kernel_fs::new_proc(&host_proc, &spec.boundary.proc_options)?;
    sysctl::apply(spec, &proc)?;
    // Copied while nothing covers it: a copy brings what does.
    let seen = if spec.mounts.iter().any(is_filled) { Some(sys::mount::copy(&host_proc, true)?) } else { None };
    let workshop = Workshop::open(spec.ids)?;
    if let Some(proc) = seen {
        workshop.show(&proc)?;
    }
    let kernel_fs = KernelFs::new(proc, workshop.empty()?, &spec.boundary.paths, spec.privileged)?;
    let upper = match &spec.rootfs {
        RootFs::Overlay { upper, .. } => Some(Root::open(upper)?),
        RootFs::View { .. } | RootFs::Dir(_) => None,
    };
    let root_mount = rootfs::mount(&spec.rootfs, &workshop.place("root")?, spec.durable_rootfs)?;
    users::give_tree(&spec.boundary.users, &spec.rootfs, &root_mount)?;
    if !spec.privileged {
        // Where root inside is root outside, a node that the image brings or a program makes would open the host's disks.
        sys::mount::restrict(&root_mount, Attributes::MOUNT_ATTR_NODEV, true)?;
    }
    let mut gathered = Vec::new();
    for system in system_files(spec) {
        gathered.push(workshop.file(system)?);
    }
    let image = Image::new(spec, &root_mount)?;
    for (mount, taken) in spec.mounts.iter().zip(propagating) {
        gathered.push(gather(launch, mount, taken, &workshop, &image)?);
    }
    drop((workshop, image));
    rustix::process::fchdir(&root_mount).map_err(|errno| StartError::setup("fchdir", errno))?;
    sys::mount::pivot_to_working_directory()?;

    let mut points = MountPoints::new(Root::open("/")?, upper);
    let entered = attach_all(&mut points, kernel_fs, devices, &gathered);
    *stubs = points.stubs.clone();
    let (devices, proc) = entered?;
    make_folders(&spec.folders)?;
    if spec.readonly_rootfs {
        sys::mount::restrict(&root_mount, Attributes::MOUNT_ATTR_RDONLY, false)?;
    }
    Ok((points, Some(devices), Some(proc)))
}

fn make_folders(folders: &[String]) -> Result<(), StartError> {
    let root = Root::open("/")?;
    for folder in folders {
        match root.open_dir(folder) {
            Err(error) if error.is_not_found() => root.mkdir_all(folder, 0o755)?,
            other => drop(other?),
        }
    }
    Ok(())
}

fn attach_all(
    points: &mut MountPoints,
    kernel_fs: KernelFs,
    devices: Devices,
    gathered: &[Gathered],
) -> Result<(Attached, OwnedFd), StartError> {
    let entered = kernel_fs.attach(points)?;
    let dev = points.open("dev", true)?;
    let devices = devices.attach(dev)?;
    for mount in gathered {
        let over = points.open(&mount.target, mount.dir)?;
        sys::mount::attach(&mount.mount, over, &mount.target)?;
    }
    entered.hide(points.root())?;
    Ok((devices, entered.proc))
}

/// A mount that is made and waits for its target.
struct Gathered {
    mount: OwnedFd,
    target: String,
    dir: bool,
}

/// A file of ours, to be mounted over one of the image's.
struct SystemFile<'a> {
    target: &'a str,
    data: &'a [u8],
    mode: u32,
    owner: (u32, u32),
    readonly: bool,
}

fn system_files(spec: &Spec) -> Vec<SystemFile<'_>> {
    let file = |target, data| SystemFile { target, data, mode: 0o644, owner: (0, 0), readonly: false };
    let mut files = Vec::new();
    files.extend(spec.resolv_conf.as_ref().map(|data| file("/etc/resolv.conf", data)));
    files.extend(spec.hosts.as_ref().map(|data| file("/etc/hosts", data)));
    files.extend(
        spec.hostname.as_ref().filter(|_| spec.hostname_file).map(|name| file("/etc/hostname", name.as_bytes())),
    );
    files
}

fn propagating(mount: &super::spec::Mount) -> Result<Option<OwnedFd>, StartError> {
    match &mount.source {
        Source::Bind(bind) => bind.propagating(),
        _ => Ok(None),
    }
}

/// Whether files of the image are copied to it.
fn is_filled(mount: &super::spec::Mount) -> bool {
    match &mount.source {
        Source::Bind(bind) => bind.fill.is_some(),
        Source::Memory(memory) => memory.fill,
        _ => false,
    }
}

/// The container's tree before anything is mounted in it, and who it runs as where a mount asks.
struct Image {
    root: Root,
    user: Option<User>,
}

impl Image {
    fn new(spec: &Spec, root_mount: &OwnedFd) -> Result<Self, StartError> {
        let root = root_mount.try_clone().map_err(|error| sys::Error::from_io("dup", "", &error))?;
        let root = Root::from_fd(root);
        // Where there is one id only, all is that one's.
        let asked = |mount: &super::spec::Mount| matches!(&mount.source, Source::Bind(bind) if bind.own);
        let asked = spec.ids == Ids::Mapped && spec.mounts.iter().any(asked);
        let mut user = if asked { Some(User::resolve(&root, &spec.user, &[])?) } else { None };
        if let Some(user) = &mut user {
            (user.uid, user.gid) = spec.boundary.users.outside(user.uid, user.gid);
        }
        let user = user.map(|user| match &spec.boundary.users {
            Users::Own { uids, gids } => User { uid: outside(uids, user.uid), gid: outside(gids, user.gid), ..user },
            _ => user,
        });
        Ok(Self { root, user })
    }
}

/// What an id of the container's own users is among those of who makes its mounts.
fn outside(map: &[IdMap], id: u32) -> u32 {
    let within = |one: &&IdMap| id >= one.inside && id - one.inside < one.count;
    map.iter().find(within).map_or(id, |one| one.outside + (id - one.inside))
}

fn gather(
    launch: &mut Launch<'_>,
    mount: &super::spec::Mount,
    taken: Option<OwnedFd>,
    workshop: &Workshop,
    image: &Image,
) -> Result<Gathered, StartError> {
    let made = match &mount.source {
        Source::Bind(bind) => {
            bind.fill(&image.root, &mount.target)?;
            let made = taken.map_or_else(|| bind.copy(), Ok)?;
            bind.finish(&made, image.user.as_ref(), mount.readonly)?;
            let dir = sys::stat::of(&made)?.is_dir();
            return Ok(Gathered { mount: made, target: mount.target.clone(), dir });
        }
        Source::Memory(memory) => {
            let ids = workshop.ids == Ids::Mapped;
            let made = memory.make(&image.root, &mount.target, ids, mount.readonly)?;
            return Ok(Gathered { mount: made, target: mount.target.clone(), dir: true });
        }
        Source::Path { path, recursive } => rootfs::directory(path, *recursive)?,
        Source::File { index } => match launch.files.get_mut(*index).and_then(Option::take) {
            Some(copy) => copy,
            None => return Err(StartError::Invalid(format!("no descriptor {index} for {}", mount.target))),
        },
        Source::Tree { rootfs, subpath } => workshop.tree(rootfs, subpath)?,
        Source::Tmpfs { size, mode } => {
            let (size, mode) = (size.map(|size| size.to_string()), format!("{mode:o}"));
            let mut settings = vec![Setting::Text("mode", &mode)];
            settings.extend(size.iter().map(|size| Setting::Text("size", size)));
            let attributes = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV;
            sys::mount::new("tmpfs", &settings, attributes)?
        }
        Source::Data { data, mode, uid, gid } => {
            let (mode, owner) = (*mode, (*uid, *gid));
            return workshop.file(SystemFile { target: &mount.target, data, mode, owner, readonly: mount.readonly });
        }
    };
    let dir = sys::stat::of(&made)?.is_dir();
    let mut attributes = if mount.readonly { Attributes::MOUNT_ATTR_RDONLY } else { Attributes::empty() };
    // A device that is asked for by name is wanted; in any other folder, nodes are the program's own making.
    let asked = matches!(&mount.source, Source::Path { path, .. } if path.starts_with("/dev"));
    if dir && !asked && !launch.spec.privileged {
        attributes |= Attributes::MOUNT_ATTR_NODEV;
    }
    if !attributes.is_empty() {
        sys::mount::restrict(&made, attributes, true)?;
    }
    Ok(Gathered { mount: made, target: mount.target.clone(), dir })
}

/// The file system in memory in which the container is put together.
struct Workshop {
    root: Root,
    made: std::cell::Cell<usize>,
    ids: Ids,
}

impl Workshop {
    fn open(ids: Ids) -> Result<Self, StartError> {
        let settings = [Setting::Text("mode", "0755")];
        let attributes = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV;
        let mount = sys::mount::new("tmpfs", &settings, attributes)?;
        sys::mount::attach_path(&mount, Path::new(WORKSHOP))?;
        Ok(Self { root: Root::from_fd(mount), made: std::cell::Cell::new(0), ids })
    }

    /// Lets `/proc/self` lead to where it did before the workshop covered it: by it, attributes of files are read.
    fn show(&self, proc: &OwnedFd) -> Result<(), StartError> {
        self.root.mkdir("host", 0o755)?;
        let over = self.root.open_file("host", OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::CLOEXEC)?;
        sys::mount::attach(proc, over, WORKSHOP)?;
        Ok(self.root.symlink("host/self", "self")?)
    }

    /// A new directory in it, by path.
    fn place(&self, name: &str) -> Result<PathBuf, StartError> {
        self.root.mkdir(name, 0o755)?;
        Ok(Path::new(WORKSHOP).join(name))
    }

    fn next(&self) -> String {
        self.made.set(self.made.get() + 1);
        self.made.get().to_string()
    }

    fn empty(&self) -> Result<OwnedFd, StartError> {
        self.root.mkdir("empty", 0o755)?;
        Ok(self.root.open_file("empty", OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::CLOEXEC)?.into())
    }

    fn file(&self, file: SystemFile<'_>) -> Result<Gathered, StartError> {
        let name = self.next();
        let mut written = self.root.create(&name, file.mode, true)?;
        written.write_all(file.data).map_err(|error| sys::Error::from_io("write", file.target, &error))?;
        // Where there is one id only, whoever runs is that one.
        if file.owner != (0, 0) && self.ids == Ids::Mapped {
            self.root.chown(&name, file.owner.0, file.owner.1)?;
        }
        let mount = sys::mount::copy(&written, false)?;
        if file.readonly {
            sys::mount::restrict(&mount, Attributes::MOUNT_ATTR_RDONLY, false)?;
        }
        Ok(Gathered { mount, target: file.target.to_owned(), dir: false })
    }

    /// A path inside a tree of layers, resolved within that tree, as a mount of its own.
    fn tree(&self, tree: &RootFs, subpath: &str) -> Result<OwnedFd, StartError> {
        let mount = rootfs::mount(tree, &self.place(&self.next())?, false)?;
        let root = Root::from_fd(mount);
        if subpath.trim_matches('/').is_empty() {
            return Ok(sys::mount::copy(&root, false)?);
        }
        let found = root
            .open_file(subpath, OpenFlags::PATH | OpenFlags::CLOEXEC)
            .map_err(|error| error.at(format!("mount source {subpath}")))?;
        Ok(sys::mount::copy(&found, false)?)
    }
}
