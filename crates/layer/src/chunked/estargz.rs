//! The end of an eStargz stream: a tar of its own with the table of contents, and a footer of 51 bytes that says where
//! it begins.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oci::{DiffId, Digest, Hasher, Timestamp};
use serde::Serialize;

use super::Contents;
use super::parts::{PART, begin};
use super::record::Record;
use crate::gzip::Deflate;
use crate::{Entry as TarEntry, Kind, TarWriter};

/// The name of the table in the tar.
pub(super) const TABLE: &str = "stargz.index.json";

/// The digest of the table, by which a snapshotter verifies the rest.
const TOC_DIGEST: &str = "containerd.io/snapshot/stargz/toc.digest";
const UNCOMPRESSED_SIZE: &str = "io.containers.estargz.uncompressed-size";

#[derive(Serialize)]
struct Table {
    version: u32,
    entries: Vec<Entry>,
}

/// Names and omissions are those of the format: what is zero or empty is left out.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    modtime: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
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
    // A size of zero says that the chunk goes to the file's end.
    let last = extents.len().saturating_sub(1);
    let size = |number: usize, length: u64| if number == last { 0 } else { length };
    let digest = |number: usize| record.chunks.get(number).copied().or(record.digest);
    let name = record.name.clone();
    let further: Vec<Entry> = extents
        .iter()
        .enumerate()
        .skip(1)
        .map(|(number, (offset, length))| Entry {
            kind: "chunk",
            name: name.clone(),
            offset: begin(ends, record.parts[number]),
            chunk_offset: *offset,
            chunk_size: size(number, *length),
            chunk_digest: digest(number),
            ..Entry::default()
        })
        .collect();
    let (seconds, _) = record.times.modified;
    let mut all = vec![Entry {
        kind,
        offset: record.parts.first().map_or(0, |part| begin(ends, *part)),
        chunk_size: extents.first().map_or(0, |(_, length)| size(0, *length)),
        chunk_digest: if extents.is_empty() { None } else { digest(0) },
        digest: if kind == "reg" { record.digest.or_else(|| Some(Digest::sha256(b""))) } else { None },
        modtime: Some(Timestamp::from_unix(seconds, 0)),
        size: record.size,
        link_name: record.link,
        mode: record.mode,
        uid: record.uid.into(),
        gid: record.gid.into(),
        dev_major: record.rdev.0.into(),
        dev_minor: record.rdev.1.into(),
        xattrs: record.xattrs.iter().map(|(name, value)| (name.clone(), BASE64_STANDARD.encode(value))).collect(),
        name: record.name,
        ..Entry::default()
    }];
    all.extend(further);
    all
}

/// Writes the end of the stream.
pub(super) fn finish<W: Write>(
    mut inner: W,
    ends: &[u64],
    records: Vec<Record>,
    mut hasher: Hasher,
    level: i32,
) -> io::Result<(W, Contents)> {
    let offset = ends.last().copied().unwrap_or(0);
    let entries = records.into_iter().flat_map(|record| entries(record, ends)).collect();
    let table = serde_json::to_vec(&Table { version: 1, entries }).map_err(io::Error::from)?;
    let digest = Digest::sha256(&table);
    let mut entry = TarEntry::new(TABLE, Kind::File);
    entry.size = table.len() as u64;
    let mut tar = TarWriter::new(Vec::with_capacity(table.len() + 4096));
    let written = tar.append(&entry, &mut &table[..]).and_then(|_| tar.finish());
    let tar = written.map_err(io::Error::other)?;
    hasher.update(&tar);
    let mut deflate = Deflate::new(level);
    let mut member = Vec::new();
    for piece in tar.chunks(PART) {
        member.clear();
        deflate.member(piece, &mut member);
        inner.write_all(&member)?;
    }
    inner.write_all(&footer(offset))?;
    let size = hasher.size();
    let annotations =
        BTreeMap::from([(TOC_DIGEST.to_owned(), digest.to_string()), (UNCOMPRESSED_SIZE.to_owned(), size.to_string())]);
    Ok((inner, Contents { annotations, stream: Some((DiffId::new(hasher.finish()), size)) }))
}

/// An empty member whose extra field tells where the table begins.
fn footer(offset: u64) -> Vec<u8> {
    let field = format!("{offset:016x}STARGZ");
    // No name, no time, of no machine; 26 bytes of extra field, one subfield of 22.
    let mut footer = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 26, 0, b'S', b'G', 22, 0];
    footer.extend_from_slice(field.as_bytes());
    // One stored block of nothing, the last; CRC-32 and length of nothing.
    footer.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    footer.extend_from_slice(&[0; 8]);
    footer
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_footer_has_its_size() {
        assert_eq!(super::footer(0x1234).len(), 51);
    }
}
