//! The folders a build reads, with their ignore rules.

use std::path::{Path, PathBuf};

use builder::LocalContext;
use frontend::NamedContext;
use graph::pattern::IgnoreRules;

use super::Args;
use super::dockerfile::Source;
use crate::error::{Error, Result, While};

/// What is built, and what COPY and FROM may read.
#[derive(Debug, clap::Args)]
pub(super) struct ContextArgs {
    /// The folder that COPY and ADD read; `-` takes a Dockerfile from standard input and no folder
    #[arg(value_name = "CONTEXT")]
    pub(super) context: String,
    /// The Dockerfile [default: CONTEXT/Dockerfile]; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Another folder or image for COPY --from, FROM and mounts: a path, docker-image://NAME or oci-layout://DIR
    #[arg(long = "build-context", value_name = "NAME=PLACE")]
    pub(super) build_contexts: Vec<String>,
}

/// The main context's name in the graph.
const MAIN: &str = "context";

/// The longest ignore file that is read: a rule a line, a hundred thousand lines.
const MAX_IGNORE_FILE: u64 = 8 << 20;

/// Every folder that the arguments name.
pub(super) fn all(args: &Args, source: &Source) -> Result<Vec<LocalContext>> {
    let mut contexts = vec![main(source)?];
    for (name, place) in named(args)? {
        if let Place::Folder(dir) = place {
            let rules = rules_of(&dir.join(".dockerignore"))?.unwrap_or_default();
            contexts.push(LocalContext { name, dir: absolute(&dir)?, rules });
        }
    }
    Ok(contexts)
}

/// What is left out of the main context.
pub(super) fn ignored(_args: &Args, source: &Source) -> Result<IgnoreRules> {
    match source.context {
        Some(_) => Ok(main(source)?.rules),
        None => Ok(IgnoreRules::none()),
    }
}

fn main(source: &Source) -> Result<LocalContext> {
    let Some(dir) = &source.context else {
        // No context: the root folder with everything left out is empty wherever we are.
        let rules = IgnoreRules::parse("**")?;
        return Ok(LocalContext { name: MAIN.to_owned(), dir: PathBuf::from("/"), rules });
    };
    let own = match &source.path {
        Some(path) => rules_of(&ignore_beside(path))?,
        None => None,
    };
    let rules = match own {
        Some(rules) => rules,
        None => rules_of(&dir.join(".dockerignore"))?.unwrap_or_default(),
    };
    Ok(LocalContext { name: MAIN.to_owned(), dir: absolute(dir)?, rules })
}

/// `<Dockerfile>.dockerignore`.
fn ignore_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".dockerignore");
    PathBuf::from(name)
}

fn rules_of(path: &Path) -> Result<Option<IgnoreRules>> {
    let size = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::from(error).context(path.display())),
    };
    if size > MAX_IGNORE_FILE {
        return Err(Error::failed(format!(
            "{} is {size} bytes long; {MAX_IGNORE_FILE} are read at most",
            path.display()
        )));
    }
    let bytes = std::fs::read(path).during(path.display())?;
    let text = String::from_utf8(bytes).map_err(|_| Error::failed(format!("{} is not text", path.display())))?;
    Ok(Some(IgnoreRules::parse(&text).during(path.display())?))
}

fn absolute(dir: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(dir).during(format!("context {}", dir.display()))
}

/// What a `--build-context` stands for.
pub(super) enum Place {
    /// A folder of the host.
    Folder(PathBuf),
    /// An image.
    Image(String),
}

/// The `--build-context` options, by name.
pub(super) fn named(args: &Args) -> Result<Vec<(String, Place)>> {
    let one = |written: &String| {
        let Some((name, place)) = written.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Error::usage(format!("--build-context {written}: expected NAME=PLACE")));
        };
        Ok((name.to_owned(), place_of(name, place)?))
    };
    args.context.build_contexts.iter().map(one).collect()
}

fn place_of(name: &str, place: &str) -> Result<Place> {
    if place.starts_with("docker-image://") || place.starts_with(crate::resolve::LAYOUT) {
        return Ok(Place::Image(place.to_owned()));
    }
    if place.contains("://") {
        return Err(Error::later(
            &format!("--build-context {name}={place}: a context at a URL"),
            "download it, and give the folder",
        ));
    }
    let dir = PathBuf::from(place);
    if !dir.is_dir() {
        return Err(Error::failed(format!("--build-context {name}={place}: there is no such folder")));
    }
    Ok(Place::Folder(dir))
}

/// The same, as the frontend wants to know it.
pub(super) fn for_frontend(args: &Args) -> Result<std::collections::BTreeMap<String, NamedContext>> {
    let named = named(args)?.into_iter().map(|(name, place)| match place {
        Place::Folder(_) => (name, NamedContext::Directory),
        Place::Image(reference) => (name, NamedContext::Image(reference)),
    });
    Ok(named.collect())
}
