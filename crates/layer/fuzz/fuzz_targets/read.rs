//! Any bytes, compressed or not, as a layer: read to the end, and what was read written again.
#![no_main]

use std::io::Read;

use layer::{Compression, Kind, TarReader, TarWriter};
use libfuzzer_sys::fuzz_target;

/// Enough for every shape of archive, little enough for bombs not to take all the time.
const MOST: u64 = 16 << 20;

fuzz_target!(|data: &[u8]| {
    let Ok((_, decoder)) = Compression::detecting(Box::new(data)) else { return };
    let mut reader = TarReader::new(decoder.take(MOST));
    let mut writer = TarWriter::new(std::io::sink());
    while let Ok(Some((entry, mut content))) = reader.next_entry() {
        assert!(entry.kind == Kind::File || entry.size == 0);
        if entry.size > MOST {
            while let Ok(Some(_)) = content.next_chunk() {}
            continue;
        }
        // What the reader gives out is always something that a layer can hold, as long as its content is there.
        match writer.append(&entry, &mut content) {
            Ok(_) => {}
            Err(layer::WriteError::Content { .. } | layer::WriteError::Field { .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
});
