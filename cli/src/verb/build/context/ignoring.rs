//! Which ignore file counts, and what it says.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use graph::pattern::IgnoreRules;
use sys::Root;

use crate::error::{Error, Result, While};

/// The longest ignore file that is read: a rule a line, a hundred thousand lines.
const MAX_IGNORE_FILE: u64 = 8 << 20;

/// The usual name.
const USUAL: &str = ".dockerignore";

/// An ignore file that was found.
pub(crate) struct Found {
    /// Where.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// What it says.
    pub(crate) rules: IgnoreRules,
}

/// The ignore file of the main context `dir`: the one that was named, else that beside the Dockerfile, else the context's own.
/// `foreign`: the folder was written by somebody else, whose links lead nowhere outside.
pub(crate) fn of_main(
    dir: &Path,
    dockerfile: Option<&Path>,
    named: Option<&Path>,
    foreign: bool,
) -> Result<Option<Found>> {
    if let Some(named) = named {
        let found = read(named, open(named)?)?;
        return found
            .map(Some)
            .ok_or_else(|| Error::failed(format!("--ignorefile {}: there is no such file", named.display())));
    }
    let inside = foreign.then_some(dir);
    if let Some(dockerfile) = dockerfile
        && let Some(own) = find(&beside(dockerfile), inside)?
    {
        return Ok(Some(own));
    }
    find(&dir.join(USUAL), inside)
}

/// What the ignore file of a named context says.
pub(super) fn of_folder(dir: &Path) -> Result<IgnoreRules> {
    Ok(find(&dir.join(USUAL), None)?.map(|found| found.rules).unwrap_or_default())
}

/// `<Dockerfile>.dockerignore`.
fn beside(dockerfile: &Path) -> PathBuf {
    let mut name = dockerfile.as_os_str().to_owned();
    name.push(USUAL);
    PathBuf::from(name)
}

fn find(path: &Path, inside: Option<&Path>) -> Result<Option<Found>> {
    let file = match inside {
        Some(dir) => {
            let below = path.strip_prefix(dir).unwrap_or(path);
            Root::open(dir)?.open_regular(below).ok()
        }
        None => open(path)?,
    };
    read(path, file)
}

fn open(path: &Path) -> Result<Option<File>> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => File::open(path).map(Some).during(path.display()),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::from(error).context(path.display())),
    }
}

fn read(path: &Path, file: Option<File>) -> Result<Option<Found>> {
    let Some(file) = file else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(MAX_IGNORE_FILE + 1).read_to_end(&mut bytes).during(path.display())?;
    if bytes.len() as u64 > MAX_IGNORE_FILE {
        return Err(Error::failed(format!("{}: {MAX_IGNORE_FILE} bytes are read at most", path.display())));
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::failed(format!("{} is not text", path.display())))?;
    let rules = IgnoreRules::parse(&text).during(path.display())?;
    Ok(Some(Found { path: path.to_path_buf(), text, rules }))
}
