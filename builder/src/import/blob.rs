//! A stream becomes a blob, and if it is a layer, its header record and DiffId come out of the same pass.

use std::io::{self, Read};
use std::sync::Arc;

use layer::{Compression, Toc};
use oci::{DiffId, Digest, HashingReader, media_type};
use store::{BlobWriter, Blobs, Expected, Store};

use super::{ImportError, Result};

/// One read of what a scan left over.
const CHUNK: usize = 128 * 1024;
/// The longest magic number that [`Compression::detect`] looks for.
const MAGIC: u64 = 6;

/// A stored blob.
#[derive(Debug, Clone)]
pub(super) struct Ingested {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// What it is as a layer, or why it is none.
    layer: std::result::Result<Scanned, String>,
}

/// A layer, read.
#[derive(Debug, Clone)]
pub(super) struct Scanned {
    pub(super) diff_id: DiffId,
    /// Bytes of the uncompressed tar.
    pub(super) size: u64,
    pub(super) toc: Arc<Toc>,
    compression: Compression,
}

impl Ingested {
    pub(super) fn scanned(&self) -> Result<&Scanned> {
        self.layer.as_ref().map_err(|reason| ImportError::NotALayer { layer: self.digest, reason: reason.clone() })
    }
}

impl Scanned {
    /// The media type of the blob by its bytes, whatever a manifest calls it.
    pub(super) fn media_type(&self) -> &'static str {
        match self.compression {
            Compression::Gzip => media_type::OCI_LAYER_GZIP,
            Compression::Zstd => media_type::OCI_LAYER_ZSTD,
            // The others are stored uncompressed, as no media type names them.
            Compression::None | Compression::Bzip2 | Compression::Xz => media_type::OCI_LAYER,
        }
    }
}

/// Stores a stream. With `expected`, its bytes are kept as they are; without, a compression that images cannot name is
/// taken off.
pub(super) fn ingest(
    store: &Store,
    stream: &mut (dyn Read + Send),
    name: &str,
    expected: Option<Expected>,
) -> Result<Ingested> {
    let failed = |source: io::Error| failure(name, source);
    let mut start = Vec::new();
    stream.take(MAGIC).read_to_end(&mut start).map_err(failed)?;
    let compression = Compression::detect(&start);
    let mut whole = io::Cursor::new(start).chain(stream);
    if expected.is_none() && matches!(compression, Compression::Bzip2 | Compression::Xz) {
        let mut plain = compression.decoder(Box::new(whole)).map_err(|error| failed(io::Error::other(error)))?;
        return store_and_scan(store, &mut *plain, name, Compression::None, Expected::any());
    }
    store_and_scan(store, &mut whole, name, compression, expected.unwrap_or_default())
}

fn store_and_scan(
    store: &Store,
    mut raw: &mut (dyn Read + Send),
    name: &str,
    compression: Compression,
    expected: Expected,
) -> Result<Ingested> {
    let mut writer = store.blobs().writer()?;
    let scanned = scan(Tee { raw: &mut raw, writer: &mut writer }, compression);
    // What the scan left: a tar's tail, or all of a blob that is no layer.
    let mut buffer = vec![0; CHUNK];
    loop {
        match raw.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => writer.push(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failure(name, error)),
        }
    }
    let (digest, size) = writer.commit(expected)?;
    let layer = scanned.map(|(toc, plain)| {
        let (diff_id, size) = plain.unwrap_or((digest, size));
        Scanned { diff_id: DiffId::new(diff_id), size, toc: Arc::new(toc), compression }
    });
    Ok(Ingested { digest, size, layer })
}

type Plain = Option<(Digest, u64)>;

/// Reads a layer's entries; of a compressed one, also hashes the uncompressed bytes.
fn scan(tee: Tee<'_>, compression: Compression) -> std::result::Result<(Toc, Plain), String> {
    if compression == Compression::None {
        let toc = Toc::scan(tee).map_err(|error| error.to_string())?;
        return Ok((toc, None));
    }
    let plain = compression.decoder(Box::new(tee)).map_err(|error| error.to_string())?;
    let mut hashing = HashingReader::new(plain);
    let toc = Toc::scan(&mut hashing).map_err(|error| error.to_string())?;
    let (_, digest, size) = hashing.finish();
    Ok((toc, Some((digest, size))))
}

/// Errors of the store that went through a reader come out as themselves.
pub(super) fn failure(name: &str, source: io::Error) -> ImportError {
    match source.downcast::<store::blobs::Error>() {
        Ok(error) => error.into(),
        Err(source) => ImportError::Stream { name: name.to_owned(), source },
    }
}

/// Writes what it reads.
struct Tee<'a> {
    raw: &'a mut (dyn Read + Send),
    writer: &'a mut BlobWriter,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(buffer)?;
        self.writer.push(&buffer[..count])?;
        Ok(count)
    }
}
