//! What several threads compress: the same bytes whatever their number, read by every tool and by ourselves.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use estiba_layer::Compression;

const FORMATS: [Compression; 2] = [Compression::Gzip, Compression::Zstd];
/// What an encoder makes of each member or frame, and a little more than a few of them.
const MEMBER: usize = 1 << 20;
const MUCH: usize = 5 * MEMBER + 12_345;

/// Text of no pattern, then bytes that won't shrink, then zeros.
fn mixed(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length / 2 {
        bytes.extend_from_slice(format!("line {} of {}\n", next() % 1000, next() % 50).as_bytes());
    }
    while bytes.len() < length * 9 / 10 {
        bytes.push(next() as u8);
    }
    bytes.resize(length, 0);
    bytes
}

fn compress(format: Compression, bytes: &[u8], threads: usize, level: Option<i32>, step: usize) -> Vec<u8> {
    let mut encoder = format.encoder_on(threads, Vec::new(), level).unwrap();
    for part in bytes.chunks(step) {
        encoder.write_all(part).unwrap();
    }
    encoder.finish().unwrap()
}

fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let (_, mut reader) = Compression::detecting(Box::new(bytes)).unwrap();
    let mut out = Vec::new();
    reader.read_to_end(&mut out).map(|_| out)
}

/// What a tool makes of `input`; `None` where it isn't installed.
fn piped(tool: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new(tool);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take()?;
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().ok()?;
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "{tool}");
    Some(output.stdout)
}

#[test]
fn bytes_depend_on_content_and_level_alone() {
    let content = mixed(MUCH);
    for format in FORMATS {
        for level in [None, Some(6)] {
            let one = compress(format, &content, 1, level, MUCH);
            for (threads, step) in [(2, 65_536), (5, 70_001), (3, 2 * MEMBER)] {
                assert!(compress(format, &content, threads, level, step) == one, "{format:?} {threads} {step}");
            }
            assert!(one.len() < content.len() * 6 / 10 + MEMBER, "{format:?}: {}", one.len());
            assert!(decompress(&one).unwrap() == content, "{format:?}");
        }
    }
}

#[test]
fn every_length_is_read_again() {
    let content = mixed(2 * MEMBER + 1);
    for format in FORMATS {
        for length in [0, 1, 65_534, 65_536, 131_072, MEMBER - 1, MEMBER, MEMBER + 1, 2 * MEMBER, 2 * MEMBER + 1] {
            let bytes = compress(format, &content[..length], 2, None, 100_000);
            assert!(decompress(&bytes).unwrap() == content[..length], "{format:?} {length}");
        }
    }
}

#[test]
fn other_tools_read_it() {
    let content = mixed(MUCH);
    let gzip = compress(Compression::Gzip, &content, 2, None, MUCH);
    let zstd = compress(Compression::Zstd, &content, 2, None, MUCH);
    let python = "import sys, gzip; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    for (tool, arguments, bytes) in [
        ("gzip", &["-dc"][..], &gzip),
        ("python3", &["-c", python], &gzip),
        ("pigz", &["-dc"], &gzip),
        ("zstd", &["-dc"], &zstd),
    ] {
        match piped(tool, arguments, bytes) {
            Some(found) => assert!(found == content, "{tool}"),
            None => assert!(!matches!(tool, "gzip"), "no gzip here"),
        }
    }
}

#[test]
fn what_will_not_shrink_is_stored() {
    let random: Vec<u8> = mixed(8 * MEMBER)[4 * MEMBER + 4096..][..2 * MEMBER].to_vec();
    let bytes = compress(Compression::Gzip, &random, 2, None, MEMBER);
    assert!(bytes.len() > random.len() && bytes.len() < random.len() + 400, "{}", bytes.len());
    assert!(decompress(&bytes).unwrap() == random);
    let level_0 = compress(Compression::Gzip, &vec![0; MEMBER], 1, Some(0), MEMBER);
    assert!(level_0.len() > MEMBER && decompress(&level_0).unwrap().len() == MEMBER);
}

#[test]
fn streams_of_others_may_follow_and_stand_before() {
    let content = mixed(2 * MEMBER);
    for (format, tool) in [(Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")] {
        let ours = compress(format, &content, 2, None, MUCH);
        let Some(theirs) = piped(tool, &["-c"], &content) else { continue };
        for (bytes, times) in [
            (theirs.clone(), 1),
            ([ours.clone(), theirs.clone()].concat(), 2),
            ([theirs.clone(), ours.clone()].concat(), 2),
            ([ours.clone(), theirs, ours.clone()].concat(), 3),
        ] {
            assert!(decompress(&bytes).unwrap() == content.repeat(times), "{tool}");
        }
    }
}

#[test]
fn damage_anywhere_is_an_error() {
    let content = mixed(3 * MEMBER);
    for format in FORMATS {
        let whole = compress(format, &content, 2, None, MUCH);
        for cut in [whole.len() - 1, whole.len() / 2, whole.len() / 3, 25, 15] {
            let error = decompress(&whole[..cut]).unwrap_err().to_string();
            assert!(error.starts_with(format.name()), "{cut}: {error}");
        }
        for at in [30, 2000, whole.len() / 2, whole.len() - 3] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert!(decompress(&damaged).is_err(), "{format:?} {at}");
        }
    }
}

/// A member, its length field as told; the trailer's length too.
fn member(length: Option<u32>, claimed: Option<u32>, content: &[u8]) -> Vec<u8> {
    let mut bytes = compress(Compression::Gzip, content, 1, None, MEMBER);
    if let Some(length) = length {
        bytes[16..20].copy_from_slice(&length.to_le_bytes());
    }
    if let Some(claimed) = claimed {
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&claimed.to_le_bytes());
    }
    bytes
}

#[test]
fn lengths_that_lie_do_no_harm() {
    let content = b"some content, some more content, and more";
    let honest = member(None, None, content);
    // Impossible ones are not believed: the stream is read as any.
    for length in [0, 27, 2 << 20, u32::MAX] {
        assert_eq!(decompress(&member(Some(length), None, content)).unwrap(), content, "{length}");
    }
    for length in [28, honest.len() as u32 - 1, honest.len() as u32 + 1] {
        assert!(decompress(&[member(Some(length), None, content), honest.clone()].concat()).is_err(), "{length}");
    }
    for claimed in [0, 1, content.len() as u32 + 1, u32::MAX] {
        assert!(decompress(&member(None, Some(claimed), content)).is_err(), "{claimed}");
    }
    // One member in another's length: who trusts no length sees two, so nobody shall see one.
    let mut hidden = [honest.clone(), honest.clone()].concat();
    let length = hidden.len() as u32;
    hidden[16..20].copy_from_slice(&length.to_le_bytes());
    assert!(decompress(&hidden).unwrap_err().to_string().contains("two ends"));
}

/// A sink that takes so much and then fails, and says how it was used.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 < bytes.len() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no room"));
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_sink_that_fails_is_reported_as_itself_and_for_good() {
    for format in FORMATS {
        let mut encoder = format.encoder_on(2, Full(MEMBER), None).unwrap();
        let random = vec![mixed(MEMBER)[MEMBER * 6 / 10..MEMBER * 8 / 10].to_vec(); 80].concat();
        let error = encoder.write_all(&random).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(encoder.write_all(&random).is_err());
        assert!(encoder.finish().is_err());
        // Given up half-way: nothing hangs.
        let mut dropped = format.encoder_on(3, Full(usize::MAX), None).unwrap();
        dropped.write_all(&random).unwrap();
    }
}
