//! Digests, and states of hashers: reading ends and never panics; a digest that was read is hexadecimal and no path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{Algorithm, Digest, Hasher};

fuzz_target!(|data: &[u8]| {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        if let Some(mut hasher) = Hasher::restore(algorithm, data.len() as u64, data) {
            hasher.update(data);
            hasher.finish();
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(digest) = text.parse::<Digest>() else { return };
    assert_eq!(digest.to_string(), text);
    assert!(digest.hex().bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
    assert_eq!(Digest::from_bytes(digest.algorithm(), digest.as_bytes()), Some(digest));
});
