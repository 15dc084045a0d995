//! Where the main context comes from: a folder, standard input, a repository, an address.
//!
//! What is no folder becomes one in the store. Its Dockerfile and ignore file are read within it: links that somebody else made
//! do not lead to files of this machine.

use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read};
use std::path::PathBuf;

use builder::sources;
use frontend::{GitUrl, MAX_BYTES};
use store::Store;

use crate::error::{Error, Result, While};
use crate::resolve::Resolver;

/// The name of a file that is fetched as a context, as BuildKit has it.
const FETCHED: &str = "context";

/// Where the main context comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A folder of the host.
    Folder(PathBuf),
    /// Standard input: an archive, or a Dockerfile alone.
    Stdin,
    /// A repository.
    Git(GitUrl),
    /// A file of the web: an archive, or a Dockerfile alone.
    Web(String),
}

/// The main context, at hand.
#[derive(Debug)]
pub(crate) enum Main {
    /// A folder of the host.
    Folder(PathBuf),
    /// A folder of the store, with what somebody else wrote.
    Foreign(PathBuf),
    /// No context: the Dockerfile's bytes.
    Dockerfile(Vec<u8>),
}

impl Origin {
    /// What the argument means. A folder that is there wins over what else its name might be.
    pub(crate) fn of(written: &str) -> Result<Self> {
        if written == "-" {
            return Ok(Self::Stdin);
        }
        let path = PathBuf::from(written);
        let error = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => return Ok(Self::Folder(path)),
            Ok(_) => {
                return Err(Error::failed(format!("context `{written}` is not a folder"))
                    .hint(format!("`estiba build -f {written} FOLDER` builds a Dockerfile that has another name")));
            }
            Err(error) => error,
        };
        if let Some(url) = GitUrl::parse_context(written) {
            let shown = frontend::git_url::shown_url(written);
            return url.map(Self::Git).map_err(|error| Error::usage(format!("context `{shown}`: {error}")));
        }
        if written.starts_with("http://") || written.starts_with("https://") {
            return Ok(Self::Web(written.to_owned()));
        }
        Err(Error::failed(format!("context `{written}`: {}", super::super::dockerfile::reason(&error))))
    }

    /// Whether it is a folder, for which no store is needed.
    pub(crate) fn folder(&self) -> Option<Main> {
        match self {
            Self::Folder(path) => Some(Main::Folder(path.clone())),
            Self::Stdin | Self::Git(_) | Self::Web(_) => None,
        }
    }

    /// Brings it here. `keep_git_dir`: `.git` stays.
    pub(crate) fn bring(&self, resolver: &mut Resolver<'_>, store: &Store, keep_git_dir: bool) -> Result<Main> {
        match self {
            Self::Folder(path) => Ok(Main::Folder(path.clone())),
            Self::Stdin => from_standard_input(store),
            Self::Git(url) => Ok(Main::Foreign(resolver.checkout_of(url, keep_git_dir)?)),
            Self::Web(url) => {
                let path = resolver.file_of(url, FETCHED)?.join(FETCHED);
                let mut file = File::open(&path).during(path.display())?;
                let shown = frontend::git_url::shown_url(url);
                main_of(store, &mut file).during(format!("context {shown}"))
            }
        }
    }
}

fn from_standard_input(store: &Store) -> Result<Main> {
    if io::stdin().is_terminal() {
        crate::ui::err("reading the Dockerfile from standard input; end it with Control-D\n");
    }
    main_of(store, &mut io::stdin()).during("the context on standard input")
}

/// An archive becomes a folder; anything else is a Dockerfile.
fn main_of(store: &Store, input: &mut (dyn Read + Send)) -> Result<Main> {
    let mut start = Vec::new();
    input.take(sources::ENOUGH as u64).read_to_end(&mut start).during("read")?;
    if sources::is_archive(&start) {
        return Ok(Main::Foreign(sources::unpack(store, Box::new(Cursor::new(start).chain(input)))?));
    }
    // One byte more than is allowed, so that the frontend can say that it is too much.
    input.take((MAX_BYTES + 1).saturating_sub(start.len()) as u64).read_to_end(&mut start).during("read")?;
    Ok(Main::Dockerfile(start))
}
