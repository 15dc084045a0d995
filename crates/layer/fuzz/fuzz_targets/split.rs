//! Any bytes as a tar split, as they are and as what is compressed in one: read to an end, in bounded memory.
#![no_main]

use layer::{Piece, Recorder, SplitReader, SplitWriter};
use libfuzzer_sys::fuzz_target;

fn read(split: &[u8]) {
    let Ok(mut reader) = SplitReader::new(split) else { return };
    while let Ok(Some(piece)) = reader.next_piece() {
        match piece {
            Piece::Bytes(bytes) => assert!(bytes.len() <= 64 * 1024),
            Piece::Zeros(_) => {}
            Piece::File { path, .. } | Piece::Runs { path, .. } => {
                assert!(path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b"..")));
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    read(data);
    read(&[b"ESTIBA-SPLIT\x01", data].concat());
    // What is recorded is read again.
    let Ok(mut writer) = SplitWriter::new(Vec::new()) else { return };
    for part in data.chunks(512) {
        if writer.bytes(part).is_err() {
            return;
        }
    }
    let Ok(split) = writer.finish(true) else { return };
    let Ok(mut reader) = SplitReader::new(&split[..]) else { panic!("our own split") };
    let mut found = Vec::new();
    loop {
        match reader.next_piece() {
            Ok(Some(Piece::Bytes(bytes))) => found.extend_from_slice(bytes),
            Ok(Some(Piece::Zeros(count))) => found.resize(found.len() + count as usize, 0),
            Ok(Some(piece)) => panic!("{piece:?}"),
            Ok(None) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(found == data);
});
