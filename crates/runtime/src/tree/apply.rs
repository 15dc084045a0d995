//! From a tar to a tree.

use std::io::Read;

use layer::{Chunk, Entry, Limits, ReadError, Recorder, TarEntryReader, TarReader, WhiteoutNames};
use sys::Root;

use super::IdPolicy;
use super::allowance::Allowance;
use super::fill::{Filler, SMALL};
use super::special::name;
use super::writer::{Finished, TreeWriter};

/// What deletions become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whiteouts {
    /// overlayfs' own marks: the tree is that of one layer.
    #[default]
    Overlay,
    /// The path goes away: the tree is a whole file system, to which layers are applied one after another.
    Remove,
}

/// What happens where the directory part of a path leads through a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkParents {
    /// It is followed, never out of the tree: what layers of other tools rely on.
    #[default]
    Follow,
    /// It is an error.
    Refuse,
}

/// How a tar is applied.
#[derive(Debug, Default)]
pub struct ApplyOptions {
    /// Where owners go.
    pub ids: IdPolicy,
    /// What deletions become.
    pub whiteouts: Whiteouts,
    /// What names with `.wh.` mean.
    pub names: WhiteoutNames,
    /// What a link in the directory part of a path means.
    pub links: LinkParents,
    /// What the archive may hold.
    pub limits: Limits,
    /// The trees below, nearest first: a directory that the tar implies but doesn't hold takes its attributes from them.
    pub lowers: Vec<Root>,
    /// Who is asked before files are written.
    pub allowance: Allowance,
}

/// What was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Entries, deletions included.
    pub entries: u64,
    /// Bytes of file content, holes included.
    pub bytes: u64,
    /// Device nodes that the kernel refused, and that an empty file with an attribute stands for.
    pub recorded_nodes: u64,
    /// Attributes that could not be kept in any form.
    pub refused_xattrs: u64,
}

/// Why a tar cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The archive is damaged, hostile, or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The compression is unknown to us or damaged.
    #[error(transparent)]
    Compression(#[from] layer::CompressionError),
    /// Whoever is asked for room refused.
    #[error(transparent)]
    Room(std::io::Error),
    /// The record of the tar could not be written.
    #[error("write tar split: {0}")]
    Split(#[source] std::io::Error),
    /// The tree could not be written.
    #[error("unpack {path}: {source}")]
    Write {
        /// Path in the layer.
        path: String,
        /// The call that failed.
        source: sys::Error,
    },
}

/// Applies an uncompressed tar to the directory `into`, and reads it to the end of the stream.
///
/// Whatever the archive holds, nothing outside `into` is touched, no link is followed out of it, and memory stays
/// bounded. On an error the tree is left half-written: it belongs to a caller who throws it away.
pub fn apply(tar: impl Read, into: &Root, options: &ApplyOptions) -> Result<Applied, ApplyError> {
    apply_recorded(tar, into, options, ()).map(|(applied, _, ())| applied)
}

/// As [`apply`], and shows `recorder` what a tree doesn't hold.
pub(super) fn apply_recorded<S: Recorder>(
    tar: impl Read,
    into: &Root,
    options: &ApplyOptions,
    recorder: S,
) -> Result<(Applied, Finished, S), ApplyError> {
    let mut reader = TarReader::new(tar).recording(recorder).limits(options.limits).whiteout_names(options.names);
    let failed = |source| ApplyError::Write { path: String::new(), source };
    let mut writer = TreeWriter::new(into, options).map_err(failed)?;
    let mut applied = Applied::default();
    let refused = std::thread::scope(|scope| {
        let mut filler = Filler::new(scope, writer.rules(), &options.allowance);
        while let Some((entry, content)) = reader.next_entry()? {
            applied.entries += 1;
            applied.bytes += entry.size;
            write(entry, content, &mut writer, &mut filler, &options.allowance)?;
        }
        filler.finish()
    })?;
    let finished = writer.finish().map_err(failed)?;
    applied.recorded_nodes = finished.recorded_nodes;
    applied.refused_xattrs = finished.refused_xattrs + refused;
    let (_, recorder) = reader.finish_recorded()?;
    Ok((applied, finished, recorder))
}

/// Makes one entry; the content of a small file is left to `filler`.
fn write<R: Read, S: Recorder>(
    entry: Entry,
    mut content: TarEntryReader<'_, R, S>,
    writer: &mut TreeWriter<'_>,
    filler: &mut Filler<'_, '_>,
    allowance: &Allowance,
) -> Result<(), ApplyError> {
    let failed = |entry: &Entry, source| ApplyError::Write { path: shown(&entry.path), source };
    let Some(mut file) = writer.place(&entry).map_err(|source| failed(&entry, source))? else {
        return Ok(());
    };
    if entry.size <= SMALL && content.extents().is_empty() {
        let mut length = 0;
        while let Some(chunk) = content.next_chunk()? {
            if let Chunk::Data(bytes) = chunk {
                filler.content(bytes);
                length += bytes.len();
            }
        }
        let (file, set_mode) = writer.take_file(file, &entry).map_err(|source| failed(&entry, source))?;
        return filler.file(file, entry, set_mode, length);
    }
    while let Some(chunk) = content.next_chunk()? {
        if let Chunk::Data(bytes) = &chunk {
            allowance.ask(bytes.len()).map_err(ApplyError::Room)?;
        }
        let written = match chunk {
            Chunk::Hole(length) => file.content.hole(length),
            Chunk::Data(bytes) => file.content.write(bytes),
        };
        written.map_err(|error| failed(&entry, sys::Error::from_io("write", name(&entry.path), &error)))?;
    }
    writer.finish_file(file, &entry).map_err(|source| failed(&entry, source))
}

/// A path for an error message, with what a terminal would obey made visible.
pub(super) fn shown(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}
