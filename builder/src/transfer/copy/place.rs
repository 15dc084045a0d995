//! Places: where an image comes from or goes to, written as skopeo writes transports.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use oci::{Digest, Reference, ReferenceError};

/// Where an image is, or is to be.
///
/// ```text
/// docker://REF, REF             a registry; short names are completed as docker does
/// oci:DIR[:NAME|@DIGEST]        an OCI layout in a folder
/// oci-archive:FILE[:NAME]       an OCI layout in a tar
/// docker-archive:FILE[:REF]     what `docker save` writes
/// store:NAME                    our own store
/// ```
///
/// A path ends at its first colon, as skopeo has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A registry.
    Registry(Reference),
    /// An OCI layout in a folder.
    Layout {
        /// The folder.
        dir: PathBuf,
        /// Which image of it.
        which: Which,
    },
    /// An OCI layout in a tar.
    Archive {
        /// The file.
        file: PathBuf,
        /// Which image of it.
        which: Which,
    },
    /// What `docker save` writes.
    DockerArchive {
        /// The file.
        file: PathBuf,
        /// Which image of it.
        reference: Option<Reference>,
    },
    /// Our own store: a name, or the beginning of an id.
    Store(String),
}

/// Which image of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The only one; of a target: no name.
    Only,
    /// The one whose `org.opencontainers.image.ref.name` is this.
    Named(String),
    /// The one with this digest.
    Digest(Digest),
}

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The reference is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A path stands where a reference is expected.
    #[error("`{0}` is a path: write `oci:{0}`, `oci-archive:{0}` or `docker-archive:{0}`")]
    Path(String),
    /// Nothing stands behind the transport.
    #[error("`{transport}:` wants {wants} behind it")]
    Empty {
        /// The transport.
        transport: &'static str,
        /// What stands there.
        wants: &'static str,
    },
    /// The `//` is missing.
    #[error("`docker:{0}`: a registry is written `docker://{0}`")]
    Slashes(String),
    /// A transport of skopeo's that is not ours.
    #[error("`{transport}:` is not a place of estiba's: {instead}")]
    Foreign {
        /// The transport.
        transport: &'static str,
        /// What to use.
        instead: &'static str,
    },
    /// A name that no layout should have.
    #[error("`{0}` cannot name an image in a layout: letters, digits and `-._:@/+` do")]
    Name(String),
    /// Skopeo's way to choose by number.
    #[error("`{0}`: images of an archive are chosen by name, not by number")]
    Number(String),
}

/// Transports of skopeo's, and what serves instead.
const FOREIGN: [(&str, &str); 6] = [
    (
        "containers-storage",
        "`podman save` writes a file, which is `docker-archive:FILE`; our own store is `store:NAME`",
    ),
    ("docker-daemon", "`docker save -o FILE NAME` writes a file, which is `docker-archive:FILE`"),
    ("dir", "`oci:DIR` is a folder, too, in the form that the specification describes"),
    ("ostree", "`oci:DIR` is a folder, too"),
    ("sif", "`oci-archive:FILE` is one file, too"),
    ("tarball", "`estiba import FILE NAME` makes an image of a file tree"),
];

/// The longest name of an image in a layout: as long as a reference may be, digest included.
const LONGEST_NAME: usize = 512;

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if let Some(rest) = text.strip_prefix("oci-layout://") {
            return layout(rest);
        }
        let Some((transport, rest)) = text.split_once(':') else { return registry(text) };
        match transport {
            "docker" => match rest.strip_prefix("//") {
                Some(reference) => registry(reference),
                // An image that is called `docker`, with its tag.
                None if rest.parse::<oci::Tag>().is_ok() => registry(text),
                None => Err(PlaceError::Slashes(excerpt(rest))),
            },
            "oci" => layout(rest),
            "oci-archive" => {
                let (path, name) = split(rest);
                let file = path_of(path, "oci-archive", "a file")?;
                Ok(Self::Archive { file, which: name.map_or(Ok(Which::Only), named)? })
            }
            "docker-archive" => {
                let (path, name) = split(rest);
                let file = path_of(path, "docker-archive", "a file")?;
                if let Some(number) = name.filter(|name| name.starts_with('@')) {
                    return Err(PlaceError::Number(excerpt(number)));
                }
                Ok(Self::DockerArchive { file, reference: name.map(str::parse).transpose()? })
            }
            "store" if rest.is_empty() => Err(PlaceError::Empty { transport: "store", wants: "a name" }),
            "store" => Ok(Self::Store(rest.to_owned())),
            _ => match FOREIGN.iter().find(|(name, _)| *name == transport) {
                Some((transport, instead)) => Err(PlaceError::Foreign { transport, instead }),
                None => registry(text),
            },
        }
    }
}

fn registry(text: &str) -> Result<Place, PlaceError> {
    if text.starts_with(['/', '.', '~']) {
        return Err(PlaceError::Path(excerpt(text)));
    }
    Ok(Place::Registry(text.parse()?))
}

fn layout(rest: &str) -> Result<Place, PlaceError> {
    if let Some((path, digest)) = rest.rsplit_once('@')
        && !path.contains(':')
        && let Ok(digest) = digest.parse()
    {
        return Ok(Place::Layout { dir: path_of(path, "oci", "a folder")?, which: Which::Digest(digest) });
    }
    let (path, name) = split(rest);
    Ok(Place::Layout { dir: path_of(path, "oci", "a folder")?, which: name.map_or(Ok(Which::Only), named)? })
}

/// A path and what stands behind its colon.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((path, name)) => (path, Some(name).filter(|name| !name.is_empty())),
        None => (text, None),
    }
}

fn path_of(path: &str, transport: &'static str, wants: &'static str) -> Result<PathBuf, PlaceError> {
    if path.is_empty() { Err(PlaceError::Empty { transport, wants }) } else { Ok(PathBuf::from(path)) }
}

fn named(name: &str) -> Result<Which, PlaceError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@/+".contains(&byte);
    if name.len() > LONGEST_NAME || !name.bytes().all(allowed) {
        return Err(PlaceError::Name(excerpt(name)));
    }
    Ok(Which::Named(name.to_owned()))
}

fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

impl Place {
    /// What stands before the colon.
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Registry(_) => "docker",
            Self::Layout { .. } => "oci",
            Self::Archive { .. } => "oci-archive",
            Self::DockerArchive { .. } => "docker-archive",
            Self::Store(_) => "store",
        }
    }

    /// The digest that it names.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Registry(reference) => reference.digest(),
            Self::Layout { which: Which::Digest(digest), .. } | Self::Archive { which: Which::Digest(digest), .. } => {
                Some(digest)
            }
            Self::Layout { .. } | Self::Archive { .. } | Self::DockerArchive { .. } | Self::Store(_) => None,
        }
    }

    /// Whether `text` names its transport: `pull` and `push` take bare names for images of a registry or the store.
    pub fn is_explicit(text: &str) -> bool {
        let transports = ["docker://", "oci:", "oci-archive:", "docker-archive:", "store:", "oci-layout://"];
        let foreign = FOREIGN.iter().any(|(name, _)| text.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
        foreign || transports.iter().any(|transport| text.starts_with(transport))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::Layout { dir, which } => write!(f, "oci:{}{which}", dir.display()),
            Self::Archive { file, which } => write!(f, "oci-archive:{}{which}", file.display()),
            Self::DockerArchive { file, reference: None } => write!(f, "docker-archive:{}", file.display()),
            Self::DockerArchive { file, reference: Some(reference) } => {
                write!(f, "docker-archive:{}:{reference}", file.display())
            }
            Self::Store(name) => write!(f, "store:{name}"),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => Ok(()),
            Self::Named(name) => write!(f, ":{name}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn transports() {
        let digest = format!("oci:/a/b@sha256:{HEX}");
        for (text, shown) in [
            ("app", "docker://docker.io/library/app:latest"),
            ("docker://app:1", "docker://docker.io/library/app:1"),
            ("localhost:5000/app", "docker://localhost:5000/app:latest"),
            ("docker:dind", "docker://docker.io/library/docker:dind"),
            ("oci:dir", "oci:dir"),
            ("oci:dir:", "oci:dir"),
            ("oci:dir:v1", "oci:dir:v1"),
            ("oci:dir:docker.io/library/app:1", "oci:dir:docker.io/library/app:1"),
            (&digest, &digest),
            ("oci-layout://dir:v1", "oci:dir:v1"),
            ("oci-archive:a.tar", "oci-archive:a.tar"),
            ("oci-archive:/a.tar:x", "oci-archive:/a.tar:x"),
            ("docker-archive:a.tar", "docker-archive:a.tar"),
            ("docker-archive:a.tar:app", "docker-archive:a.tar:docker.io/library/app:latest"),
            ("store:app", "store:app"),
        ] {
            assert_eq!(text.parse::<Place>().map(|place| place.to_string()).as_deref(), Ok(shown), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_gets_a_next_step() {
        for (text, expected) in [
            ("./dir", "write `oci:./dir`"),
            ("/dir", "write `oci:/dir`"),
            ("docker:host/app", "`docker://host/app`"),
            ("oci:", "wants a folder"),
            ("oci::tag", "wants a folder"),
            ("store:", "wants a name"),
            ("oci:dir:a b", "cannot name"),
            ("docker-archive:a.tar:@1", "not by number"),
            ("docker-archive:a.tar:Upper", "lower case"),
            ("dir:/x", "`oci:DIR`"),
            ("containers-storage:app", "`podman save`"),
            ("docker-daemon:app", "`docker save"),
            ("docker://", "invalid reference"),
        ] {
            let error = text.parse::<Place>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_round_trips(
            transport in "(oci:|oci-archive:|docker-archive:|docker://|store:|dir:|)",
            text in ".{0,60}",
        ) {
            if let Ok(place) = format!("{transport}{text}").parse::<Place>() {
                prop_assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
            }
        }
    }
}
