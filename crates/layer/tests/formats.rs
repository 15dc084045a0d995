//! The compressed layers of others: those that can be read in part (eStargz, zstd:chunked), and large windows.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use estiba_layer::{Compression, Entry, Kind, TarReader, TarWriter};
use flate2::GzBuilder;

/// The tar of two files and a table of contents, cut where each entry begins, and before the end.
fn parts() -> Vec<Vec<u8>> {
    let large = vec![b'l'; 300_000];
    let files = [("bin/large", &large[..]), ("etc/small", b"small"), ("stargz.index.json", b"{\"version\":1}")];
    let mut writer = TarWriter::new(Vec::new());
    let mut cuts = vec![0];
    for (path, content) in files {
        let mut entry = Entry::new(path, Kind::File);
        entry.size = content.len() as u64;
        writer.append(&entry, &mut &*content).unwrap();
        cuts.push(writer.inner_mut().len());
    }
    let tar = writer.finish().unwrap();
    cuts.push(tar.len());
    cuts.windows(2).map(|pair| tar[pair[0]..pair[1]].to_vec()).collect()
}

fn gzip(content: &[u8], extra: Option<&[u8]>) -> Vec<u8> {
    let builder = extra.map_or_else(GzBuilder::new, |extra| GzBuilder::new().extra(extra));
    let mut encoder = builder.write(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn names(blob: &[u8]) -> Vec<(String, u64)> {
    let (_, decoder) = Compression::detecting(Box::new(blob)).unwrap();
    let mut reader = TarReader::new(decoder);
    let mut names = Vec::new();
    while let Some((entry, mut content)) = reader.next_entry().unwrap() {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).unwrap();
        names.push((String::from_utf8(entry.path).unwrap(), bytes.len() as u64));
    }
    reader.finish().unwrap();
    names
}

fn expected() -> Vec<(String, u64)> {
    [("bin/large", 300_000), ("etc/small", 5), ("stargz.index.json", 13)].map(|(name, size)| (name.into(), size)).into()
}

/// A member an entry; the footer is an empty one whose extra field says where the table of contents begins:
/// stargz-snapshotter, docs/estargz.md, "Footer".
#[test]
fn estargz_is_read() {
    let mut blob = Vec::new();
    let mut table = 0;
    for (number, part) in parts().iter().enumerate() {
        if number == 2 {
            table = blob.len();
        }
        // Large files are cut into chunks, which are members too.
        part.chunks(100_000).for_each(|chunk| blob.extend(gzip(chunk, None)));
    }
    let payload = format!("{table:016x}STARGZ");
    let extra = [b"SG", &(payload.len() as u16).to_le_bytes()[..], payload.as_bytes()].concat();
    let footer = gzip(b"", Some(&extra));
    blob.extend(&footer);
    assert_eq!(names(&blob), expected());
    // The older footer, and our own members before others.
    let mixed: Vec<u8> = parts().iter().enumerate().fold(Vec::new(), |mut all, (number, part)| {
        if number == 0 {
            let mut encoder = Compression::Gzip.encoder(all, None).unwrap();
            encoder.write_all(part).unwrap();
            return encoder.finish().unwrap();
        }
        all.extend(gzip(part, Some(payload.as_bytes())));
        all
    });
    assert_eq!(names(&mixed), expected());
}

/// Frames of files, the table of contents and the footer in skippable frames: containers/storage, pkg/chunked.
#[test]
fn zstd_chunked_is_read() {
    let skippable =
        |bytes: &[u8]| [&0x184d_2a50_u32.to_le_bytes(), &(bytes.len() as u32).to_le_bytes(), bytes].concat();
    let frame = |bytes: &[u8], sized: bool| match sized {
        true => zstd::bulk::compress(bytes, 3).unwrap(),
        false => zstd::stream::encode_all(bytes, 3).unwrap(),
    };
    let parts = parts();
    for sized in [true, false] {
        let frames: Vec<u8> =
            parts.iter().flat_map(|part| part.chunks(90_000)).flat_map(|chunk| frame(chunk, sized)).collect();
        let table = skippable(&zstd::bulk::compress(b"{\"version\":1,\"entries\":[]}", 3).unwrap());
        let footer = skippable(&[&[7; 56][..], b"GNUlInUx"].concat());
        assert_eq!(names(&[&frames[..], &table, &footer].concat()), expected());
        // Between frames, and before them.
        assert_eq!(names(&[&table[..], &frames, &table].concat()), expected());
        let (first, rest) = (frame(&parts[0], sized), frame(&parts[1..].concat(), sized));
        assert_eq!(names(&[&first[..], &table, &rest, &footer].concat()), expected());
    }
}

/// What `zstd` makes of `bytes`, told of no size; `None` where it isn't installed.
fn zstd(arguments: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new("zstd").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    child.stdin.take()?.write_all(bytes).unwrap();
    Some(child.wait_with_output().ok()?.stdout)
}

#[test]
fn windows_up_to_a_limit_are_decoded() {
    let content = b"a window is as large as it is told to be".repeat(10_000);
    for (argument, fits) in [("--long=23", true), ("--long=27", true), ("--long=28", false), ("--long=31", false)] {
        let Some(bytes) = zstd(&["-q", "-c", argument], &content) else { return };
        let (_, mut decoder) = Compression::detecting(Box::new(&bytes[..])).unwrap();
        let mut out = Vec::new();
        match decoder.read_to_end(&mut out) {
            Ok(_) => assert!(fits && out == content, "{argument}"),
            Err(error) => assert!(!fits && error.to_string().contains("window"), "{argument}: {error}"),
        }
    }
}
