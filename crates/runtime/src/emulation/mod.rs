//! Programs of other processors: whether they run here, and what makes them.
//!
//! The kernel runs them by itself, or hands them to an interpreter (qemu) that somebody registered in `binfmt_misc`. Since
//! Linux 6.7 every user namespace may have registrations of its own: where the host has none, and a static qemu is
//! installed, a build registers it for itself, for as long as it lasts, and nobody else sees it.
//!
//! ```text
//! way(platform): native → a registration of the host's → tried → qemu on PATH → Missing
//! Plan::new(platforms) ─ entered (a namespace, where `needs_namespace`) ─→ Emulation
//! ```

mod instance;
mod probe;
mod processor;
mod registration;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci::Platform;

use crate::container::{Mount, Source};
use crate::ladder::Rung;

pub use instance::InstanceError;
use instance::{Handler, Instance};
use processor::Processor;

/// Where the kernel shows what is registered.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
/// Since when a user namespace has registrations of its own.
const OWN_SINCE: (u32, u32) = (6, 7);

/// How programs of a platform run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By the kernel, or by an interpreter that it holds open.
    AsTheyAre,
    /// By an interpreter that the host registered by its path: a container must have it there, too.
    Bound(PathBuf),
    /// By this qemu, registered for the build alone.
    Registered(PathBuf),
}

/// Why programs of a platform do not run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// It is no Linux.
    #[error("it runs programs for {platform}, and only programs for Linux run here")]
    System {
        /// The platform.
        platform: Platform,
    },
    /// Nothing is known of its processor.
    #[error("it runs programs for {platform}, and nothing is known of that processor")]
    Unknown {
        /// The platform.
        platform: Platform,
    },
    /// There is no emulator.
    #[error("it runs programs for {platform}, and this machine has no emulator for them ({qemu})")]
    Emulator {
        /// The platform.
        platform: Platform,
        /// What is looked for on the PATH.
        qemu: String,
    },
    /// There is one, and the kernel lets only root register it.
    #[error("it runs programs for {platform}; {} is here, but not registered for containers: {why}", qemu.display())]
    Registration {
        /// The platform.
        platform: Platform,
        /// The emulator.
        qemu: PathBuf,
        /// Why a build cannot do that itself.
        why: String,
    },
}

/// How programs of a platform run here, or why they do not. `dir` is a folder of ours in which programs may be executed: some
/// are tried there.
///
/// # Errors
/// When they do not.
pub fn way(platform: &Platform, dir: &Path) -> Result<Way, Missing> {
    if platform.os != "linux" {
        return Err(Missing::System { platform: platform.clone() });
    }
    if is_native(platform) {
        return Ok(Way::AsTheyAre);
    }
    let unknown = || Missing::Unknown { platform: platform.clone() };
    let processor = Processor::of(&platform.architecture).ok_or_else(unknown)?;
    let registered = registration::find(Path::new(BINFMT), processor);
    match registered {
        Some(entry) if entry.holds_open => return Ok(Way::AsTheyAre),
        Some(entry) if probe::is_static(&entry.interpreter) => return Ok(Way::Bound(entry.interpreter)),
        // A registration that works on the host alone is none in a container.
        Some(_) => {}
        // It may be hidden from us, or the kernel may know the processor itself.
        None if probe::runs(processor, dir) => return Ok(Way::AsTheyAre),
        None => {}
    }
    let Some(qemu) = qemu(processor) else {
        return Err(Missing::Emulator { platform: platform.clone(), qemu: processor.qemu() });
    };
    match kernel() {
        Some(version) if version < OWN_SINCE => {
            let why = format!("before Linux {}.{} only root can do that", OWN_SINCE.0, OWN_SINCE.1);
            Err(Missing::Registration { platform: platform.clone(), qemu, why })
        }
        _ => Ok(Way::Registered(qemu)),
    }
}

/// Whether this machine's own processor runs them.
pub fn is_native(platform: &Platform) -> bool {
    let host = Platform::host();
    platform.os == host.os && platform.architecture == host.architecture
}

/// The platforms that something is known of, this machine's first.
pub fn known() -> Vec<Platform> {
    let host = Platform::host();
    let others = processor::ALL.iter().map(|one| Platform::new("linux", one.name, None));
    std::iter::once(host.clone()).chain(others.filter(|one| *one != host)).collect()
}

/// The emulator of a processor on the PATH, or where packages put it: a static one, since a container has no libraries of ours.
fn qemu(processor: &Processor) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin", "/bin"].map(PathBuf::from);
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).chain(usual).filter(|dir| dir.is_absolute()).collect();
    let names = [processor.qemu(), format!("qemu-{}", processor.qemu_name)];
    let mut candidates = names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    candidates.find(|program| probe::is_static(program)).map(|program| program.canonicalize().unwrap_or(program))
}

/// The kernel's version.
fn kernel() -> Option<(u32, u32)> {
    let system = rustix::system::uname();
    let release = system.release().to_str().ok()?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The host's emulator, where the kernel looks for it in a container.
pub fn mount(interpreter: &Path) -> Mount {
    let source = Source::Path { path: interpreter.to_path_buf(), recursive: false };
    Mount { target: interpreter.display().to_string(), source, readonly: true }
}

/// What a build that runs programs for these platforms needs, found before it enters its namespaces.
#[derive(Debug, Default)]
pub struct Plan {
    ways: BTreeMap<String, (Platform, Result<Way, Missing>)>,
}

impl Plan {
    /// Looks for a way for each platform.
    pub fn new(platforms: &[Platform], dir: &Path) -> Self {
        let way = |platform: &Platform| (platform.architecture.clone(), (platform.clone(), way(platform, dir)));
        Self { ways: platforms.iter().map(way).collect() }
    }

    /// Whether an emulator is to be registered: that takes a user namespace of our own.
    pub fn needs_namespace(&self) -> bool {
        self.ways.values().any(|(_, way)| matches!(way, Ok(Way::Registered(_))))
    }

    /// What is there, now that this process has entered `rung`. Where that brought no user namespace of its own, none is
    /// registered, and it is said of those platforms why they do not run.
    pub fn establish(mut self, rung: &Rung) -> Emulation {
        if *rung == Rung::Chroot {
            self.refuse_bound();
        }
        if !self.needs_namespace() {
            return Emulation { ways: self.ways, instance: None };
        }
        let made = match matches!(rung, Rung::SubordinateIds { .. } | Rung::SingleId) {
            true => Instance::new(&self.handlers()).map_err(|error| error.to_string()),
            false => Err("there is no user namespace here to do that in".to_owned()),
        };
        let (instance, refused) = match made {
            Ok(instance) => (Some(instance), None),
            Err(why) => (None, Some(why)),
        };
        if let Some(why) = refused {
            for (platform, way) in self.ways.values_mut() {
                if let Ok(Way::Registered(qemu)) = way {
                    let (platform, qemu, why) = (platform.clone(), qemu.clone(), why.clone());
                    *way = Err(Missing::Registration { platform, qemu, why });
                }
            }
        }
        Emulation { ways: self.ways, instance }
    }

    /// Nothing is mounted without namespaces.
    fn refuse_bound(&mut self) {
        for (platform, way) in self.ways.values_mut() {
            if let Ok(Way::Bound(qemu)) = way {
                let why = "without flag F it cannot be seen inside, where nothing can be mounted".to_owned();
                *way = Err(Missing::Registration { platform: platform.clone(), qemu: qemu.clone(), why });
            }
        }
    }

    /// What our own registrations are to be. They hide the host's, so that those which are needed come along.
    fn handlers(&self) -> Vec<Handler> {
        let handler = |(architecture, (platform, way)): (&String, &(Platform, Result<Way, Missing>))| {
            let processor = Processor::of(architecture).filter(|_| !is_native(platform))?;
            let interpreter = match way {
                Ok(Way::Registered(qemu)) => qemu.clone(),
                Ok(Way::Bound(interpreter)) => interpreter.clone(),
                Ok(Way::AsTheyAre) => {
                    let entry = registration::find(Path::new(BINFMT), processor)?;
                    if probe::is_static(&entry.interpreter) { entry.interpreter } else { qemu(processor)? }
                }
                Err(_) => return None,
            };
            Some(Handler { processor, interpreter })
        };
        self.ways.iter().filter_map(handler).collect()
    }
}

/// What runs programs of other processors in this process's containers, for as long as this value lives.
#[derive(Debug, Default)]
pub struct Emulation {
    ways: BTreeMap<String, (Platform, Result<Way, Missing>)>,
    instance: Option<Instance>,
}

impl Emulation {
    /// What must stay open so that programs run that need it, for a process that lives on without this value.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn held(&self) -> std::io::Result<Option<OwnedFd>> {
        self.instance.as_ref().map(Instance::held).transpose()
    }

    /// Whether programs of a platform run; `Some`: what a container must have at this very path for that.
    ///
    /// # Errors
    /// Why they do not.
    pub fn interpreter(&self, platform: &Platform) -> Result<Option<&Path>, &Missing> {
        match self.ways.get(&platform.architecture).map(|(_, way)| way) {
            // Nobody asked before: it is ours, or the kernel will say.
            None | Some(Ok(Way::AsTheyAre | Way::Registered(_))) => Ok(None),
            // Registered again, with its file held open.
            Some(Ok(Way::Bound(_))) if self.instance.is_some() => Ok(None),
            Some(Ok(Way::Bound(interpreter))) => Ok(Some(interpreter)),
            Some(Err(missing)) => Err(missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_run_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let of = |text: &str| way(&text.parse().unwrap(), dir.path());
        assert_eq!(way(&Platform::host(), dir.path()), Ok(Way::AsTheyAre));
        assert!(of("windows/amd64").unwrap_err().to_string().ends_with("only programs for Linux run here"));
        assert!(of("linux/wasm").unwrap_err().to_string().ends_with("nothing is known of that processor"));
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "what was tried is gone");
    }

    #[test]
    fn a_plan_without_a_namespace_says_what_it_lacked() {
        let platform: Platform = "linux/s390x".parse().unwrap();
        let way = Ok(Way::Registered("/opt/qemu-s390x-static".into()));
        let plan = Plan { ways: [("s390x".to_owned(), (platform.clone(), way))].into() };
        assert!(plan.needs_namespace());
        let emulation = plan.establish(&Rung::Root);
        let missing = emulation.interpreter(&platform).unwrap_err().to_string();
        assert_eq!(
            missing,
            "it runs programs for linux/s390x; /opt/qemu-s390x-static is here, but not registered for \
             containers: there is no user namespace here to do that in"
        );
        assert_eq!(emulation.interpreter(&Platform::host()), Ok(None));
    }
}
