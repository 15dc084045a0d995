//! Indexes: reading ends and never panics; what was read is written, and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{Raw, Index};

fuzz_target!(|data: &[u8]| {
    let Ok(read) = Raw::<Index>::parse(data.to_vec()) else { return };
    assert_eq!(read.bytes(), data);
    assert_eq!(read.digest(), oci::Digest::sha256(data));
    let Ok(written) = Raw::encode(read.value().clone()) else { panic!("what was read has no form") };
    match Raw::<Index>::parse(written.bytes().to_vec()) {
        Ok(again) => assert_eq!(again.value(), read.value()),
        Err(error) => panic!("{error}"),
    }
});
