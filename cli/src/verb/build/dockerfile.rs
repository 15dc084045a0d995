//! Which Dockerfile is meant, and its text.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use frontend::{MAX_BYTES, SourceText};
use sys::Root;

use super::context::Main;
use crate::error::{Error, Result, While};

/// The name that most files have.
const DEFAULT_NAME: &str = "Dockerfile";

/// What podman's users call it.
const OTHER_NAME: &str = "Containerfile";

/// How many other names are suggested.
const MAX_SUGGESTED: usize = 5;

/// The Dockerfile of a build.
pub(super) struct Source {
    /// Its text under the name the user knows.
    pub(super) text: SourceText,
    /// Where it is; `None` when it came from standard input.
    pub(super) path: Option<PathBuf>,
    /// The folder that COPY reads; `None` when there is none.
    pub(super) context: Option<PathBuf>,
    /// Whether somebody else wrote that folder, and the Dockerfile in it: links in it lead nowhere outside.
    pub(super) foreign: bool,
}

/// Reads the Dockerfile that the arguments mean, beside or inside the main context.
pub(super) fn read(file: Option<&Path>, main: Main) -> Result<Source> {
    let from_stdin = file == Some(Path::new("-"));
    match main {
        Main::Dockerfile(bytes) => match file.filter(|_| !from_stdin) {
            Some(file) => {
                Err(Error::usage(format!("the context is a Dockerfile itself: --file {} has no place", file.display())))
            }
            None => Ok(Source { text: text(DEFAULT_NAME, bytes)?, path: None, context: None, foreign: false }),
        },
        Main::Folder(folder) if from_stdin => {
            if io::stdin().is_terminal() {
                crate::ui::err("reading the Dockerfile from standard input; end it with Control-D\n");
            }
            let bytes = bounded(&mut io::stdin().lock()).during("read standard input")?;
            Ok(Source { text: text(DEFAULT_NAME, bytes)?, path: None, context: Some(folder), foreign: false })
        }
        Main::Folder(folder) => {
            let path = file.map_or_else(|| default_file(&folder), Path::to_path_buf);
            let bytes = read_file(&path, file.is_some())?;
            let name = path.strip_prefix("./").unwrap_or(&path).display().to_string();
            Ok(Source { text: text(&name, bytes)?, path: Some(path), context: Some(folder), foreign: false })
        }
        Main::Foreign(_) if from_stdin => {
            Err(Error::usage("--file -: of a context that is fetched or unpacked, the Dockerfile is a path in it"))
        }
        Main::Foreign(folder) => inside(folder, file),
    }
}

/// The Dockerfile of a context that somebody else wrote.
fn inside(folder: PathBuf, file: Option<&Path>) -> Result<Source> {
    let root = Root::open(&folder)?;
    let name = match file {
        Some(file) => file.strip_prefix("/").unwrap_or(file).to_path_buf(),
        None if !root.exists(DEFAULT_NAME)? && root.exists(OTHER_NAME)? => PathBuf::from(OTHER_NAME),
        None => PathBuf::from(DEFAULT_NAME),
    };
    let mut opened = root.open_regular(&name).map_err(|error| {
        let error = Error::failed(format!("{} in the context: {}", name.display(), reason(&error.errno().into())));
        error.hint("--file is a path in the context")
    })?;
    let bytes = bounded(&mut opened).during(format!("read {}", name.display()))?;
    let text = text(&name.display().to_string(), bytes)?;
    Ok(Source { text, path: Some(folder.join(name)), context: Some(folder), foreign: true })
}

fn text(name: &str, bytes: Vec<u8>) -> Result<SourceText> {
    SourceText::new(name, bytes).map_err(|found| {
        let error = Error::failed(found.message.clone());
        match found.help {
            Some(help) => error.hint(help),
            None => error,
        }
    })
}

/// `Dockerfile`, or `Containerfile` where only that is there.
fn default_file(folder: &Path) -> PathBuf {
    let usual = folder.join(DEFAULT_NAME);
    let other = folder.join(OTHER_NAME);
    if !usual.exists() && other.exists() { other } else { usual }
}

/// One byte more than is allowed, so that the frontend can say that it is too much.
fn bounded(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_file(path: &Path, asked_for: bool) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(path).map_err(|error| absent(path, asked_for, &error))?;
    if !metadata.is_file() {
        return Err(Error::failed(format!("{} is not a file", path.display())));
    }
    let mut file = File::open(path).map_err(|error| absent(path, asked_for, &error))?;
    bounded(&mut file).during(format!("read {}", path.display()))
}

/// The error for a Dockerfile that cannot be opened, with the names that are there.
fn absent(path: &Path, asked_for: bool, error: &io::Error) -> Error {
    let failed = Error::failed(format!("{}: {}", path.display(), reason(error)));
    if error.kind() != io::ErrorKind::NotFound {
        return failed;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wanted = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let names: Vec<String> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
        Err(_) => return failed.hint(format!("there is no folder {}", folder.display())),
    };
    let suggested = suggestions(&wanted, &names);
    if suggested.is_empty() {
        let hint = if asked_for {
            "--file is taken from where you are, not from the context"
        } else {
            "write one, or name another with `-f FILE`"
        };
        return failed.hint(hint);
    }
    let list: Vec<_> = suggested.iter().map(|name| format!("-f {}", folder.join(name).display())).collect();
    failed.hint(format!("did you mean {}?", list.join(" or ")))
}

fn suggestions<'a>(wanted: &str, names: &'a [String]) -> Vec<&'a str> {
    let mut list = crate::near::ranked(wanted, names.iter().map(String::as_str));
    let related = |name: &&String| {
        let lower = name.to_lowercase();
        (lower.contains("dockerfile") || lower.contains("containerfile")) && !lower.ends_with(".dockerignore")
    };
    let mut others: Vec<&str> =
        names.iter().filter(related).map(String::as_str).filter(|name| !list.contains(name)).collect();
    others.sort_unstable();
    list.extend(others);
    list.truncate(MAX_SUGGESTED);
    list
}

/// An I/O error without Rust's "(os error 2)".
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_first() {
        let names =
            ["src", "Dockerfile.dev", "Dockerfle", "app.Dockerfile", "Dockerfile.dockerignore"].map(str::to_owned);
        assert_eq!(suggestions("Dockerfile", &names), ["Dockerfle", "Dockerfile.dev", "app.Dockerfile"]);
    }
}
