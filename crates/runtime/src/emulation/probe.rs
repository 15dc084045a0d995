//! Trying whether programs run, and looking at those that would run them.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::processor::Processor;

/// How much of a program is read: its headers stand at its beginning.
const HEAD: u64 = 4096;

/// How often a program that is still open for writing is tried.
const BUSY: usize = 20;
/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// Whether the smallest program of a processor runs. It is written into `dir`, which must allow that, and removed.
pub(super) fn runs(processor: &Processor, dir: &Path) -> bool {
    let path = dir.join(format!(".runs-{}-{}", processor.name, std::process::id()));
    let wrote = File::options()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(&path)
        .and_then(|mut file| file.write_all(&processor.program()));
    let ran = wrote.is_ok() && executes(&path);
    // Nothing is lost with it.
    let _ = fs::remove_file(&path);
    ran
}

fn executes(path: &Path) -> bool {
    for _ in 0..BUSY {
        let mut command = Command::new(path);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
            // A child of another thread's still has what we wrote open.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::sleep(PAUSE),
            other => return other.is_ok_and(|status| status.success()),
        }
    }
    false
}

/// Whether a program of this machine needs no library. What is no program is not one.
pub(super) fn is_static(path: &Path) -> bool {
    let executable = fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    executable && read.is_ok() && has_no_loader(&head) == Some(true)
}

/// Whether the headers of a 64-bit program of this machine's byte order name no loader (`PT_INTERP`).
fn has_no_loader(head: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    if head.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let eight = |at: usize| Some(u64::from_ne_bytes(head.get(at..at.checked_add(8)?)?.try_into().ok()?));
    let four = |at: usize| Some(u32::from_ne_bytes(head.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let two = |at: usize| Some(u16::from_ne_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let (start, size, count) = (usize::try_from(eight(32)?).ok()?, usize::from(two(54)?), usize::from(two(56)?));
    let kinds: Option<Vec<u32>> =
        (0..count).map(|number| four(start.checked_add(number.checked_mul(size)?)?)).collect();
    Some(!kinds?.contains(&PT_INTERP))
}

/// The first number of the version that qemu says.
pub(super) fn qemu_version(program: &Path) -> Option<u32> {
    let said = Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let (_, rest) = text.split_once(" version ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_this_processor_run() {
        let dir = tempfile::tempdir().unwrap();
        let own = Processor::of(&oci::Platform::host().architecture).unwrap();
        assert!(runs(own, dir.path()));
        assert_eq!(has_no_loader(&own.program()), Some(true));
        assert!(!runs(own, &dir.path().join("nowhere")));
    }

    #[test]
    fn every_processors_program_ends_well_under_its_emulator() {
        let dir = tempfile::tempdir().unwrap();
        for processor in &super::super::processor::ALL {
            let Some(qemu) = fixtures::qemu(processor.qemu_name) else { return };
            let path = dir.path().join(processor.name);
            fs::write(&path, processor.program()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let status = Command::new(&qemu).arg(&path).status().unwrap();
            assert!(status.success(), "{}: {status}", processor.name);
            assert!(is_static(&qemu), "{}", qemu.display());
            assert!(qemu_version(&qemu).is_some_and(|version| version >= 5), "{}", qemu.display());
        }
    }

    #[test]
    fn what_is_no_program_is_not_static() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        assert!(!is_static(&path));
        assert!(!is_static(dir.path()));
        // A table of headers that lies elsewhere.
        let mut torn = Processor::of("arm64").unwrap().program();
        torn[32..40].fill(0xff);
        assert_eq!(has_no_loader(&torn), None);
    }
}
