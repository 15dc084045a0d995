//! The last steps: everything that the program shall not have is given up, and the program takes over.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};
use sys::Root;
use sys::exec::FIRST_HANDED;

use super::boundary::Namespace;
use super::caps::CapSet;
use super::device::Attached;
use super::error::StartError;
use super::program::{self, DEFAULT_PATH};
use super::report::Report;
use super::run::Launch;
use super::spec::{Ids, Isolation, Network, Spec};
use super::stub::Stubs;
use super::terminal::Terminal;
use super::user::User;

const CAP_KILL: u64 = 1 << 5;
/// By which a program that is handed sockets knows that they are for it.
const LISTEN_PID: &str = "LISTEN_PID";
/// Below this, numbers are those of the program's streams and of what it is handed at least.
const LOWEST: RawFd = 10;
/// Which permissions files are made without where nobody says otherwise.
const USUAL_UMASK: u32 = 0o022;
/// More than any kernel has numbers for.
const CAP_NUMBERS: u32 = 64;

/// All that is left to use up.
pub(super) struct Becoming<'a> {
    pub(super) launch: Launch<'a>,
    pub(super) root: &'a Root,
    pub(super) devices: Option<Attached>,
    pub(super) proc: Option<OwnedFd>,
    pub(super) terminal: Option<Terminal>,
    pub(super) stubs: Stubs,
}

/// Becomes the program.
pub(super) fn become_program(mut becoming: Becoming<'_>) -> Result<Infallible, StartError> {
    let spec = becoming.launch.spec;
    // Alone in a session: no terminal of ours sends it signals besides those that we forward.
    rustix::process::setsid().map_err(|errno| StartError::setup("setsid", errno))?;
    let user = User::resolve(becoming.root, &spec.user, &spec.extra_groups)?;
    let number = report_number(&becoming.launch);
    let report = sys::exec::raise(&becoming.launch.report, LOWEST.max(number + 1))?;
    place_stdio(&mut becoming, &user, &report)?;
    enter_directory(becoming.root, spec, &user, becoming.launch.guest)?;
    rustix::process::umask(Mode::from_raw_mode(spec.boundary.umask.unwrap_or(USUAL_UMASK)));
    let mut env = environment(spec, &user);
    if !becoming.launch.handed.is_empty() {
        own_number(&mut env);
    }
    let caps = if spec.privileged { CapSet::ALL } else { spec.caps };
    super::labels::apply(spec, becoming.proc.as_ref())?;
    if spec.no_new_privs {
        rustix::thread::set_no_new_privs(true).map_err(|errno| StartError::setup("no_new_privs", errno))?;
    }
    super::users::enter(&spec.boundary.users, &becoming.launch.shared, becoming.proc.as_ref())?;
    if spec.ids == Ids::Single && (user.uid, user.gid) != (0, 0) {
        map_one_id(&becoming, &user)?;
    }
    // After that: who enters a user namespace has every capability in it.
    limit_capabilities(caps)?;
    raise_wall(&becoming)?;
    install_filters(&becoming, &user, &report)?;
    if spec.ids == Ids::Mapped {
        change_ids(&user, spec.boundary.keep_groups)?;
    }
    if !becoming.launch.guest {
        die_with_parent()?;
    }
    let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let first = spec.args.first().map(String::as_str).unwrap_or_default();
    let found = program::find(first, path)?;
    let args = program::c_strings(spec.args.iter().cloned())?;
    let program = CString::new(found.clone()).map_err(|_| StartError::Invalid(format!("null byte in {found:?}")))?;
    let env = program::c_strings(env)?;
    Report::Ready { program: found, stubs: std::mem::take(&mut becoming.stubs) }.send(&report, &[])?;
    hand_on(&becoming.launch.handed)?;
    sys::exec::place(&report, number)?;
    sys::exec::close_on_exec_from(number + 1)?;
    Err(becoming.launch.trampoline.exec(number, &program, &args, &env).into())
}

/// The report's number at the end: after what the program is handed.
fn report_number(launch: &Launch<'_>) -> RawFd {
    FIRST_HANDED + RawFd::try_from(launch.handed.len()).unwrap_or(RawFd::MAX / 2)
}

/// Puts what the program is handed where it looks for it.
fn hand_on(handed: &[OwnedFd]) -> Result<(), StartError> {
    let above = LOWEST.max(FIRST_HANDED + RawFd::try_from(handed.len()).unwrap_or(RawFd::MAX / 2) + 1);
    // Out of the way of the numbers that they are about to get.
    let raised = handed.iter().map(|fd| sys::exec::raise(fd, above)).collect::<Result<Vec<_>, _>>()?;
    for (number, fd) in (FIRST_HANDED..).zip(&raised) {
        sys::exec::place(fd, number)?;
    }
    Ok(())
}

/// Asks to be killed when the process that started us dies.
pub(super) fn die_with_parent() -> Result<(), StartError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|errno| StartError::setup("prctl", errno))
}

fn place_stdio(becoming: &mut Becoming<'_>, user: &User, report: &OwnedFd) -> Result<(), StartError> {
    if let Some(terminal) = becoming.terminal.take() {
        Report::Terminal.send(report, &[terminal.outer.as_fd()])?;
        // As docker does: a program that reopens its terminal must be let to. Where the id isn't mapped, it isn't.
        if becoming.launch.spec.ids == Ids::Mapped {
            let (uid, _) = becoming.launch.spec.boundary.users.outside(user.uid, user.gid);
            let owner = Some(rustix::fs::Uid::from_raw(uid));
            let _ = rustix::fs::fchown(&terminal.inner, owner, None);
        }
        rustix::process::ioctl_tiocsctty(&terminal.inner).map_err(|errno| StartError::setup("TIOCSCTTY", errno))?;
        for number in 0..3 {
            sys::exec::place(&terminal.inner, number)?;
        }
        return Ok(());
    }
    let mut stdio = Vec::with_capacity(3);
    for given in &becoming.launch.stdio {
        // Out of the way of the numbers that they are about to get.
        stdio.push(match (given, &becoming.devices) {
            (Some(fd), _) => sys::exec::raise(fd, 10)?,
            (None, Some(devices)) => sys::exec::raise(devices.null()?, 10)?,
            (None, None) => sys::exec::raise(null_of_caller()?, 10)?,
        });
    }
    for (number, fd) in (0..).zip(&stdio) {
        sys::exec::place(fd, number)?;
    }
    Ok(())
}

fn null_of_caller() -> Result<OwnedFd, StartError> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| StartError::setup("open /dev/null", errno))
}

/// Goes to the working directory; where it is absent, it is made, but not by a `guest`. Links are followed within the root, but for those of `/proc` that
/// lead to what a descriptor has open (CVE-2024-21626).
fn enter_directory(root: &Root, spec: &Spec, user: &User, guest: bool) -> Result<(), StartError> {
    let cwd = if spec.cwd.is_empty() { "/" } else { spec.cwd.as_str() };
    if !cwd.starts_with('/') {
        return Err(StartError::Invalid(format!("the working directory {cwd:?} is not absolute")));
    }
    let named = |error: sys::Error| StartError::from(error.at(format!("working directory {cwd}")));
    let dir = match root.open_dir(cwd) {
        Err(error) if error.is_not_found() && !guest => {
            root.mkdir_all(cwd, 0o755).map_err(named)?;
            // As docker does: what it makes for the user is the user's. Where the id isn't mapped it stays root's.
            let (uid, gid) = spec.boundary.users.outside(user.uid, user.gid);
            let _ = root.chown(cwd, uid, gid);
            root.open_dir(cwd).map_err(named)?
        }
        other => other.map_err(named)?,
    };
    let failed = |errno| StartError::setup(format!("working directory {cwd}"), errno);
    rustix::process::fchdir(&dir).map_err(failed)?;
    let real = rustix::process::getcwd(Vec::new()).map_err(failed)?;
    if real.as_bytes().first() == Some(&b'/') {
        Ok(())
    } else {
        Err(StartError::Invalid(format!("the working directory {cwd} is outside of the container")))
    }
}

/// The variables given, with `PATH` and `HOME` added where they are missing.
pub(crate) fn environment(spec: &Spec, user: &User) -> Vec<String> {
    let has = |name: &str| spec.env.iter().any(|(key, _)| key == name);
    let mut env: Vec<String> = spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !has("PATH") {
        env.push(format!("PATH={DEFAULT_PATH}"));
    }
    if !has("HOME") {
        env.push(format!("HOME={}", user.home));
    }
    env
}

/// Says to the program that it is meant: its number inside is known only here.
fn own_number(env: &mut [String]) {
    for variable in
        env.iter_mut().filter(|variable| variable.split_once('=').is_some_and(|(name, _)| name == LISTEN_PID))
    {
        *variable = format!("{LISTEN_PID}={}", std::process::id());
    }
}

/// Drops what is not in `caps` from what any program executed from now on can get. The rest, what this process has
/// itself, exec recomputes from this: root gets what is left, others nothing.
fn limit_capabilities(caps: CapSet) -> Result<(), StartError> {
    let failed = |errno| StartError::setup("limit capabilities", errno);
    match rustix::thread::clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(failed(errno)),
    }
    for number in (0..CAP_NUMBERS).filter(|number| caps.0 >> number & 1 == 0) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The first number that this kernel doesn't know.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(failed(errno)),
        }
    }
    let now = rustix::thread::capabilities(None).map_err(failed)?;
    let none = CapabilitySet::empty();
    if now.inheritable != none {
        let sets = CapabilitySets { inheritable: none, ..now };
        rustix::thread::set_capabilities(None, sets).map_err(failed)?;
    }
    Ok(())
}

/// Gives up everything but the right to signal any process inside.
pub(super) fn keep_only_kill() -> Result<(), StartError> {
    let failed = |errno| StartError::setup("drop capabilities", errno);
    let now = rustix::thread::capabilities(None).map_err(failed)?;
    let kill = CapabilitySet::from_bits_retain(CAP_KILL) & now.permitted;
    let sets = CapabilitySets { effective: kill, permitted: kill, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(failed)
}

/// A user namespace in which the only id there is has the user's number.
fn map_one_id(becoming: &Becoming<'_>, user: &User) -> Result<(), StartError> {
    let proc = becoming.proc.as_ref().ok_or_else(|| StartError::setup("open /proc", Errno::NOENT))?;
    sys::ns::unshare(sys::ns::Namespaces::NEWUSER)?;
    // The files of a process that isn't dumpable are the machine's root's. Nobody else is inside yet to profit.
    set_dumpable(DumpableBehavior::Dumpable)?;
    let one = |id: u32| format!("{id} 0 1\n");
    let files = [("setgroups", "deny".to_owned()), ("uid_map", one(user.uid)), ("gid_map", one(user.gid))];
    for (name, text) in files {
        let failed = |errno| StartError::setup(format!("map the user's id: /proc/self/{name}"), errno);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(proc, format!("self/{name}"), flags, Mode::empty()).map_err(failed)?;
        rustix::io::write(&file, text.as_bytes()).map_err(failed)?;
    }
    set_dumpable(DumpableBehavior::NotDumpable)
}

fn set_dumpable(how: DumpableBehavior) -> Result<(), StartError> {
    rustix::process::set_dumpable_behavior(how).map_err(|errno| StartError::setup("prctl", errno))
}

/// Both filters go on while we still may: without no_new_privs that takes CAP_SYS_ADMIN, which changing ids gives up.
fn install_filters(becoming: &Becoming<'_>, user: &User, report: &OwnedFd) -> Result<(), StartError> {
    if let Some(program) = &becoming.launch.monitored {
        let listener = sys::notify::install(program)?;
        Report::Listener { groups: user.groups.clone() }.send(report, &[listener.as_fd()])?;
    }
    if let Some(program) = &becoming.launch.filter {
        match sys::seccomp::install(program) {
            // Root of a container that gave it no CAP_SYS_ADMIN. The container around us has its own filter, a chroot is no
            // boundary with one either, and no_new_privs instead would take `su` and `sudo` from every RUN.
            Err(error) if becoming.launch.spec.isolation == Isolation::Chroot && error.errno() == Errno::ACCESS => {}
            other => other?,
        }
    }
    Ok(())
}

/// Keeps the program from what it could reach beyond its namespaces, where it shares one.
fn raise_wall(becoming: &Becoming<'_>) -> Result<(), StartError> {
    let spec = becoming.launch.spec;
    let bare = spec.isolation == Isolation::Chroot;
    // A wall keeps a debugger out, too: of a container that shares processes to look at them, or of a guest that was sent to.
    let looks = becoming.launch.guest || (spec.boundary.namespaces.pid != Namespace::Own && !bare);
    if !spec.boundary.landlock || spec.privileged || looks {
        return Ok(());
    }
    let wall = sys::landlock::Wall {
        sockets: spec.network == Network::Host,
        signals: bare,
        below: if bare { Some(becoming.root.as_fd()) } else { None },
    };
    match sys::landlock::raise(&wall) {
        // Root of a container that gave it no CAP_SYS_ADMIN, as for the filter.
        Err(error) if bare && error.errno() == Errno::PERM => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

fn change_ids(user: &User, keep_groups: bool) -> Result<(), StartError> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let group = rustix::fs::Gid::from_raw;
    let groups: Vec<_> = user.groups.iter().copied().map(group).collect();
    if !keep_groups {
        set_thread_groups(&groups).map_err(|errno| StartError::setup("setgroups", errno))?;
    }
    let failed = |what: &str, id: u32| {
        let what = format!("{what} {id}");
        move |errno| match errno {
            Errno::INVAL => {
                StartError::Invalid(format!("{what}: this id is not among those mapped into the container"))
            }
            errno => StartError::setup(what, errno),
        }
    };
    let (uid, gid) = (rustix::fs::Uid::from_raw(user.uid), group(user.gid));
    set_thread_res_gid(gid, gid, gid).map_err(failed("setgid", user.gid))?;
    set_thread_res_uid(uid, uid, uid).map_err(failed("setuid", user.uid))
}
