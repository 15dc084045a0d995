//! Layers whose files can be fetched one by one: eStargz, and zstd:chunked.
//!
//! Both are ordinary streams of gzip members or zstd frames in which each file's content begins one of its own (large
//! files have one a MiB), with a table of contents at the end that says where. Readers that know it fetch what they
//! need; all others read the stream as any other.
//!
//! - **eStargz** puts the table into the tar, as a last entry behind the archive's end, so that the stream is another
//!   one and has another DiffId. Specification: stargz-snapshotter, docs/estargz.md.
//! - **zstd:chunked** puts it, and the tar split that gives the tar back, into skippable frames: the stream is what it
//!   was. Specification: containers/storage, docs/containers-storage-zstd-chunked.md.
//!
//! The bytes depend on content and level alone, and all cores make them.

mod crc64;
mod estargz;
mod parts;
mod record;
mod scan;
mod tar_split;
mod zstd_chunked;

use std::collections::BTreeMap;
use std::io::{self, Write};

use oci::DiffId;

use self::parts::{DeflateParts, FrameParts, Parts};
use self::record::Record;
use self::scan::{Event, Scanner};
use self::tar_split::TarSplit;
use crate::{frames, gzip};

/// The two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkedForm {
    /// Of gzip members.
    Estargz,
    /// Of zstd frames.
    Zstd,
}

/// What a finished layer says of itself in its descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// Annotations by which readers find and verify the table of contents.
    pub annotations: BTreeMap<String, String>,
    /// The DiffId of the stream and its length, where it is not that of the tar.
    pub stream: Option<(DiffId, u64)>,
}

/// Why a tar cannot be written so.
#[derive(Debug, thiserror::Error)]
pub enum ChunkedError {
    /// It is no tar that we read.
    #[error(transparent)]
    Read(#[from] crate::ReadError),
    /// A table of contents is JSON.
    #[error("`{0}`: a name that is not UTF-8 cannot stand in a table of contents: use gzip or zstd")]
    Name(String),
    /// What follows a header is not the file.
    #[error("`{0}` is stored sparsely, which a table of contents cannot say: use gzip or zstd")]
    Sparse(String),
    /// It has been made already.
    #[error("`{0}` is the name of a table of contents: the layer has one already")]
    Reserved(String),
    /// It stops where more must come.
    #[error("the tar ends within `{0}`")]
    Truncated(String),
    /// The stream cannot be written.
    #[error("{0}")]
    Write(#[from] io::Error),
}

impl From<ChunkedError> for io::Error {
    fn from(error: ChunkedError) -> io::Error {
        match error {
            ChunkedError::Write(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// Compresses the tar that is written to it. Without [`Chunked::finish`] the stream has no end.
#[derive(Debug)]
pub struct Chunked<W: Write> {
    scanner: Scanner,
    maker: Maker<W>,
}

/// What becomes of what the scanner finds.
#[derive(Debug)]
struct Maker<W: Write> {
    stream: Stream<W>,
    records: Vec<Record>,
    /// The whole stream's digest: of eStargz.
    hasher: Option<oci::Hasher>,
    /// Of zstd:chunked.
    split: Option<TarSplit>,
    level: i32,
}

#[derive(Debug)]
enum Stream<W: Write> {
    Gzip(Parts<W, DeflateParts>),
    Zstd(Parts<W, FrameParts>),
}

impl<W: Write> Chunked<W> {
    /// Writes such a form into `inner`, at `level` as its compression counts them or its usual one, on all cores.
    pub fn new(form: ChunkedForm, inner: W, level: Option<i32>) -> io::Result<Chunked<W>> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Chunked::on(cores, form, inner, level)
    }

    /// As [`Chunked::new`], in so many threads (a few at most).
    pub fn on(threads: usize, form: ChunkedForm, inner: W, level: Option<i32>) -> io::Result<Chunked<W>> {
        let maker = match form {
            ChunkedForm::Estargz => {
                let level = level.unwrap_or(gzip::LEVEL).clamp(0, gzip::BEST);
                let parts = Parts::new(inner, threads.min(gzip::THREADS), level, DeflateParts::new);
                let hasher = Some(oci::Hasher::sha256());
                Maker { stream: Stream::Gzip(parts), records: Vec::new(), hasher, split: None, level }
            }
            ChunkedForm::Zstd => {
                let level = level.unwrap_or(frames::LEVEL);
                let parts = Parts::new(inner, threads.min(frames::THREADS), level, FrameParts::new);
                let split = Some(TarSplit::new()?);
                Maker { stream: Stream::Zstd(parts), records: Vec::new(), hasher: None, split, level }
            }
        };
        Ok(Chunked { scanner: Scanner::new(form == ChunkedForm::Estargz), maker })
    }

    /// Writes the table of contents and the end; gives the writer back.
    pub fn finish(mut self) -> Result<(W, Contents), ChunkedError> {
        self.scanner.finish()?;
        let Maker { stream, records, hasher, split, level } = self.maker;
        match stream {
            Stream::Gzip(parts) => {
                let (inner, ends) = parts.finish()?;
                Ok(estargz::finish(inner, &ends, records, hasher.unwrap_or_else(oci::Hasher::sha256), level)?)
            }
            Stream::Zstd(parts) => {
                let (inner, ends) = parts.finish()?;
                let split = match split {
                    Some(split) => split,
                    None => TarSplit::new()?,
                };
                Ok(zstd_chunked::finish(inner, &ends, records, split, level)?)
            }
        }
    }
}

impl<W: Write> Write for Chunked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let maker = &mut self.maker;
        self.scanner.feed(bytes, &mut |event| maker.take(event))?;
        if let Some(hasher) = &mut maker.hasher {
            hasher.update(bytes);
        }
        Ok(bytes.len())
    }

    /// What is not a part yet stays: where parts end depends on the content alone.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Maker<W> {
    fn take(&mut self, event: Event<'_>) -> Result<(), ChunkedError> {
        match event {
            Event::Raw(bytes) => {
                self.write(bytes)?;
                if let Some(split) = &mut self.split {
                    split.raw(bytes)?;
                }
            }
            Event::Entry(record) => {
                if let Some(split) = &mut self.split {
                    split.file(&record)?;
                }
                self.records.push(*record);
            }
            Event::Chunk => {
                let part = self.cut()?;
                if let Some(record) = self.records.last_mut() {
                    record.parts.push(part);
                }
            }
            Event::Content(bytes) => {
                self.write(bytes)?;
                if let Some(split) = &mut self.split {
                    split.content(bytes);
                }
            }
            Event::Digests { whole, chunks } => {
                if let Some(record) = self.records.last_mut() {
                    (record.digest, record.chunks) = (Some(whole), chunks);
                }
                if let Some(split) = &mut self.split {
                    split.end_of_content()?;
                }
                // In eStargz, what follows a file belongs to its member; here a file's frames hold the file alone.
                if matches!(self.stream, Stream::Zstd(_)) {
                    let end = self.cut()?;
                    if let Some(record) = self.records.last_mut() {
                        record.end = end;
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Gzip(parts) => parts.write(bytes),
            Stream::Zstd(parts) => parts.write(bytes),
        }
    }

    /// Begins a part; gives its number.
    fn cut(&mut self) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Gzip(parts) => parts.cut(),
            Stream::Zstd(parts) => parts.cut(),
        }
    }
}

#[cfg(test)]
mod tests;
