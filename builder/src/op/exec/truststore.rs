//! A PKCS #12 store of trusted certificates for Java, without a password. Specification: RFC 7292.
//!
//! Certificates are public, so that there is nothing to encrypt, and Java reads such a store with an empty password. It takes
//! a certificate for a trusted one by the attribute that Oracle defined for it.

/// DER tags.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const BMP_STRING: u8 = 0x1e;
const EXPLICIT_0: u8 = 0xa0;

/// 1.2.840.113549.1.7.1: data.
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.12.10.1.3: certBag.
const CERT_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
/// 1.2.840.113549.1.9.22.1: x509Certificate.
const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
/// 1.2.840.113549.1.9.20: friendlyName.
const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14];
/// 2.16.840.1.113894.746875.1.1: Oracle's trustedKeyUsage.
const TRUSTED_KEY_USAGE: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];
/// 2.5.29.37.0: anyExtendedKeyUsage.
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// The store of all certificates in a PEM bundle.
pub(super) fn pkcs12(pem: &[u8]) -> Vec<u8> {
    let bags: Vec<Vec<u8>> = certificates(pem).iter().enumerate().map(|(number, der)| bag(number, der)).collect();
    let contents = tlv(SEQUENCE, &bags.concat());
    let safe = tlv(SEQUENCE, &data(&contents));
    tlv(SEQUENCE, &[tlv(INTEGER, &[3]), data(&safe)].concat())
}

/// A `ContentInfo` of type data.
fn data(bytes: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[tlv(OID, DATA), tlv(EXPLICIT_0, &tlv(OCTETS, bytes))].concat())
}

fn bag(number: usize, der: &[u8]) -> Vec<u8> {
    let certificate = tlv(SEQUENCE, &[tlv(OID, X509), tlv(EXPLICIT_0, &tlv(OCTETS, der))].concat());
    let name: Vec<u8> = format!("ca{number}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    let attribute = |oid: &[u8], value: Vec<u8>| tlv(SEQUENCE, &[tlv(OID, oid), tlv(SET, &value)].concat());
    let attributes =
        [attribute(FRIENDLY_NAME, tlv(BMP_STRING, &name)), attribute(TRUSTED_KEY_USAGE, tlv(OID, ANY_USAGE))];
    tlv(SEQUENCE, &[tlv(OID, CERT_BAG), tlv(EXPLICIT_0, &certificate), tlv(SET, &attributes.concat())].concat())
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(value.len()) {
        Ok(short) if short < 128 => out.push(short),
        _ => {
            let length = value.len().to_be_bytes();
            let skip = length.iter().take_while(|byte| **byte == 0).count();
            out.push(0x80 | (length.len() - skip) as u8);
            out.extend_from_slice(&length[skip..]);
        }
    }
    out.extend_from_slice(value);
    out
}

/// The certificates of a PEM bundle, decoded; what is none is passed over.
fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(pem);
    let mut found = Vec::new();
    let mut rest = &*text;
    while let Some((_, after)) = rest.split_once("-----BEGIN CERTIFICATE-----") {
        let Some((body, next)) = after.split_once("-----END CERTIFICATE-----") else { break };
        found.extend(base64(body));
        rest = next;
    }
    found
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_decodes() {
        assert_eq!(base64("aGVs\nbG8=").unwrap(), b"hello");
        assert_eq!(base64("?"), None);
    }

    #[test]
    fn lengths_are_der() {
        assert_eq!(tlv(OCTETS, &[0; 3])[..2], [OCTETS, 3]);
        assert_eq!(tlv(OCTETS, &[0; 200])[..3], [OCTETS, 0x81, 200]);
        assert_eq!(tlv(OCTETS, &[0; 300])[..4], [OCTETS, 0x82, 1, 44]);
    }

    #[test]
    fn a_bundle_gives_as_many_certificates() {
        let pem = b"x\n-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n";
        assert_eq!(certificates(pem), [b"hello".to_vec(), b"hi".to_vec()]);
        assert!(!pkcs12(pem).is_empty());
    }
}
