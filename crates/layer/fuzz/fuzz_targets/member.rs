//! Any bytes as gzip in members of ours, or as zstd: read side by side or as a stream, to an end. Of members that are
//! read, a plain gzip reads the same.
#![no_main]

use std::io::Read;

use layer::Compression;
use libfuzzer_sys::fuzz_target;

/// Little enough for bombs not to take all the time.
const MOST: u64 = 4 << 20;
/// The header of a member of ours, up to its length.
const START: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 8, 0, b'E', b'S', 4, 0];

fuzz_target!(|data: &[u8]| {
    let read = |compression: Compression, bytes: &[u8]| {
        let decoder = compression.decoder(Box::new(bytes)).ok()?;
        let mut out = Vec::new();
        decoder.take(MOST).read_to_end(&mut out).ok().map(|_| out)
    };
    read(Compression::Zstd, data);
    // With the right beginning, so that it need not be guessed, and the right length.
    let length = (START.len() + 4 + data.len()) as u32;
    let member = [&START[..], &length.to_le_bytes(), data].concat();
    let mut plain = member.clone();
    // The subfield under another name: nobody's.
    plain[12] = b'X';
    if let Some(found) = read(Compression::Gzip, &member) {
        if let Some(streamed) = read(Compression::Gzip, &plain) {
            assert!(found == streamed);
        }
    }
});
