//! Whatever an entry holds survives; whatever bytes come, the reader answers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::io::{Read, Write};

use estiba_layer::{Compression, Entry, Kind, Piece, SplitReader, SplitWriter, TarReader, TarWriter, Toc};
use proptest::prelude::*;

/// A name of one part: any bytes but NUL and slash, and nothing that means something.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => prop::char::range('a', 'z').prop_map(|c| c as u8), 1 => 1..=255_u8];
    prop::collection::vec(byte, 1..120)
        .prop_map(|bytes| bytes.into_iter().filter(|byte| *byte != b'/').collect::<Vec<_>>())
        .prop_filter("a name", |part| !matches!(&part[..], b"" | b"." | b"..") && !part.starts_with(b".wh."))
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(part(), 1..4).prop_map(|parts| parts.join(&b'/'))
}

fn xattrs() -> impl Strategy<Value = BTreeMap<Vec<u8>, Vec<u8>>> {
    let name = prop_oneof![
        Just(b"security.capability".to_vec()),
        Just(b"user.a=b%3D".to_vec()),
        part().prop_map(|part| [b"user.x", &part[..]].concat()),
    ];
    prop::collection::btree_map(name, prop::collection::vec(any::<u8>(), 0..60), 0..3)
}

fn numbers() -> impl Strategy<Value = (u32, u32, u32, i64)> {
    let id = prop_oneof![0..10_u32, 2_097_150..2_097_154_u32, Just(u32::MAX)];
    let time = prop_oneof![-5..5_i64, (1_i64 << 33) - 2..(1 << 33) + 2, any::<i32>().prop_map(i64::from)];
    (0..0o10000_u32, id.clone(), id, time)
}

fn entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let kinds = prop::sample::select(vec![
        Kind::File,
        Kind::File,
        Kind::Dir,
        Kind::Symlink,
        Kind::Hardlink,
        Kind::Char,
        Kind::Block,
        Kind::Fifo,
        Kind::Whiteout,
        Kind::Opaque,
    ]);
    let content = prop::collection::vec(any::<u8>(), 0..1500);
    (kinds, path(), path(), numbers(), xattrs(), content, (0..5000_u32, 0..2_000_000_u32)).prop_map(
        |(kind, path, link, (mode, uid, gid, mtime), xattrs, content, rdev)| {
            let mut entry = Entry::new(path, kind);
            if kind.is_deletion() {
                return (entry, Vec::new());
            }
            (entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs) = (mode, uid, gid, mtime, xattrs);
            match kind {
                Kind::Symlink => entry.link = link,
                Kind::Hardlink => entry.link = [&entry.path, &b"-first"[..]].concat(),
                Kind::Char | Kind::Block => entry.rdev = rdev,
                Kind::File => entry.size = content.len() as u64,
                _ => {}
            }
            let content = if kind == Kind::File { content } else { Vec::new() };
            (entry, content)
        },
    )
}

fn write(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &mut &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let mut reader = TarReader::new(bytes);
    let mut found = Vec::new();
    while let Some((entry, mut content)) = reader.next_entry().unwrap() {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).unwrap();
        found.push((entry, bytes));
    }
    reader.finish().unwrap();
    found
}

/// Reads whatever it is, and says whether it was a tar to its end.
fn survives(bytes: &[u8]) -> bool {
    let mut reader = TarReader::new(bytes);
    loop {
        match reader.next_entry() {
            Ok(Some((_, mut content))) => while let Ok(Some(_)) = content.next_chunk() {},
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// The contents of files by path, as a tree would have them.
type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads with a recorder, and says whether no path is named twice; `None` if it is no tar.
fn split(bytes: &[u8]) -> Option<(Vec<u8>, Contents, bool)> {
    let mut reader = TarReader::new(bytes).recording(SplitWriter::new(Vec::new()).unwrap());
    let (mut contents, mut fits) = (BTreeMap::new(), true);
    while let Some((entry, mut content)) = reader.next_entry().ok()? {
        let mut bytes = Vec::new();
        // Holes of terabytes are not what is tested here.
        if entry.size > 1 << 20 {
            return None;
        }
        content.read_to_end(&mut bytes).ok()?;
        if entry.kind == Kind::File {
            fits &= contents.insert(entry.path, bytes).is_none();
        }
    }
    let (_, recorder) = reader.finish_recorded().ok()?;
    Some((recorder.finish(fits).unwrap(), contents, fits))
}

fn put_together(split: &[u8], contents: &Contents) -> Option<Vec<u8>> {
    let mut reader = SplitReader::new(split).ok()?;
    let mut out = Vec::new();
    while let Some(piece) = reader.next_piece().ok()? {
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(bytes),
            Piece::Zeros(count) => out.resize(out.len() + usize::try_from(count).ok()?, 0),
            Piece::File { path, size } => out.extend_from_slice(contents.get(path)?.get(..size as usize)?),
            Piece::Runs { path, extents } => {
                for run in extents {
                    out.extend_from_slice(contents.get(path)?.get(run.offset as usize..)?.get(..run.length as usize)?);
                }
            }
        }
    }
    Some(out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(entries in prop::collection::vec(entry(), 0..6)) {
        let bytes = write(&entries);
        prop_assert_eq!(bytes.len() % 512, 0);
        let found = read(&bytes);
        prop_assert_eq!(&found, &entries);
        prop_assert!(write(&found) == bytes, "written again, the bytes differ");
    }

    #[test]
    fn the_record_is_the_same_after_its_binary_form(entries in prop::collection::vec(entry(), 0..6)) {
        let bytes = write(&entries);
        let toc = Toc::scan(&bytes[..]).unwrap();
        let mut encoded = Vec::new();
        toc.encode(&mut encoded).unwrap();
        prop_assert_eq!(&Toc::decode(&encoded[..]).unwrap(), &toc);
        for record in toc.entries().iter().filter(|record| record.entry.kind == Kind::File) {
            let content = &bytes[record.offset as usize..][..record.entry.size as usize];
            prop_assert_eq!(record.content.unwrap(), oci::Digest::sha256(content));
        }
    }

    #[test]
    fn a_split_and_contents_are_the_tar(
        entries in prop::collection::vec(entry(), 0..6),
        tail in prop::collection::vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..3000),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = [write(&entries), tail].concat();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let block = at / 512 * 512;
            if block + 512 <= bytes.len() {
                reseal(&mut bytes[block..][..512]);
            }
        }
        if let Some((split, contents, fits)) = split(&bytes) {
            let made = put_together(&split, &contents);
            let right = if fits { made.as_ref() == Some(&bytes) } else { made.is_none() };
            prop_assert!(right, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn damaged_splits_and_members_never_panic(
        content in prop::collection::vec(any::<u8>(), 0..3000),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (split, contents, _) = split(&write(&[])).unwrap();
        for format in [Compression::Gzip, Compression::Zstd] {
            let mut encoder = format.encoder(Vec::new(), None).unwrap();
            encoder.write_all(&content).unwrap();
            let mut streams = [encoder.finish().unwrap(), split.clone()];
            for stream in &mut streams {
                for (at, byte) in &damage {
                    let at = at.index(stream.len());
                    stream[at] = *byte;
                }
            }
            let [stream, split] = streams;
            if let Ok((_, mut decoder)) = Compression::detecting(Box::new(&stream[..])) {
                let _ = decoder.read_to_end(&mut Vec::new());
            }
            let _ = put_together(&split, &contents);
        }
    }

    #[test]
    fn damaged_archives_never_panic(
        entries in prop::collection::vec(entry(), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        checksums in any::<bool>(),
    ) {
        let mut bytes = write(&entries);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if checksums {
                // As an attacker would, who knows how to sum.
                reseal(&mut bytes[at / 512 * 512..][..512]);
            }
        }
        survives(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        survives(&bytes);
        prop_assert!(Toc::decode(&bytes[..]).is_err());
    }
}

fn reseal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn more_than_eight_gibibytes_keep_their_size() {
    let mut entry = Entry::new("giant", Kind::File);
    entry.size = (8 << 30) + 5;
    let mut writer = TarWriter::new(Vec::new());
    writer.begin(&entry).unwrap();
    let header = writer.inner_mut().clone();
    let (found, _) = TarReader::new(&header[..]).next_entry().unwrap().map(|(entry, _)| (entry, ())).unwrap();
    assert_eq!(found, entry);
}

/// Pinned: a change of these bytes changes the digest of every layer that was ever made.
#[test]
fn the_bytes_are_pinned() {
    let mut file = Entry::new("etc/passwd", Kind::File);
    (file.size, file.mtime, file.uid) = (5, 1_700_000_000, 3_000_000);
    file.xattrs.insert(b"user.a=b".to_vec(), vec![0, 255]);
    let mut link = Entry::new([&[b'd'; 120][..], b"/", &[0xff; 101]].concat(), Kind::Symlink);
    (link.link, link.mtime) = (vec![b't'; 101], -1);
    let bytes = write(&[
        (Entry::new("etc", Kind::Dir), vec![]),
        (Entry::new("etc", Kind::Opaque), vec![]),
        (Entry::new("etc/gone", Kind::Whiteout), vec![]),
        (file, b"hello".to_vec()),
        (link, vec![]),
    ]);
    let digest = oci::Digest::sha256(&bytes).to_string();
    assert_eq!(digest, "sha256:41b950b164392d096ed7cb594bcfccd7d5486c2d04d36da042816334b8a59d13");
}
