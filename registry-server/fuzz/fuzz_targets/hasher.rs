//! A saved state from a damaged file is refused, or goes on without harm.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{Algorithm, Hasher};

fuzz_target!(|input: (bool, u64, &[u8], &[u8])| {
    let (long, size, saved, more) = input;
    let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
    if let Some(mut hasher) = Hasher::restore(algorithm, size, saved) {
        hasher.update(more);
        let again = hasher.save();
        assert!(Hasher::restore(algorithm, hasher.size(), &again).is_some());
        hasher.finish();
    }
});
