//! Which Dockerfile is meant, and its text.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use frontend::{MAX_BYTES, SourceText};

use super::Args;
use crate::error::{Error, Result, While};

/// The name that most files have.
const DEFAULT_NAME: &str = "Dockerfile";

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
}

/// Reads the Dockerfile that the arguments mean.
pub(super) fn read(args: &Args) -> Result<Source> {
    let context = context_folder(&args.context.context)?;
    let from_stdin = context.is_none() || args.context.file.as_deref() == Some(Path::new("-"));
    let (name, bytes, path) = if from_stdin {
        if let (None, Some(file)) = (&context, args.context.file.as_deref().filter(|file| *file != Path::new("-"))) {
            return Err(Error::usage(format!(
                "context `-` takes the Dockerfile from standard input: --file {} has no place",
                file.display()
            )));
        }
        (DEFAULT_NAME.to_owned(), from_standard_input()?, None)
    } else {
        let folder = context.clone().unwrap_or_default();
        let path = args.context.file.clone().unwrap_or_else(|| default_file(&folder));
        let bytes = read_file(&path, args.context.file.is_some())?;
        (path.strip_prefix("./").unwrap_or(&path).display().to_string(), bytes, Some(path))
    };
    let text = SourceText::new(name, bytes).map_err(|found| {
        let error = Error::failed(found.message.clone());
        match found.help {
            Some(help) => error.hint(help),
            None => error,
        }
    })?;
    Ok(Source { text, path, context })
}

/// `Dockerfile`, or `Containerfile` where only that is there.
fn default_file(folder: &Path) -> PathBuf {
    let usual = folder.join(DEFAULT_NAME);
    let other = folder.join("Containerfile");
    if !usual.exists() && other.exists() { other } else { usual }
}

fn context_folder(written: &str) -> Result<Option<PathBuf>> {
    if written == "-" {
        return Ok(None);
    }
    let path = PathBuf::from(written);
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Ok(Some(path)),
        Ok(_) => Err(Error::failed(format!("context `{written}` is not a folder"))
            .hint(format!("`estiba build -f {written} FOLDER` builds a Dockerfile that has another name"))),
        Err(_) if is_remote(written) => {
            Err(Error::later(&format!("a context at a URL (`{written}`)"), "clone or download it, and give the folder"))
        }
        Err(error) => Err(Error::failed(format!("context `{written}`: {}", reason(&error)))),
    }
}

fn is_remote(written: &str) -> bool {
    ["http://", "https://", "git://", "git@", "ssh://", "github.com/"].iter().any(|start| written.starts_with(start))
}

fn from_standard_input() -> Result<Vec<u8>> {
    if io::stdin().is_terminal() {
        crate::ui::err("reading the Dockerfile from standard input; end it with Control-D\n");
    }
    let bytes = bounded(&mut io::stdin().lock()).during("read standard input")?;
    if looks_like_archive(&bytes) {
        return Err(Error::later("a context as a tar on standard input", "unpack it, and give the folder"));
    }
    Ok(bytes)
}

fn looks_like_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
        || bytes.starts_with(b"BZh")
        || bytes.starts_with(&[0xfd, b'7', b'z'])
        || bytes.get(257..262) == Some(b"ustar")
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
fn reason(error: &io::Error) -> String {
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

    #[test]
    fn archives_are_recognised() {
        assert!(looks_like_archive(&[0x1f, 0x8b, 8]));
        assert!(!looks_like_archive(b"FROM scratch\n"));
    }
}
