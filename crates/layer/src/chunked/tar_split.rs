//! The tar split that containers/storage reads: one JSON object a line for each run of raw bytes and each entry, in one
//! zstd stream. Format: vbatts/tar-split, `tar/storage`.

use std::io::{self, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oci::Digest;
use zstd::stream::write::Encoder;

use super::crc64::Crc64;
use super::record::Record;

/// Headers of tars shrink at any level.
const LEVEL: i32 = 3;
/// Raw bytes are written in runs of this size at most.
const RUN: usize = 256 * 1024;

/// A split in the making.
pub(super) struct TarSplit {
    encoder: Encoder<'static, Vec<u8>>,
    raw: Vec<u8>,
    position: u64,
    uncompressed: u64,
    crc: Crc64,
    /// The entry whose content is read.
    open: Option<(String, u64)>,
}

/// A finished split.
pub(super) struct Split {
    pub(super) bytes: Vec<u8>,
    pub(super) uncompressed: u64,
    pub(super) digest: Digest,
}

impl std::fmt::Debug for TarSplit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TarSplit").field("position", &self.position).finish_non_exhaustive()
    }
}

impl TarSplit {
    pub(super) fn new() -> io::Result<TarSplit> {
        let encoder = Encoder::new(Vec::new(), LEVEL)?;
        Ok(TarSplit { encoder, raw: Vec::new(), position: 0, uncompressed: 0, crc: Crc64::default(), open: None })
    }

    /// Bytes that are no content.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw.extend_from_slice(bytes);
        if self.raw.len() >= RUN { self.settle() } else { Ok(()) }
    }

    /// An entry whose headers were raw bytes.
    pub(super) fn file(&mut self, record: &Record) -> io::Result<()> {
        self.settle()?;
        match record.size {
            0 => self.entry(&record.name, 0, None),
            size => {
                self.crc = Crc64::default();
                self.open = Some((record.name.clone(), size));
                Ok(())
            }
        }
    }

    pub(super) fn content(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
    }

    pub(super) fn end_of_content(&mut self) -> io::Result<()> {
        match self.open.take() {
            Some((name, size)) => {
                let sum = BASE64_STANDARD.encode(self.crc.bytes());
                self.entry(&name, size, Some(&sum))
            }
            None => Ok(()),
        }
    }

    fn entry(&mut self, name: &str, size: u64, sum: Option<&str>) -> io::Result<()> {
        let mut fields = serde_json::json!({ "type": 1, "name": name, "payload": sum, "position": self.position });
        if size > 0 {
            fields["size"] = size.into();
        }
        self.line(&fields)
    }

    fn settle(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let payload = BASE64_STANDARD.encode(&self.raw);
        self.raw.clear();
        self.line(&serde_json::json!({ "type": 2, "payload": payload, "position": self.position }))
    }

    fn line(&mut self, fields: &serde_json::Value) -> io::Result<()> {
        let mut line = serde_json::to_vec(fields).map_err(io::Error::from)?;
        line.push(b'\n');
        self.position += 1;
        self.uncompressed += line.len() as u64;
        self.encoder.write_all(&line)
    }

    pub(super) fn finish(mut self) -> io::Result<Split> {
        self.settle()?;
        let bytes = self.encoder.finish()?;
        let digest = Digest::sha256(&bytes);
        Ok(Split { bytes, uncompressed: self.uncompressed, digest })
    }
}
