//! Finding the program inside, and saying what is wrong with it before the kernel says less.

use std::ffi::CString;
use std::io::Read;

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::StartError;

/// Where programs are looked for when the environment doesn't say.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// As much of a file as its first line or its ELF interpreter is looked for in; the kernel reads 256 for the former.
const HEAD: usize = 1024;
const PT_INTERP: u32 = 3;

/// The path of `program` as seen from here, inside, by who will execute it.
pub(super) fn find(program: &str, path: &str) -> Result<String, StartError> {
    if program.contains('/') {
        return match executable(program) {
            Ok(()) => check_interpreter(program).map(|()| program.to_owned()),
            Err(Errno::NOENT) => Err(StartError::NotFound { program: program.to_owned(), searched: false }),
            Err(errno) => Err(not_executable(program, errno)),
        };
    }
    let mut refused = None;
    for dir in path.split(':').filter(|_| !program.is_empty()) {
        let candidate = format!("{}/{program}", if dir.is_empty() { "." } else { dir });
        match executable(&candidate) {
            Ok(()) => return check_interpreter(&candidate).map(|()| candidate),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => refused = refused.or(Some(not_executable(&candidate, errno))),
        }
    }
    Err(refused.unwrap_or_else(|| StartError::NotFound { program: program.to_owned(), searched: true }))
}

fn not_executable(program: &str, errno: Errno) -> StartError {
    StartError::NotExecutable { program: program.to_owned(), errno: errno.raw_os_error() }
}

fn executable(path: &str) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS),
        FileType::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::ACCESS),
    }
}

/// The kernel says ENOENT of a program whose interpreter is missing; we say which interpreter.
fn check_interpreter(path: &str) -> Result<(), StartError> {
    let mut head = [0; HEAD];
    // What can't be read can still be executed: then the kernel has the last word.
    let Ok(fd) = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()) else {
        return Ok(());
    };
    let length = std::fs::File::from(fd).read(&mut head).unwrap_or(0);
    match interpreter(&head[..length]) {
        Some(name) if rustix::fs::stat(name.as_str()).err() == Some(Errno::NOENT) => {
            Err(StartError::NoInterpreter { program: path.to_owned(), interpreter: name })
        }
        _ => Ok(()),
    }
}

/// What a script's first line or an ELF file's header names.
fn interpreter(head: &[u8]) -> Option<String> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let text = std::str::from_utf8(line).ok()?;
        // A carriage return is part of the name, as the kernel sees it; that is the point of saying it.
        return text.trim_start_matches([' ', '\t']).split([' ', '\t']).next().map(str::to_owned);
    }
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let u16_at = |at: usize| Some(usize::from(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?)));
    let u64_at = |at: usize| usize::try_from(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?)).ok();
    let (table, size, count) = (u64_at(32)?, u16_at(54)?, u16_at(56)?);
    for row in 0..count {
        let at = table.checked_add(row.checked_mul(size)?)?;
        if u32::from_le_bytes(head.get(at..at.checked_add(4)?)?.try_into().ok()?) == PT_INTERP {
            let start = u64_at(at + 8)?;
            let name = head.get(start..start.checked_add(u64_at(at + 32)?)?)?;
            return std::str::from_utf8(name.strip_suffix(b"\0")?).ok().map(str::to_owned);
        }
    }
    None
}

/// The errno that the trampoline reported, in words.
pub(super) fn exec_failed(program: &str, errno: i32) -> StartError {
    match Errno::from_raw_os_error(errno) {
        Errno::NOENT => StartError::NotFound { program: program.to_owned(), searched: false },
        other => not_executable(program, other),
    }
}

/// Strings for exec; one with a null byte inside is an error.
pub(super) fn c_strings<I: IntoIterator<Item = String>>(strings: I) -> Result<Vec<CString>, StartError> {
    let convert = |text: String| {
        CString::new(text).map_err(|error| {
            let text = String::from_utf8_lossy(&error.into_vec()).into_owned();
            StartError::Invalid(format!("null byte in {text:?}"))
        })
    };
    strings.into_iter().map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_interpreters() {
        assert_eq!(interpreter(b"#! /bin/sh -e\nx").as_deref(), Some("/bin/sh"));
        assert_eq!(interpreter(b"#!/bin/sh\r\n").as_deref(), Some("/bin/sh\r"));
        assert_eq!(interpreter(b"hello"), None);
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(interpreter(&own[..HEAD]).is_some_and(|name| name.contains("ld")));
        for cut in 0..HEAD {
            let _ = interpreter(&own[..cut]);
        }
    }

    #[test]
    fn each_failure_has_docker_s_code() {
        assert_eq!(find("no-such-program", DEFAULT_PATH).unwrap_err().exit_code(), 127);
        assert_eq!(find("/etc/passwd", DEFAULT_PATH).unwrap_err().exit_code(), 126);
        assert_eq!(find("/etc", DEFAULT_PATH).unwrap_err().exit_code(), 126);
        assert_eq!(find("/no/such", DEFAULT_PATH).unwrap_err().exit_code(), 127);
        assert!(find("sh", DEFAULT_PATH).unwrap().ends_with("/sh"));
    }
}
