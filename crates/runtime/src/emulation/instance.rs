//! Registrations of our own, in the user namespace that this process entered.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use sys::mount::Attributes;

use super::probe;
use super::processor::Processor;

/// Since this version qemu hears from the kernel whether it was told the name by which a program was called.
const TOLD_NAMES_SINCE: u32 = 6;
/// The longest line that the kernel takes (`MAX_REGISTER_LENGTH`).
const MAX_LINE: usize = 1920;

/// Why emulators could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The kernel refuses the file system.
    #[error("the kernel refuses registrations of our own: {0}")]
    Mount(sys::Error),
    /// It refuses an emulator.
    #[error("the kernel refuses to register {program}: {source}")]
    Register {
        /// The emulator.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// An emulator to register.
#[derive(Debug, Clone)]
pub(super) struct Handler {
    pub(super) processor: &'static Processor,
    pub(super) interpreter: PathBuf,
}

/// A `binfmt_misc` of this user namespace, mounted nowhere. It lasts as long as this value.
#[derive(Debug)]
pub(super) struct Instance(OwnedFd);

impl Instance {
    /// What is registered stays while this is open.
    pub(super) fn held(&self) -> std::io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Makes it. Only in a user namespace of our own: elsewhere the registrations would be the host's.
    pub(super) fn new(handlers: &[Handler]) -> Result<Self, InstanceError> {
        let confined = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOEXEC;
        let mount = sys::mount::new("binfmt_misc", &[], confined).map_err(InstanceError::Mount)?;
        for handler in handlers {
            let failed = |source| InstanceError::Register { program: handler.interpreter.clone(), source };
            let line = line(handler, probe::qemu_version(&handler.interpreter)).ok_or_else(|| {
                failed(std::io::Error::other("its path is too long, or has a colon or a line break in it"))
            })?;
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let register = rustix::fs::openat(&mount, "register", flags, Mode::empty());
            let register = register.map_err(|errno| failed(errno.into()))?;
            rustix::io::write(&register, &line).map_err(|errno| failed(errno.into()))?;
        }
        Ok(Self(mount))
    }
}

/// The line that registers an emulator: its file held open (F), rights by the program and not by the emulator (C, O), and the
/// name by which the program was called kept (P), where qemu understands that.
fn line(handler: &Handler, version: Option<u32>) -> Option<Vec<u8>> {
    let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let (magic, mask) = (escaped(&handler.processor.magic()), escaped(&handler.processor.mask()));
    let flags = if version.is_some_and(|version| version >= TOLD_NAMES_SINCE) { "POCF" } else { "OCF" };
    let path = handler.interpreter.to_str().filter(|path| !path.contains([':', '\n', '\\']))?;
    let line = format!(":estiba-{}:M::{magic}:{mask}:{path}:{flags}", handler.processor.name);
    (line.len() <= MAX_LINE).then(|| line.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_the_kernel_reads_them() {
        let processor = Processor::of("arm64").unwrap();
        let handler = |path: &str| Handler { processor, interpreter: path.into() };
        let text = String::from_utf8(line(&handler("/usr/bin/qemu-aarch64-static"), Some(7)).unwrap()).unwrap();
        assert_eq!(
            text,
            ":estiba-arm64:M::\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00\
             :\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff\
             :/usr/bin/qemu-aarch64-static:POCF"
        );
        assert!(line(&handler("/q"), Some(5)).unwrap().ends_with(b":OCF"));
        assert_eq!(line(&handler("/a:b"), None), None);
        assert_eq!(line(&handler(&format!("/{}", "x".repeat(2000))), None), None);
    }
}
