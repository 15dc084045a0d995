//! Entries to tar bytes, in exactly one way.
//!
//! POSIX ustar where an entry fits it, with one PAX extended header before it where not. Whole seconds, no names of
//! users, no device of origin: equal entries give equal bytes on every machine.

use std::io::{self, Read, Write};

use crate::entry::is_private_xattr;
use crate::header::{self, BLOCK, BLOCK_SIZE, Block, MAX_ID, MAX_LONG};
use crate::plan::{is_normal, shown};
use crate::read::MAX_EXTENDED;
use crate::{Entry, Kind, pax, whiteout};

/// How much of a file is held at a time.
const CHUNK: usize = 256 * 1024;

/// Why an entry cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The archive could not be written.
    #[error("write tar: {0}")]
    Write(#[source] io::Error),
    /// A file's content could not be read.
    #[error("read {path}: {source}")]
    Content {
        /// Path in the layer.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A path that is absolute, empty, too long, or has a `..` part.
    #[error("`{0}` cannot be a path in a layer")]
    Path(String),
    /// A name that every reader would take for a deletion.
    #[error("`{0}` has a name that begins with `.wh.`, which a layer can only hold as a deletion")]
    Reserved(String),
    /// A field that the kind of entry doesn't have, or that no format holds.
    #[error("`{path}`: invalid {what}")]
    Field {
        /// Path in the layer.
        path: String,
        /// Which one.
        what: &'static str,
    },
    /// The content has another length than was announced: it changed while it was read.
    #[error("`{path}` changed while it was read: {found} instead of {expected} bytes")]
    Changed {
        /// Path in the layer.
        path: String,
        /// Announced.
        expected: u64,
        /// Seen, when it was noticed.
        found: u64,
    },
    /// A header was asked for before the content of the entry before was complete.
    #[error("`{0}`: the content of the entry before it is not complete")]
    Incomplete(String),
}

/// Writes the canonical tar of the entries that it is given.
///
/// Nothing is buffered: each header, chunk and padding is one write. Order is the caller's ([`Entry::order`]).
#[derive(Debug)]
pub struct TarWriter<W> {
    inner: W,
    position: u64,
    /// Content that the entry begun still lacks.
    missing: u64,
    buffer: Vec<u8>,
}

impl<W: Write> TarWriter<W> {
    /// Writes an uncompressed tar to `inner`.
    pub fn new(inner: W) -> TarWriter<W> {
        TarWriter { inner, position: 0, missing: 0, buffer: Vec::new() }
    }

    /// Writes an entry and its content, which must have exactly `entry.size` bytes. Says where the content lies.
    pub fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<u64, WriteError> {
        let offset = self.begin(entry)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(CHUNK, 0);
        let copied = copy_exactly(entry, content, &mut buffer, |bytes| self.data(bytes));
        self.buffer = buffer;
        copied.map(|()| offset)
    }

    /// Writes the header of an entry. Its `entry.size` bytes must follow by [`TarWriter::data`] before the next one.
    pub fn begin(&mut self, entry: &Entry) -> Result<u64, WriteError> {
        if self.missing > 0 {
            return Err(WriteError::Incomplete(shown(&entry.path)));
        }
        let mut bytes = Vec::with_capacity(BLOCK);
        headers(entry, &mut bytes)?;
        self.put(&bytes)?;
        self.missing = entry.size;
        Ok(self.position)
    }

    /// Writes content of the entry begun, and after its last byte the padding.
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let length = bytes.len() as u64;
        if length > self.missing {
            return Err(WriteError::Write(io::Error::new(io::ErrorKind::InvalidInput, "more content than announced")));
        }
        self.put(bytes)?;
        self.missing -= length;
        if self.missing == 0 {
            self.put(padding(self.position))?;
        }
        Ok(())
    }

    /// How many bytes were written.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The writer below, for what it knows of itself.
    pub fn inner_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Writes the end of the archive.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if self.missing > 0 {
            return Err(WriteError::Incomplete("the end".into()));
        }
        self.put(&[0; 2 * BLOCK])?;
        Ok(self.inner)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.inner.write_all(bytes).map_err(WriteError::Write)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// The zeros between `position` and the next whole block.
fn padding(position: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let over = (position % BLOCK_SIZE) as usize;
    if over == 0 { &[] } else { &ZEROS[over..] }
}

/// Copies a file's content through `buffer` into `sink`, and makes sure that it has the announced size: not less, and,
/// as far as reads with room to spare show it, not more.
pub fn copy_exactly<E: From<WriteError>>(
    entry: &Entry,
    content: &mut dyn Read,
    buffer: &mut [u8],
    mut sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut left = entry.size;
    while left > 0 {
        let count = match content.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(WriteError::Content { path: shown(&entry.path), source }.into()),
        };
        if count == 0 || count as u64 > left {
            let found = entry.size - left + count as u64;
            return Err(WriteError::Changed { path: shown(&entry.path), expected: entry.size, found }.into());
        }
        sink(&buffer[..count])?;
        left -= count as u64;
    }
    Ok(())
}

/// The header block of an entry, with an extended header before it where one is needed.
fn headers(entry: &Entry, out: &mut Vec<u8>) -> Result<(), WriteError> {
    check(entry)?;
    let bare;
    let entry = match entry.kind.is_deletion() {
        true => {
            // A deletion has no owner and no time, whatever its entry says.
            bare = Entry::new(entry.path.clone(), entry.kind);
            &bare
        }
        false => entry,
    };
    let path = archive_path(entry);
    let mut block = Block::new(type_flag(entry.kind));
    let mut records = pax::Builder::default();
    let path_fits = block.path(&path);
    let link_fits = block.text(header::LINK, &entry.link);
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    if (!path_fits && !text(&path)) || (!link_fits && !text(&entry.link)) {
        records.push(b"hdrcharset", b"BINARY");
    }
    if !path_fits {
        block.text(header::NAME, &path[..path.len().min(100)]);
        records.push(b"path", &path);
    }
    if !link_fits {
        records.push(b"linkpath", &entry.link);
    }
    numbers(entry, &mut block, &mut records);
    for (name, value) in entry.xattrs.iter().filter(|(name, _)| !is_private_xattr(name)) {
        records.push(&pax::encode_key(name), value);
    }
    if records.0.len() > MAX_EXTENDED {
        return Err(WriteError::Field { path: shown(&entry.path), what: "extended attributes: more than 1 MiB" });
    }
    if !records.0.is_empty() {
        extended(&path, &records.0, out);
    }
    out.extend_from_slice(&block.sealed());
    Ok(())
}

/// The numbers of an entry: in the header where they fit, else as a record and zero in the header.
fn numbers(entry: &Entry, block: &mut Block, records: &mut pax::Builder) {
    let mut field = |field, value: i128, most: u64, key: &[u8]| match u64::try_from(value) {
        Ok(value) if value <= most => block.number(field, value),
        _ => {
            block.number(field, 0);
            records.push(key, value.to_string().as_bytes());
        }
    };
    field(header::UID, entry.uid.into(), MAX_ID.into(), b"uid");
    field(header::GID, entry.gid.into(), MAX_ID.into(), b"gid");
    field(header::SIZE, entry.size.into(), MAX_LONG, b"size");
    field(header::MTIME, entry.mtime.into(), MAX_LONG, b"mtime");
    block.number(header::MODE, entry.mode.into());
    block.number(header::MAJOR, entry.rdev.0.into());
    block.number(header::MINOR, entry.rdev.1.into());
}

fn extended(path: &[u8], records: &[u8], out: &mut Vec<u8>) {
    let mut block = Block::new(b'x');
    block.text(header::NAME, &header::extended_name(path));
    for field in [header::UID, header::GID, header::MTIME, header::MAJOR, header::MINOR] {
        block.number(field, 0);
    }
    block.number(header::MODE, 0o644);
    block.number(header::SIZE, records.len() as u64);
    out.extend_from_slice(&block.sealed());
    out.extend_from_slice(records);
    out.extend_from_slice(padding(records.len() as u64));
}

fn type_flag(kind: Kind) -> u8 {
    match kind {
        Kind::File | Kind::Whiteout | Kind::Opaque => b'0',
        Kind::Hardlink => b'1',
        Kind::Symlink => b'2',
        Kind::Char => b'3',
        Kind::Block => b'4',
        Kind::Dir => b'5',
        Kind::Fifo => b'6',
    }
}

fn archive_path(entry: &Entry) -> Vec<u8> {
    match entry.kind {
        Kind::Whiteout => whiteout::whiteout_path(&entry.path),
        Kind::Opaque => whiteout::opaque_path(&entry.path),
        Kind::Dir => [&entry.path, &b"/"[..]].concat(),
        Kind::File | Kind::Symlink | Kind::Hardlink | Kind::Char | Kind::Block | Kind::Fifo => entry.path.clone(),
    }
}

/// What no tar could hold, or what a reader would take for something else.
fn check(entry: &Entry) -> Result<(), WriteError> {
    if !is_normal(&entry.path) {
        return Err(WriteError::Path(shown(&entry.path)));
    }
    if whiteout::is_reserved(&entry.path) {
        return Err(WriteError::Reserved(shown(&entry.path)));
    }
    let is_link = matches!(entry.kind, Kind::Symlink | Kind::Hardlink);
    let is_device = matches!(entry.kind, Kind::Char | Kind::Block);
    let link_ok = match entry.kind {
        Kind::Hardlink => is_normal(&entry.link) && entry.link != entry.path,
        _ => is_link != entry.link.is_empty() && !entry.link.contains(&0),
    };
    let name_ok = |name: &Vec<u8>| !name.is_empty() && name.len() <= 255 && !name.contains(&0);
    let checks = [
        (entry.mode <= 0o7777, "mode"),
        (entry.kind == Kind::File || entry.size == 0, "size"),
        (link_ok, "link target"),
        (is_device || entry.rdev == (0, 0), "device number"),
        (entry.rdev.0 <= MAX_ID && entry.rdev.1 <= MAX_ID, "device number"),
        (i64::try_from(entry.size).is_ok(), "size"),
        (entry.xattrs.keys().all(name_ok), "extended attribute"),
    ];
    match checks.iter().find(|(ok, _)| !ok) {
        Some((_, what)) => Err(WriteError::Field { path: shown(&entry.path), what }),
        None => Ok(()),
    }
}
