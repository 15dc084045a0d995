//! The end of a zstd:chunked stream: three skippable frames, with the table of contents, the tar split, and where they
//! are.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oci::{Digest, Timestamp};
use serde::Serialize;

use super::Contents;
use super::parts::begin;
use super::record::Record;
use super::tar_split::TarSplit;

/// RFC 8878, 3.1.2.
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
/// Magic number and length.
const SKIPPABLE_HEADER: u64 = 8;
/// How the footer ends.
const MAGIC: &[u8; 8] = b"GNUlInUx";
/// The table's format, the only one there is.
const CRFS: u64 = 1;

const CHECKSUM: &str = "io.github.containers.zstd-chunked.manifest-checksum";
const POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
const SPLIT_POSITION: &str = "io.github.containers.zstd-chunked.tarsplit-position";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    version: u32,
    entries: Vec<Entry>,
    tar_split_digest: Digest,
}

/// Names and omissions are those of the format: what is zero or empty is left out.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    modtime: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accesstime: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changetime: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    end_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_digest: Option<Digest>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The entries of a record: one, and one more for each further part.
fn entries(record: Record, ends: &[u64]) -> Vec<Entry> {
    let kind = record.kind_name();
    let extents: Vec<_> = (0..record.parts.len()).map(|number| record.extent(number)).collect();
    let several = extents.len() > 1;
    let time = |(seconds, nanoseconds)| Timestamp::from_unix(seconds, nanoseconds);
    let name = record.name.clone();
    let mut all = vec![Entry {
        kind,
        name: record.name,
        link_name: record.link,
        mode: record.mode,
        size: record.size,
        uid: record.uid.into(),
        gid: record.gid.into(),
        modtime: Some(time(record.times.modified)),
        accesstime: record.times.accessed.map(time),
        changetime: record.times.changed.map(time),
        dev_major: record.rdev.0.into(),
        dev_minor: record.rdev.1.into(),
        xattrs: record.xattrs.iter().map(|(name, value)| (name.clone(), BASE64_STANDARD.encode(value))).collect(),
        digest: record.digest,
        offset: record.parts.first().map_or(0, |part| begin(ends, *part)),
        end_offset: if record.parts.is_empty() { 0 } else { begin(ends, record.end) },
        chunk_size: extents.first().filter(|_| several).map_or(0, |(_, length)| *length),
        chunk_offset: 0,
        chunk_digest: record.chunks.first().copied().filter(|_| several),
    }];
    for (number, (offset, length)) in extents.iter().enumerate().skip(1) {
        all.push(Entry {
            kind: "chunk",
            name: name.clone(),
            offset: begin(ends, record.parts[number]),
            chunk_size: *length,
            chunk_offset: *offset,
            chunk_digest: record.chunks.get(number).copied(),
            ..Entry::default()
        });
    }
    all
}

/// Writes the end of the stream.
pub(super) fn finish<W: Write>(
    mut inner: W,
    ends: &[u64],
    records: Vec<Record>,
    split: TarSplit,
    level: i32,
) -> io::Result<(W, Contents)> {
    let split = split.finish()?;
    let entries = records.into_iter().flat_map(|record| entries(record, ends)).collect();
    let table = Table { version: 1, entries, tar_split_digest: split.digest };
    let table = serde_json::to_vec(&table).map_err(io::Error::from)?;
    let packed = zstd::bulk::compress(&table, level)?;
    let offset = ends.last().copied().unwrap_or(0) + SKIPPABLE_HEADER;
    let split_offset = offset + packed.len() as u64 + SKIPPABLE_HEADER;
    let mut footer = Vec::with_capacity(8 * MAGIC.len());
    let position = [offset, packed.len() as u64, table.len() as u64, CRFS];
    let split_position = [split_offset, split.bytes.len() as u64, split.uncompressed];
    for number in position.iter().chain(&split_position) {
        footer.extend_from_slice(&number.to_le_bytes());
    }
    footer.extend_from_slice(MAGIC);
    for data in [&packed, &split.bytes, &footer] {
        let length = u32::try_from(data.len()).map_err(|_| io::Error::other("a table of contents of 4 GiB"))?;
        inner.write_all(&SKIPPABLE)?;
        inner.write_all(&length.to_le_bytes())?;
        inner.write_all(data)?;
    }
    let shown = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(":");
    let annotations = BTreeMap::from([
        (CHECKSUM.to_owned(), Digest::sha256(&packed).to_string()),
        (POSITION.to_owned(), shown(&position)),
        (SPLIT_POSITION.to_owned(), shown(&split_position)),
    ]);
    Ok((inner, Contents { annotations, stream: None }))
}
