//! Tools for an image that has none: a static busybox of this machine, else this machine's own programs through its own
//! loader. They are mounted at a side path and are no part of the image.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use runtime::container::{Mount, Source};

use crate::error::{Result, While};

/// Where they are inside.
pub(super) const FOLDER: &str = "/run/estiba/tools";

/// Where this machine's own folders are inside.
const HOST: &str = "/run/estiba/host";

/// Where a busybox may be.
const BUSYBOXES: [&str; 5] =
    ["/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox", "/bin/busybox-static", "/usr/bin/busybox.static"];

/// Loaders, by processor.
const LOADERS: [&str; 3] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-x86_64.so.1"];

/// Programs of this machine that are worth having, where no busybox is.
const PROGRAMS: [&str; 24] = [
    "bash", "sh", "ls", "cat", "grep", "sed", "find", "ps", "env", "id", "stat", "strace", "ldd", "file", "head",
    "tail", "less", "vi", "nano", "curl", "df", "du", "mount", "od",
];

/// Tools that were found.
pub(super) enum Tools {
    /// A folder with a busybox and a link for each of its programs.
    Busybox(PathBuf),
    /// This machine's own programs.
    Host(Host),
}

/// This machine's programs, as they are started inside.
pub(super) struct Host {
    scripts: PathBuf,
    /// Folders that are mounted.
    folders: Vec<&'static str>,
    loader: String,
    shell: String,
    /// Names, and the words that start them.
    starts: Vec<(&'static str, String)>,
}

/// Looks for tools, and lays them out in `scratch`.
pub(super) fn find(scratch: &Path) -> Result<Option<Tools>> {
    fs::create_dir_all(scratch).during("make a folder for tools")?;
    let named = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&named).map(|folder| folder.join("busybox"));
    let busybox = BUSYBOXES.iter().map(PathBuf::from).chain(on_path).find(|path| is_static(path));
    if let Some(busybox) = busybox {
        fs::copy(&busybox, scratch.join("busybox")).during("copy busybox")?;
        let list = Command::new(&busybox).arg("--list").output().during("ask busybox for its programs")?;
        for name in
            String::from_utf8_lossy(&list.stdout).lines().filter(|name| !name.contains('/') && *name != "busybox")
        {
            // A program that is there already is as good.
            drop(symlink("busybox", scratch.join(name)));
        }
        return Ok(Some(Tools::Busybox(scratch.to_path_buf())));
    }
    host(scratch)
}

/// Whether a file is a program that needs no other file: an ELF without an interpreter.
fn is_static(path: &Path) -> bool {
    let mut head = Vec::new();
    let Ok(file) = fs::File::open(path) else { return false };
    if file.take(4096).read_to_end(&mut head).is_err() || !head.starts_with(b"\x7fELF\x02\x01") || head.len() < 64 {
        return false;
    }
    let number =
        |at: usize, bytes: usize| head[at..at + bytes].iter().rev().fold(0_usize, |sum, b| sum << 8 | *b as usize);
    // Of the program headers: where they are, how large, how many. Type 3 names an interpreter.
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).all(|at| {
        let start = table.saturating_add(at * size);
        start + 4 <= head.len() && number(start, 4) != 3
    })
}

/// Where a file of this machine really is: what a link says would mean another place inside.
fn real(path: &str) -> Option<String> {
    fs::canonicalize(path).ok()?.into_os_string().into_string().ok()
}

fn host(scratch: &Path) -> Result<Option<Tools>> {
    let Some(loader) = LOADERS.into_iter().find_map(real) else { return Ok(None) };
    let Some(shell) = ["/bin/bash", "/bin/sh"].into_iter().find_map(real) else { return Ok(None) };
    let is_folder = |path: &&str| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let folders: Vec<&str> = ["/usr", "/lib", "/lib64", "/bin"].into_iter().filter(is_folder).collect();
    let mut starts = Vec::new();
    for name in PROGRAMS {
        let Some(program) = ["/usr/bin/", "/bin/"].into_iter().find_map(|folder| real(&format!("{folder}{name}")))
        else {
            continue;
        };
        let start = format!("{} {HOST}{program} \"$@\"", start_words(&loader).join(" "));
        // For an image that has a shell; where it has none, the shell of this machine knows them as functions.
        let path = scratch.join(name);
        fs::write(&path, format!("#!/bin/sh\nexec {start}\n")).during("write a script")?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).during("chmod a script")?;
        starts.push((name, start));
    }
    Ok(Some(Tools::Host(Host { scripts: scratch.to_path_buf(), folders, loader, shell, starts })))
}

/// How this machine's programs are started inside.
fn start_words(loader: &str) -> Vec<String> {
    let libraries = ["/lib", "/usr/lib", "/lib64", "/usr/lib64"]
        .iter()
        .flat_map(|folder| [format!("{HOST}{folder}/{}-linux-gnu", std::env::consts::ARCH), format!("{HOST}{folder}")])
        .collect::<Vec<_>>();
    vec![format!("{HOST}{loader}"), "--library-path".to_owned(), libraries.join(":")]
}

impl Tools {
    /// The words that start a shell of theirs.
    pub(super) fn shell(&self) -> Vec<String> {
        match self {
            Self::Busybox(_) => vec![format!("{FOLDER}/busybox"), "sh".to_owned()],
            Self::Host(host) => {
                start_words(&host.loader).into_iter().chain([format!("{HOST}{}", host.shell)]).collect()
            }
        }
    }

    /// Variables that make this machine's bash know them, where the image has no shell that could read scripts.
    pub(super) fn functions(&self) -> Vec<(String, String)> {
        match self {
            Self::Host(host) if host.shell.ends_with("bash") => host
                .starts
                .iter()
                .filter(|(name, _)| !matches!(*name, "bash" | "sh"))
                .map(|(name, start)| (format!("BASH_FUNC_{name}%%"), format!("() {{ {start}; }}")))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// What to tell of them.
    pub(super) fn note(&self) -> String {
        match self {
            Self::Busybox(_) => format!("busybox's tools are in {FOLDER}, at the end of PATH"),
            Self::Host(_) => format!("this machine's tools are in {FOLDER}, at the end of PATH"),
        }
    }

    /// What to mount.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        let read_only = |target: String, path: PathBuf| Mount {
            target,
            source: Source::Path { path, recursive: false },
            readonly: true,
        };
        match self {
            Self::Busybox(folder) => vec![read_only(FOLDER.to_owned(), folder.clone())],
            Self::Host(host) => host
                .folders
                .iter()
                .map(|folder| read_only(format!("{HOST}{folder}"), PathBuf::from(folder)))
                .chain([read_only(FOLDER.to_owned(), host.scripts.clone())])
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_need_nothing_are_told() {
        assert!(!is_static(Path::new("/etc/passwd")));
        assert!(!is_static(Path::new("/nothing")));
        // Every Debian has a dynamic one.
        assert!(!is_static(Path::new("/usr/bin/env")) || cfg!(target_env = "musl"));
    }
}
