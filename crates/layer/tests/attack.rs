//! Archives that lie: each is an error or harmless, and never a panic, an endless loop or much memory.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::Read;

use estiba_layer::{Chunk, Entry, Kind, Limits, ReadError, TarReader, TarWriter, Toc, WhiteoutNames};

const BLOCK: usize = 512;

/// A header by the `tar` crate, which writes what it is told.
fn header(kind: u8, name: &[u8], size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn member(kind: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, name, content.len() as u64);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn record(key: &str, value: &str) -> String {
    let body = key.len() + value.len() + 3;
    let length = (body..).find(|length| length.to_string().len() + body == *length).unwrap();
    format!("{length} {key}={value}\n")
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let records: String = records.iter().map(|(key, value)| record(key, value)).collect();
    member(b'x', b"pax", records.as_bytes())
}

fn link(kind: u8, name: &[u8], target: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, name, 0);
    bytes[157..157 + target.len()].copy_from_slice(target);
    reseal(bytes)
}

/// Puts the right checksum into a header that was changed.
fn reseal(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

/// Everything in an archive: path, kind, content.
fn read(parts: &[Vec<u8>]) -> Result<Vec<(String, Kind, Vec<u8>)>, ReadError> {
    let mut bytes = parts.concat();
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    read_bytes(&bytes)
}

fn read_bytes(bytes: &[u8]) -> Result<Vec<(String, Kind, Vec<u8>)>, ReadError> {
    let mut reader = TarReader::new(bytes);
    let mut found = Vec::new();
    while let Some((entry, mut content)) = reader.next_entry()? {
        let mut bytes = Vec::new();
        while let Some(chunk) = content.next_chunk()? {
            match chunk {
                Chunk::Data(data) => bytes.extend_from_slice(data),
                Chunk::Hole(length) => bytes.resize(bytes.len() + length as usize, 0),
            }
        }
        found.push((String::from_utf8_lossy(&entry.path).into_owned(), entry.kind, bytes));
    }
    reader.finish()?;
    Ok(found)
}

fn refused(parts: &[Vec<u8>]) -> String {
    match read(parts) {
        Ok(found) => panic!("accepted: {found:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_size_in_the_extended_header_is_the_size() {
    // CVE-2025-62518: the header says 0, the record says how much follows. Who believes the header takes the content, an
    // archive, for members of this one.
    let inner = member(b'0', b"hidden", b"evil");
    let outer = [
        pax(&[("size", &inner.len().to_string())]),
        header(b'0', b"inner.tar", 0),
        inner.clone(),
        member(b'0', b"b", b"2"),
    ];
    let found = read(&outer).unwrap();
    let names: Vec<_> = found.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(names, ["inner.tar", "b"]);
    assert_eq!(found[0].2, inner);
}

#[test]
fn two_sizes_are_refused() {
    let parts = [pax(&[("size", "512")]), header(b'0', b"a", 1024), vec![0; 1024]];
    assert!(refused(&parts).contains("different sizes"));
}

#[test]
fn sizes_where_nothing_follows_are_refused() {
    for kind in [b'2', b'3', b'5', b'6'] {
        let mut bytes = link(kind, b"a", b"target");
        bytes[124..136].copy_from_slice(b"00000001000\0");
        assert!(refused(&[reseal(bytes), member(b'0', b"hidden", b"")]).contains("content in a tar member"));
    }
    // Of a hard link, all tools ignore it.
    let mut bytes = link(b'1', b"b", b"a");
    bytes[124..136].copy_from_slice(b"00000001000\0");
    let found = read(&[member(b'0', b"a", b"1"), reseal(bytes), member(b'0', b"c", b"3")]).unwrap();
    assert_eq!(found.len(), 3);
}

#[test]
fn two_names_are_refused_and_one_said_twice_is_not() {
    let gnu = |name: &[u8]| member(b'L', b"././@LongLink", name);
    let parts = |long: &[u8]| [pax(&[("path", "one")]), gnu(long), member(b'0', b"x", b"")];
    assert!(refused(&parts(b"two\0")).contains("two different names"));
    assert_eq!(read(&parts(b"one\0")).unwrap()[0].0, "one");
}

#[test]
fn extended_headers_out_of_place_are_refused() {
    let file = || member(b'0', b"a", b"");
    assert!(refused(&[pax(&[("path", "b")]), pax(&[("path", "c")]), file()]).contains("out of place"));
    assert!(refused(&[file(), pax(&[("path", "b")])]).contains("out of place"));
    assert!(read_bytes(&pax(&[("path", "b")])).is_err());
}

#[test]
fn global_headers_are_ignored_unless_they_would_move_members() {
    let global = |key, value| member(b'g', b"pax_global_header", record(key, value).as_bytes());
    let found = read(&[global("comment", "0a1b2c"), member(b'0', b"a", b"1")]).unwrap();
    assert_eq!(found[0].0, "a");
    for key in ["size", "path", "linkpath", "GNU.sparse.size"] {
        assert!(refused(&[global(key, "1"), member(b'0', b"a", b"")]).contains("global header"));
    }
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in [&b"../a"[..], b"a/../../b", b"..", b"/../a", b"a/.."] {
        assert!(refused(&[member(b'0', name, b"")]).contains("`..` part"));
        assert!(refused(&[link(b'1', b"a", name)]).contains("`..` part"));
        assert!(
            refused(&[pax(&[("path", std::str::from_utf8(name).unwrap())]), member(b'0', b"a", b"")]).contains("`..`")
        );
    }
    // The target of a symbolic link may be anything: it is followed inside, if at all.
    assert!(read(&[link(b'2', b"a", b"../../etc/passwd")]).is_ok());
    assert_eq!(read(&[member(b'0', b"/etc//passwd", b"")]).unwrap()[0].0, "etc/passwd");
}

#[test]
fn links_that_lead_nowhere_are_refused() {
    assert!(refused(&[link(b'1', b"a", b"./a")]).contains("leads nowhere"));
    assert!(refused(&[link(b'2', b"a", b"")]).contains("leads nowhere"));
    assert!(read(&[link(b'1', b"a", b"/")]).is_err());
}

#[test]
fn deletions_that_could_not_be_are_refused() {
    for name in [&b".wh."[..], b"a/.wh..", b"a/.wh...", b".wh.a/b", b".wh..wh..opq"] {
        assert!(read(&[member(b'0', name, b"")]).is_err(), "{}", String::from_utf8_lossy(name));
    }
    assert_eq!(read(&[member(b'0', b".wh..wh.plnk", b"x")]).unwrap(), []);
    // Content of a deletion means nothing.
    let found = read(&[member(b'0', b"a/.wh.b", b"content"), member(b'0', b"c", b"3")]).unwrap();
    assert_eq!(found, [("a/b".into(), Kind::Whiteout, vec![]), ("c".into(), Kind::File, b"3".to_vec())]);
}

#[test]
fn outside_of_layers_no_name_is_a_deletion() {
    let mut bytes = member(b'0', b"a/.wh.b", b"content");
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    let mut reader = TarReader::new(&bytes[..]).whiteout_names(WhiteoutNames::Plain);
    let (entry, _) = reader.next_entry().unwrap().unwrap();
    assert_eq!((&entry.path[..], entry.kind, entry.size), (&b"a/.wh.b"[..], Kind::File, 7));
    // And a layer that would hold such a file cannot be written.
    let error = TarWriter::new(Vec::new()).append(&entry, &mut &b"content"[..]).unwrap_err();
    assert!(error.to_string().contains(".wh."));
}

#[test]
fn truncated_archives_are_errors_wherever_they_end() {
    let whole =
        [pax(&[("SCHILY.xattr.user.a", "b")]), member(b'0', b"a", &[7; 1000]), member(b'5', b"d/", b"")].concat();
    let boundaries = [0, 1024 + 512 + 1024, 1024 + 512 + 1024 + 512];
    for length in 0..whole.len() {
        let result = read_bytes(&whole[..length]);
        assert_eq!(result.is_ok(), boundaries.contains(&length), "{length}: {result:?}");
    }
}

#[test]
fn headers_with_wrong_numbers_are_refused() {
    for (range, text) in [
        (124..136, &b"-0000000001\0"[..]),
        (124..136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        (124..136, b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        (108..116, b"0000009\0"),
        (108..116, b"\x80\0\0\x01\0\0\0\0"),
        (136..148, b"xxxxxxxxxxx\0"),
    ] {
        let mut bytes = member(b'0', b"a", b"");
        bytes[range].copy_from_slice(text);
        assert!(read(&[reseal(bytes)]).is_err(), "{text:?}");
    }
    assert!(refused(&[vec![1; BLOCK]]).contains("checksum"));
}

#[test]
fn a_giant_that_is_announced_costs_no_memory() {
    let parts = [pax(&[("size", "9223372036854775807")]), header(b'0', b"giant", 0)];
    assert!(read(&parts).unwrap_err().to_string().contains("ends at byte"));
    let mut bytes = member(b'L', b"long", b"");
    bytes[124..136].copy_from_slice(b"77777777777\0");
    assert!(refused(&[reseal(bytes)]).contains("an extended header of 8589934591 bytes"));
    let mut bytes = member(b'x', b"pax", b"");
    bytes[124..136].copy_from_slice(b"00010000000\0");
    assert!(refused(&[reseal(bytes)]).contains("an extended header of"));
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let form_1 = |size: &str, map: &[u8], stored: usize| {
        let records = [
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", "s"),
            ("GNU.sparse.realsize", size),
        ];
        let mut content = map.to_vec();
        content.resize(BLOCK, 0);
        content.resize(BLOCK + stored, 9);
        [pax(&records), member(b'0', b"s", &content)]
    };
    let found = read(&form_1("10", b"2\n1\n2\n8\n1\n", 3)).unwrap();
    assert_eq!(found, [("s".into(), Kind::File, vec![0, 9, 9, 0, 0, 0, 0, 0, 9, 0])]);
    for (size, map, stored) in [
        ("10", &b"2\n1\n2\n8\n1\n"[..], 4),
        ("10", b"2\n1\n2\n8\n1\n", 2),
        ("10", b"1\n9\n3\n", 3),
        ("10", b"2\n4\n2\n3\n1\n", 3),
        ("10", b"1\n0\n18446744073709551615\n", 3),
        ("10", b"99999999999\n", 3),
        ("10", b"-1\n", 3),
        ("10", b"1\n0\n", 3),
        ("10", b"111111111111111111111111111111", 3),
    ] {
        assert!(read(&form_1(size, map, stored)).is_err(), "{}", String::from_utf8_lossy(map));
    }
    let old = [
        pax(&[("GNU.sparse.size", "10"), ("GNU.sparse.numblocks", "2"), ("GNU.sparse.map", "0,1")]),
        member(b'0', b"s", b"x"),
    ];
    assert!(refused(&old).contains("sparse"));
    let directory = [pax(&[("GNU.sparse.size", "10"), ("GNU.sparse.map", "0,0")]), member(b'5', b"s/", b"")];
    assert!(refused(&directory).contains("sparse"));
}

#[test]
fn a_hole_of_terabytes_is_not_filled_in() {
    let parts = [
        pax(&[
            ("GNU.sparse.size", "1099511627776"),
            ("GNU.sparse.numblocks", "1"),
            ("GNU.sparse.map", "1099511627776,0"),
        ]),
        member(b'0', b"s", b""),
    ];
    let mut bytes = parts.concat();
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    let mut reader = TarReader::new(&bytes[..]);
    let (entry, mut content) = reader.next_entry().unwrap().unwrap();
    assert_eq!(entry.size, 1 << 40);
    assert_eq!(content.next_chunk().unwrap(), Some(Chunk::Hole(1 << 40)));
    assert_eq!(content.next_chunk().unwrap(), None);
    // Nor hashed by whoever only wants to know what there is.
    assert_eq!(Toc::scan(&bytes[..]).unwrap().entries()[0].content, None);
    let limits = Limits { total: 1 << 30, ..Limits::default() };
    assert!(TarReader::new(&bytes[..]).limits(limits).next_entry().is_err());
}

/// A gigabyte of names and attributes fits into a megabyte of gzip: who keeps entries must not keep all of them.
#[test]
fn attributes_without_end_are_refused() {
    struct Endless(Vec<u8>, usize);
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let left = &self.0[self.1..];
            let count = left.len().min(buffer.len());
            buffer[..count].copy_from_slice(&left[..count]);
            self.1 = (self.1 + count) % self.0.len();
            Ok(count)
        }
    }
    let large = "x".repeat(900_000);
    let one = [pax(&[("SCHILY.xattr.user.x", &large)]), member(b'0', b"f", b"")].concat();
    let mut reader = TarReader::new(Endless(one, 0));
    let mut entries = 0;
    let error = loop {
        match reader.next_entry() {
            Ok(Some(_)) => entries += 1,
            Ok(None) => panic!("it has no end"),
            Err(error) => break error,
        }
    };
    assert!(entries < 1200 && error.to_string().contains("names and attributes"), "{entries}: {error}");
}

#[test]
fn limits_hold_for_the_number_of_entries_too() {
    let mut bytes = [member(b'0', b"a", b""), member(b'0', b"b", b"")].concat();
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    let limits = Limits { entries: 1, ..Limits::default() };
    let mut reader = TarReader::new(&bytes[..]).limits(limits);
    assert!(reader.next_entry().unwrap().is_some());
    assert!(reader.next_entry().unwrap_err().to_string().contains("more than 1 entries"));
}

#[test]
fn kinds_that_no_layer_holds_are_refused() {
    for kind in [b'M', b'D', b'N', b'A', b'X', b'Z'] {
        assert!(refused(&[member(kind, b"a", b"")]).contains("unsupported kind"));
    }
}

#[test]
fn what_cannot_be_in_a_layer_cannot_be_written() {
    let refuse = |change: &dyn Fn(&mut Entry)| {
        let mut entry = Entry::new("a/b", Kind::File);
        change(&mut entry);
        TarWriter::new(Vec::new()).begin(&entry).unwrap_err().to_string()
    };
    for path in ["", "/a", "a/", "a//b", "../a", "a/./b", "a\0b"] {
        assert!(refuse(&|entry| entry.path = path.into()).contains("cannot be a path"), "{path:?}");
    }
    for path in [".wh.a", "a/.wh..wh..opq", ".wh.d/a"] {
        assert!(refuse(&|entry| entry.path = path.into()).contains(".wh."), "{path:?}");
    }
    refuse(&|entry| entry.mode = 0o100_644);
    refuse(&|entry| entry.link = b"x".to_vec());
    refuse(&|entry| (entry.kind, entry.size) = (Kind::Dir, 1));
    refuse(&|entry| entry.kind = Kind::Symlink);
    refuse(&|entry| (entry.kind, entry.link) = (Kind::Hardlink, b"../x".to_vec()));
    refuse(&|entry| (entry.kind, entry.link) = (Kind::Hardlink, b"a/b".to_vec()));
    refuse(&|entry| drop(entry.xattrs.insert(b"user.big".to_vec(), vec![0; 2 << 20])));
}

#[test]
fn a_reader_may_take_a_file_byte_by_byte() {
    let mut bytes = member(b'0', b"a", b"content");
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    let mut reader = TarReader::new(&bytes[..]);
    let (_, mut content) = reader.next_entry().unwrap().unwrap();
    for expected in b"content" {
        let mut byte = [0];
        content.read_exact(&mut byte).unwrap();
        assert_eq!(byte[0], *expected);
    }
    assert!(reader.next_entry().unwrap().is_none());
}
