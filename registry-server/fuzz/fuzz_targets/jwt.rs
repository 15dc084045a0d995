//! No bytes are a token of a key that nobody holds, and any set of keys is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::auth::jwt;

/// RFC 7515, appendix A.3. Its private key is public; a fuzzer does not know it.
const KEYS: &[u8] = br#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

fuzz_target!(|input: (&str, &[u8])| {
    let (token, keys) = input;
    assert!(jwt::claims(token, KEYS).is_err());
    drop(jwt::claims(token, keys));
});
