//! From a container to a supervisor that runs it: what `run`, `start` and `restart` share.

use std::os::fd::OwnedFd;

use containers::config::{Config, NetworkMode};
use containers::network::claim::Busy;
use containers::network::keeper;
use containers::network::ports::Published;
use containers::supervisor::protocol::StartFailure;
use containers::supervisor::{self, Attached, Attachment, Given, Handed, Start};
use containers::{Container, Containers};
use oci::Platform;
use runtime::container::Mount;
use runtime::emulation::{self, Emulation};
use runtime::ladder::Probe;
use store::Store;
use sys::lock::Lock;

use crate::error::{Error, Result, While};
use crate::ui::style;
use crate::{context, image, rootfs, sandbox, ui};

/// What a container stands on once this process has entered its namespaces.
pub(crate) struct Ground {
    /// What this machine allows.
    pub(crate) probe: Probe,
    interpreter: Option<Mount>,
    held: Vec<OwnedFd>,
    /// A port that it is to have, and somebody has.
    busy: Option<Busy>,
}

impl Ground {
    /// Enters the namespaces for a container of this platform. Only while this process has one thread, and once.
    pub(crate) fn enter(layout: &store::Layout, config: &Config, name: &str) -> Result<Self> {
        let platform = &config.image.platform;
        let foreign = if emulation::is_native(platform) { Vec::new() } else { vec![platform.clone()] };
        let neighbour = Neighbour::of(layout, config)?;
        let busy = Busy::find(&config.network, || mapped(layout));
        let (probe, emulation) = match &neighbour {
            Some(neighbour) => sandbox::join_for(layout, &foreign, neighbour.pidfd.try_clone()?)?,
            None => sandbox::enter_for(layout, &foreign)?,
        };
        if !sandbox::can_run(&probe.rung) {
            return Err(sandbox::refused(&probe, "a container"));
        }
        let mut ground = Self::over(probe, &emulation, platform, name)?;
        ground.busy = busy;
        ground.held.extend(neighbour.into_iter().flat_map(|neighbour| neighbour.held));
        Ok(ground)
    }

    fn over(probe: Probe, emulation: &Emulation, platform: &Platform, name: &str) -> Result<Self> {
        let interpreter = emulation.interpreter(platform).map_err(|missing| {
            sandbox::remedies(missing).into_iter().fold(Error::failed(format!("{name}: {missing}")), Error::hint)
        })?;
        let interpreter = interpreter.map(emulation::mount);
        Ok(Self { probe, interpreter, held: emulation.held()?.into_iter().collect(), busy: None })
    }
}

/// The ports that containers have, with their names.
fn mapped(layout: &store::Layout) -> Vec<(String, Published)> {
    let all = Containers::new(layout).list().unwrap_or_default().into_iter();
    let running = all.filter(|container| container.state.is_active());
    let ports = |Container { config, state, .. }: Container| {
        state.network.ports.into_iter().map(move |published| (config.name.clone(), published))
    };
    running.flat_map(ports).collect()
}

/// Whose user namespace a container shares.
struct Neighbour {
    pidfd: OwnedFd,
    /// What keeps it there until the container is.
    held: Vec<OwnedFd>,
}

impl Neighbour {
    /// `None` where the container has a user namespace of its own.
    fn of(layout: &store::Layout, config: &Config) -> Result<Option<Self>> {
        match &config.network.mode {
            NetworkMode::Networks(_) => {
                let rung = sandbox::probe(layout)?.rung;
                let keeper = keeper::ensure(layout.root(), &rung)?;
                Ok(Some(Self { pidfd: keeper.pidfd()?, held: vec![keeper.into()] }))
            }
            // Who shares the namespaces of another container must be in the user namespace that they belong to.
            _ => {
                let containers = Containers::new(layout);
                let supervisor = containers::launch::surroundings(config, |id| containers.known(id));
                Ok(supervisor.map(|pidfd| Self { pidfd, held: Vec::new() }))
            }
        }
    }
}

/// Who is connected to a container from its start.
#[derive(Debug, Default)]
pub(crate) struct Connected {
    /// What we want where we stay.
    pub(crate) attached: Option<Attachment>,
    /// What the container gets of ours as it is.
    pub(crate) given: Given,
    /// What its program gets besides.
    pub(crate) handed: Handed,
}

/// Starts a container that was just made, or that does not run; its lock is given to its supervisor.
pub(crate) fn launch(
    containers: &Containers,
    container: Container,
    lock: Lock,
    ground: Ground,
    connected: Connected,
) -> Result<Attached> {
    let args = container.config.process.args.clone();
    let Connected { attached, given, handed } = connected;
    let Ground { probe, interpreter, held, busy } = ground;
    let containers = containers.clone();
    let limited = context::room(containers.store()).limit()?.is_some();
    let start = Start { containers, container, lock, probe, interpreter, held, limited, given, handed, attached };
    let started = supervisor::start(start).map_err(|mut failure| {
        if let Some(busy) = busy {
            failure.message = busy.name_in(&failure.message);
        }
        start_error(&failure, &args)
    })?;
    for note in &started.notes {
        ui::err(&format!("{} {}\n", style::hint("note:"), style::harmless(note)));
    }
    Ok(started)
}

/// Sees to it that a container's layers are there, where they may have gone since it ran.
pub(crate) fn refresh(store: &Store, container: &Container, probe: &Probe) -> Result {
    let image = &container.config.image;
    let read = image::read(store, &image.manifest, Some(&image.platform));
    let read = read.during(format!("the image of {}", container.config.name))?;
    rootfs::again(store, &read, probe)?;
    rootfs::mounted(store, &container.config, probe, &store.lease()?)?;
    Ok(())
}

/// The error of a container that did not start, with what helps.
fn start_error(failure: &StartFailure, args: &[String]) -> Error {
    let failed = Error::failed(failure.message.clone()).code(failure.code);
    match (failure.code, args.first()) {
        (127, Some(program)) if program.contains(' ') => {
            failed.hint(format!("`{program}` is one word: leave the quotes out, or run it by a shell: sh -c '…'"))
        }
        (127, _) => failed.hint("`estiba inspect -f '{{json .Config.Env}}' IMAGE` shows the PATH that was searched"),
        (126, _) => failed.hint("is it executable, and for this processor?"),
        _ => failed,
    }
}
