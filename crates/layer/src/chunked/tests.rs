use std::io::{Read, Write};

use super::*;
use crate::{Compression, Entry, Kind, TarWriter};

/// A tar with a bit of everything: directories, empty, small, large and incompressible files, links, a deletion.
fn tar() -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    let noise: Vec<u8> = (0..3_u64 << 20).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let text: Vec<u8> = (0..200_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
    tar.begin(&Entry::new("bin", Kind::Dir)).unwrap();
    for (path, content) in
        [("bin/empty", &b""[..]), ("bin/one", b"1"), ("bin/text", &text), ("bin/noise", &noise), ("z", b"last")]
    {
        let mut entry = Entry::new(path, Kind::File);
        (entry.size, entry.mtime, entry.mode) = (content.len() as u64, 1_700_000_000, 0o4755);
        entry.xattrs.insert(b"user.x".to_vec(), vec![0, 255]);
        tar.append(&entry, &mut &content[..]).unwrap();
    }
    let mut link = Entry::new("bin/two", Kind::Hardlink);
    link.link = b"bin/one".to_vec();
    tar.begin(&link).unwrap();
    tar.begin(&Entry::new("gone", Kind::Whiteout)).unwrap();
    tar.finish().unwrap()
}

fn encode(form: ChunkedForm, threads: usize, tar: &[u8], step: usize) -> (Vec<u8>, Contents) {
    let mut chunked = Chunked::on(threads, form, Vec::new(), None).unwrap();
    tar.chunks(step).for_each(|piece| chunked.write_all(piece).unwrap());
    chunked.finish().unwrap()
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compression::detecting(Box::new(bytes)).unwrap().1.read_to_end(&mut out).unwrap();
    out
}

#[test]
fn any_reader_reads_them() {
    let tar = tar();
    let (zstd, contents) = encode(ChunkedForm::Zstd, 2, &tar, 100_000);
    assert_eq!(decode(&zstd), tar);
    assert!(contents.stream.is_none() && contents.annotations.len() == 3);
    let (gzip, contents) = encode(ChunkedForm::Estargz, 2, &tar, 100_000);
    let decoded = decode(&gzip);
    assert!(decoded.starts_with(&tar));
    let (diff_id, size) = contents.stream.unwrap();
    assert_eq!((*diff_id.digest(), size), (oci::Digest::sha256(&decoded), decoded.len() as u64));
    // Other decoders, too: one that knows nothing of our members.
    let mut other = Vec::new();
    flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut other).unwrap();
    assert_eq!(other, decoded);
}

#[test]
fn bytes_depend_on_the_content_alone() {
    let tar = tar();
    for form in [ChunkedForm::Estargz, ChunkedForm::Zstd] {
        let first = encode(form, 1, &tar, 511);
        assert_eq!(first, encode(form, 3, &tar, 1 << 20));
        assert_eq!(first, encode(form, 2, &tar, tar.len()));
    }
}

/// The table of contents of an eStargz, found by its footer.
fn estargz_table(bytes: &[u8]) -> serde_json::Value {
    let footer = &bytes[bytes.len() - 51..];
    assert_eq!(&footer[32..38], b"STARGZ");
    let offset = u64::from_str_radix(std::str::from_utf8(&footer[16..32]).unwrap(), 16).unwrap();
    let tail = decode(&bytes[offset as usize..]);
    let mut reader = crate::TarReader::new(&tail[..]);
    let (entry, mut content) = reader.next_entry().unwrap().unwrap();
    assert_eq!(entry.path, b"stargz.index.json");
    let mut json = Vec::new();
    content.read_to_end(&mut json).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Every file is where the table says, whole and in its pieces.
#[test]
fn tables_say_where_files_are() {
    let tar = tar();
    let toc = crate::Toc::scan(&tar[..]).unwrap();
    let (gzip, _) = encode(ChunkedForm::Estargz, 2, &tar, 4096);
    let (zstd, contents) = encode(ChunkedForm::Zstd, 2, &tar, 4096);
    let position = &contents.annotations["io.github.containers.zstd-chunked.manifest-position"];
    let numbers: Vec<usize> = position.split(':').map(|number| number.parse().unwrap()).collect();
    let table = zstd::bulk::decompress(&zstd[numbers[0]..numbers[0] + numbers[1]], numbers[2]).unwrap();
    let tables = [(estargz_table(&gzip), &gzip), (serde_json::from_slice(&table).unwrap(), &zstd)];
    for (table, bytes) in tables {
        let entries = table["entries"].as_array().unwrap();
        let names: Vec<&str> =
            entries.iter().filter(|e| e["type"] != "chunk").map(|e| e["name"].as_str().unwrap()).collect();
        let expected = ["bin/", "bin/empty", "bin/one", "bin/text", "bin/noise", "z", "bin/two", ".wh.gone"];
        assert_eq!(names, expected);
        let noise = entries.iter().filter(|entry| entry["name"] == "bin/noise").count();
        assert_eq!(noise, 3);
        for entry in entries.iter().filter(|entry| entry["offset"].is_u64()) {
            let name = entry["name"].as_str().unwrap();
            let found = toc.lookup(name.as_bytes()).unwrap();
            let start = found.offset as usize + entry["chunkOffset"].as_u64().unwrap_or(0) as usize;
            let end = found.offset as usize + found.entry.size as usize;
            let size = entry["chunkSize"].as_u64().map_or(end - start, |size| size as usize);
            let from = entry["offset"].as_u64().unwrap() as usize;
            let mut content = vec![0; size];
            Compression::detecting(Box::new(&bytes[from..])).unwrap().1.read_exact(&mut content).unwrap();
            assert!(content == tar[start..start + size], "{name} at {from}");
            if let Some(digest) = entry["chunkDigest"].as_str() {
                assert_eq!(digest, oci::Digest::sha256(&content).to_string(), "{name}");
            }
        }
    }
}

#[test]
fn what_no_table_can_say_is_refused() {
    let encode = |form, tar: &[u8]| {
        let mut chunked = Chunked::on(1, form, Vec::new(), None).unwrap();
        let written = chunked.write_all(tar).map_err(|error| error.to_string());
        written.and_then(|()| chunked.finish().map(drop).map_err(|error| error.to_string()))
    };
    let one = |path: &[u8]| {
        let mut tar = TarWriter::new(Vec::new());
        tar.begin(&Entry::new(path, Kind::File)).unwrap();
        tar.finish().unwrap()
    };
    assert!(encode(ChunkedForm::Zstd, &one(b"\xff")).unwrap_err().contains("UTF-8"));
    assert!(encode(ChunkedForm::Estargz, &one(b"stargz.index.json")).unwrap_err().contains("already"));
    assert!(encode(ChunkedForm::Zstd, &one(b"stargz.index.json")).is_ok());
    let whole = tar();
    assert!(encode(ChunkedForm::Zstd, &whole[..5000]).unwrap_err().contains("ends within `bin/"));
    assert!(encode(ChunkedForm::Zstd, &[7; 1024]).is_err());
    assert!(encode(ChunkedForm::Estargz, b"").is_ok());
}
