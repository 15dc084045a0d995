//! Signatures of calls to S3. Pure.
//! Specification: Amazon S3 API reference, "Authenticating Requests (AWS Signature Version 4)".

use std::fmt::Write as _;

use oci::{Digest, Hasher};

use super::Keys;

/// Bytes of one block of SHA-256, which HMAC pads keys to (RFC 2104).
const BLOCK: usize = 64;

/// What is signed of a call.
pub(super) struct Signed<'c> {
    pub(super) method: &'c str,
    pub(super) host: &'c str,
    /// Encoded.
    pub(super) path: &'c str,
    /// Encoded, sorted.
    pub(super) query: &'c str,
    pub(super) region: &'c str,
    /// Of the body.
    pub(super) payload: &'c Digest,
    /// `20130524T000000Z`.
    pub(super) time: &'c str,
}

/// The `Authorization` of a call.
pub(super) fn authorization(call: &Signed<'_>, keys: &Keys) -> String {
    let (payload, day) = (call.payload.hex(), &call.time[..8]);
    let mut headers = format!("host:{}\nx-amz-content-sha256:{payload}\nx-amz-date:{}\n", call.host, call.time);
    let mut names = "host;x-amz-content-sha256;x-amz-date".to_owned();
    if let Some(token) = &keys.token {
        let _ = writeln!(headers, "x-amz-security-token:{token}");
        names.push_str(";x-amz-security-token");
    }
    let canonical = format!("{}\n{}\n{}\n{headers}\n{names}\n{payload}", call.method, call.path, call.query);
    let scope = format!("{day}/{}/s3/aws4_request", call.region);
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", call.time, Digest::sha256(canonical.as_bytes()).hex());
    let mut key = hmac(format!("AWS4{}", keys.secret).as_bytes(), day.as_bytes());
    for part in [call.region, "s3", "aws4_request"] {
        key = hmac(key.as_bytes(), part.as_bytes());
    }
    let signature = hmac(key.as_bytes(), text.as_bytes()).hex();
    format!("AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}", keys.id)
}

/// A path as S3 encodes it: all but unreserved characters and slashes.
pub(super) fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> Digest {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        let short = Digest::sha256(key);
        block[..short.as_bytes().len()].copy_from_slice(short.as_bytes());
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let with = |pad: u8, text: &[u8]| {
        let mut hasher = Hasher::sha256();
        hasher.update(&block.map(|byte| byte ^ pad));
        hasher.update(text);
        hasher.finish()
    };
    with(0x5c, with(0x36, text).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, cases 1 and 6.
    #[test]
    fn hmac_is_that_of_the_rfc() {
        let one = hmac(&[0x0b; 20], b"Hi There");
        assert_eq!(one.hex(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let six = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(six.hex(), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    /// The reference's own example, "GET Bucket Lifecycle".
    #[test]
    fn a_call_is_signed_as_in_the_reference() {
        let keys = Keys {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
        };
        let call = Signed {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/",
            query: "lifecycle=",
            region: "us-east-1",
            payload: &Digest::sha256(b""),
            time: "20130524T000000Z",
        };
        let signed = authorization(&call, &keys);
        let expected = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543";
        assert!(signed.ends_with(expected), "{signed}");
        assert_eq!(encoded("a b/ü:c"), "a%20b/%C3%BC%3Ac");
    }
}
