//! Why files could not be written, in words that name what was meant.

use std::io;
use std::path::Path;

use runtime::tree::BuildError;
use runtime::tree::view::ViewError;

use crate::context::ContextError;

/// Why files could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The build context.
    #[error("{source}{}", near.as_ref().map_or_else(String::new, |near| format!(": did you mean {near:?}?")))]
    Context {
        /// Why.
        source: ContextError,
        /// What is there under a name like the one that is not.
        near: Option<String>,
    },
    /// The tree written onto cannot be read.
    #[error("read the target: {0}")]
    Target(#[source] ViewError),
    /// A tree copied from cannot be read.
    #[error("read the source: {0}")]
    Source(#[source] ViewError),
    /// A file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A source without wildcards is not there.
    #[error("{path:?} does not exist{}", near.as_ref().map_or_else(String::new, |near| format!(": did you mean {near:?}?")))]
    NotFound {
        /// What was named.
        path: String,
        /// What is there under a name like it.
        near: Option<String>,
    },
    /// No source selects anything.
    #[error("nothing matches {}{}", patterns.join(" "), near.as_ref().map_or_else(String::new, |near| format!(": did you mean {near:?}?")))]
    NothingMatches {
        /// The sources.
        patterns: Vec<String>,
        /// What is there under a name like one of them.
        near: Option<String>,
    },
    /// A pattern is not well formed.
    #[error(transparent)]
    Pattern(graph::pattern::PatternError),
    /// Links that lead to one another.
    #[error("too many symbolic links in {path}")]
    LinkLoop {
        /// Where.
        path: String,
    },
    /// A directory is needed where something else stands.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// Where.
        path: String,
    },
    /// A directory over something else.
    #[error("cannot copy the directory {from} over {path}, which is not one")]
    DirOverFile {
        /// The source.
        from: String,
        /// Where.
        path: String,
    },
    /// Something else over a directory.
    #[error("cannot replace the directory {path} with the file {from}")]
    FileOverDir {
        /// The source.
        from: String,
        /// Where.
        path: String,
    },
    /// Two sources, one of them a directory, for one place.
    #[error("{first} and {second} both go to {dest}, and only one of them is a directory")]
    Conflict {
        /// The earlier source.
        first: String,
        /// The later one.
        second: String,
        /// Where both go.
        dest: String,
    },
    /// Several files to what is no directory.
    #[error("several files are copied to {dest}, so it must be a directory and end with a slash")]
    SeveralToOne {
        /// The destination.
        dest: String,
    },
    /// `--chown` names nobody.
    #[error("unable to find {what} {name:?}: no such entry in {file} of the target")]
    NoSuchOwner {
        /// `user` or `group`.
        what: &'static str,
        /// As written.
        name: String,
        /// The file looked into.
        file: &'static str,
    },
    /// An archive that ADD unpacks is damaged or hostile.
    #[error("unpack {path}: {source}")]
    Archive {
        /// The archive.
        path: String,
        /// What is wrong with it.
        source: layer::ReadError,
    },
    /// An archive links to what it does not hold.
    #[error("unpack {path}: {name} is a hard link to {link}, which is not there")]
    DanglingLink {
        /// The archive.
        path: String,
        /// The entry.
        name: String,
        /// What it names.
        link: String,
    },
    /// Making the layer failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An archive says that it holds more than there is room for.
    #[error("{path}: its files claim {claimed} bytes, and {free} are free on the disk of the store")]
    TooLarge {
        /// The archive.
        path: String,
        /// What it claims so far.
        claimed: u64,
        /// What is free.
        free: u64,
    },
    /// A scratch file failed.
    #[error("scratch file: {0}")]
    Spool(#[source] io::Error),
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl From<ContextError> for FileError {
    /// Of a source that is not there, looks for one that was meant.
    fn from(source: ContextError) -> Self {
        let ContextError::NotFound { path, context } = &source else { return Self::Context { source, near: None } };
        let path = Path::new(path.trim_start_matches('/'));
        let parent = path.parent().unwrap_or(Path::new(""));
        // Only for a hint: the folder is the caller's own, and what cannot be listed gives none.
        let names = std::fs::read_dir(context.join(parent)).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let near = path.file_name().and_then(|name| near(&name.to_string_lossy(), names));
        let near = near.map(|near| parent.join(near).to_string_lossy().into_owned());
        Self::Context { source, near }
    }
}

impl FileError {
    pub(super) fn target(error: ViewError) -> Self {
        Self::Target(error)
    }

    pub(super) fn source_tree(error: ViewError) -> Self {
        Self::Source(error)
    }
}

/// The name most like `name`, if one is near.
pub(super) fn near(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let limit = (name.chars().count() / 3).max(1);
    let distance = |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    names
        .map(|other| (distance(&other), other))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, other)| other)
}
