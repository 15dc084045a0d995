//! Public keys, and the sets of them that issuers publish. RFC 7517, 7518, 8037.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Map, Value};

use super::json;

/// The most keys that a set may hold: issuers publish two to five.
const MOST_KEYS: usize = 64;

/// A public key. It is of one kind, and only signatures of this kind are checked with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kid: Option<String>,
    /// The one algorithm that its owner names, where they do.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Key {
    /// Our own kind: an uncompressed point of P-256.
    pub(crate) fn p256(kid: String, point: Vec<u8>) -> Self {
        Self { kid: Some(kid), algorithm: Some("ES256".to_owned()), material: Material::P256(point) }
    }

    /// One entry of a set; `None` for what is no signature key that we know: encryption, shared secrets, other curves, and RSA
    /// keys that are too short or too costly.
    fn of(entry: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let bytes = |name: &str| text(name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
        if text("use").is_some_and(|word| word != "sig") {
            return None;
        }
        if let Some(uses) = entry.get("key_ops")
            && !uses.as_array().is_some_and(|uses| uses.iter().any(|word| word == "verify"))
        {
            return None;
        }
        let point = |length: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == length && y.len() == length).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (modulus, exponent) = (trimmed(bytes("n")?), trimmed(bytes("e")?));
                // The verifier knows 2048 to 8192 bits, and exponents below 2^33.
                if !(256..=1024).contains(&modulus.len()) || exponent.len() > 5 {
                    return None;
                }
                Material::Rsa { modulus, exponent }
            }
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(Self { kid: text("kid").map(str::to_owned), algorithm: text("alg").map(str::to_owned), material })
    }

    /// Whether an algorithm's signatures can be this key's.
    pub(crate) fn signs(&self, algorithm: &str) -> bool {
        let kind = match self.material {
            Material::Rsa { .. } => matches!(algorithm, "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512"),
            Material::P256(_) => algorithm == "ES256",
            Material::P384(_) => algorithm == "ES384",
            Material::Ed25519(_) => algorithm == "EdDSA",
        };
        kind && self.algorithm.as_deref().is_none_or(|own| own == algorithm)
    }

    /// Checks a signature of an algorithm that it [`Self::signs`] with.
    pub(crate) fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let with = |kind: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(kind, key).verify(message, signature).is_ok()
        };
        match &self.material {
            Material::Rsa { modulus, exponent } => {
                let kind = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(kind, message, signature).is_ok()
            }
            Material::P256(point) => with(&signature::ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => with(&signature::ECDSA_P384_SHA384_FIXED, point),
            Material::Ed25519(point) => with(&signature::ED25519, point),
        }
    }
}

/// Without leading zeros, which some issuers write and the verifier refuses.
fn trimmed(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros..].to_vec()
}

/// Keys by `kid`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads `{"keys": […]}`; entries that are of no use are left out.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let document = json::object(bytes).ok()?;
        let entries = document.get("keys")?.as_array()?;
        let keys: Vec<_> = entries.iter().take(MOST_KEYS).filter_map(|entry| Key::of(entry.as_object()?)).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// The key that a token means. Without a `kid` only where there is no choice.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: &str) -> Option<&Key> {
        let mut fitting = self.keys.iter().filter(|key| key.signs(algorithm));
        match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}
