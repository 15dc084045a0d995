//! Private keys in files, as ssh-keygen writes them (PROTOCOL.key of OpenSSH), and RSA and PKCS#8 as PEM. They sign; nothing
//! else comes out of them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};

use super::wire::{self, Reader};

/// As large as a file of a key may be, which is BuildKit's limit.
const MAX_FILE: u64 = 100 << 10;
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Flags of a request to sign: draft-miller-ssh-agent, section 5.3.
const SHA2_256: u32 = 2;
const SHA2_512: u32 = 4;

/// Why a file gives no key. It says nothing of what the file holds.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is protected.
    #[error("{path}: the key has a passphrase; add it to an agent (`ssh-add {path}`) and use `--ssh default`")]
    Passphrase {
        /// The file.
        path: PathBuf,
    },
    /// It is something else, or of a kind that we do not sign with.
    #[error(
        "{path}: {what}; ed25519, RSA of 2048 to 4096 bits, and ECDSA of 256 and 384 bits work, any other by an agent"
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        what: String,
    },
}

/// A key that signs.
pub(super) struct Key {
    pair: Pair,
    /// The public half, as agents tell it.
    pub(super) public: Vec<u8>,
    /// The key's comment.
    pub(super) comment: String,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair, &'static str),
    Rsa(Box<RsaKeyPair>),
}

/// What is wrong with a key, without its file.
enum Fault {
    Passphrase,
    Unknown(String),
}

impl From<&str> for Fault {
    fn from(what: &str) -> Self {
        Self::Unknown(what.to_owned())
    }
}

const DAMAGED: &str = "the key is damaged";

impl Key {
    /// Reads one.
    pub(super) fn read(path: &Path) -> Result<Self, KeyError> {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
        if let Err(source) = read {
            if source.kind() == std::io::ErrorKind::InvalidData {
                return Err(KeyError::Unknown { path: path.into(), what: "this is no private key".to_owned() });
            }
            return Err(KeyError::Read { path: path.into(), source });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::parse(&text, &name).map_err(|fault| match fault {
            Fault::Passphrase => KeyError::Passphrase { path: path.into() },
            Fault::Unknown(what) => KeyError::Unknown { path: path.into(), what },
        })
    }

    fn parse(text: &str, name: &str) -> Result<Self, Fault> {
        let (label, body) = armour(text).ok_or("this is no private key")?;
        if body.contains("ENCRYPTED") || label == "ENCRYPTED PRIVATE KEY" {
            return Err(Fault::Passphrase);
        }
        let packed: String = body.split_whitespace().collect();
        let bytes = STANDARD.decode(packed).map_err(|_| DAMAGED)?;
        match label {
            "OPENSSH PRIVATE KEY" => openssh(&bytes, name),
            "RSA PRIVATE KEY" => rsa(RsaKeyPair::from_der(&bytes), name),
            "PRIVATE KEY" => pkcs8(&bytes, name),
            other => Err(Fault::Unknown(format!("a file of the kind {other:?}"))),
        }
    }

    /// Signs. `None` where the asker wants an algorithm that is not to be had.
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let rng = SystemRandom::new();
        let (algorithm, signature) = match &self.pair {
            Pair::Ed25519(pair) => ("ssh-ed25519".to_owned(), pair.sign(data).as_ref().to_vec()),
            Pair::Ecdsa(pair, curve) => {
                let signed = pair.sign(&rng, data).ok()?;
                let (r, s) = signed.as_ref().split_at(signed.as_ref().len() / 2);
                let mut both = Vec::new();
                wire::integer(&mut both, r);
                wire::integer(&mut both, s);
                (format!("ecdsa-sha2-{curve}"), both)
            }
            Pair::Rsa(pair) => {
                let (name, encoding): (_, &dyn ring::signature::RsaEncoding) = match flags {
                    flags if flags & SHA2_512 != 0 => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
                    flags if flags & SHA2_256 != 0 => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
                    // SHA-1, which no server of this decade takes.
                    _ => return None,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &rng, data, &mut signature).ok()?;
                (name.to_owned(), signature)
            }
        };
        let mut out = Vec::new();
        wire::string(&mut out, algorithm.as_bytes());
        wire::string(&mut out, &signature);
        Some(out)
    }
}

/// The first block between `-----BEGIN x-----` and `-----END x-----`.
fn armour(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    Some((label, body))
}

fn openssh(bytes: &[u8], name: &str) -> Result<Key, Fault> {
    let mut reader = Reader(bytes.strip_prefix(MAGIC).ok_or(DAMAGED)?);
    let cipher = reader.text().ok_or(DAMAGED)?;
    if cipher != "none" {
        return Err(Fault::Passphrase);
    }
    let (_kdf, _options) = (reader.string().ok_or(DAMAGED)?, reader.string().ok_or(DAMAGED)?);
    if reader.number() != Some(1) {
        return Err(DAMAGED.into());
    }
    let _public = reader.string().ok_or(DAMAGED)?;
    let mut inner = Reader(reader.string().ok_or(DAMAGED)?);
    if inner.number() != inner.number() {
        return Err(DAMAGED.into());
    }
    let kind = inner.text().ok_or(DAMAGED)?;
    let mut key = match kind {
        "ssh-ed25519" => openssh_ed25519(&mut inner),
        "ssh-rsa" => openssh_rsa(&mut inner),
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" => openssh_ecdsa(&mut inner),
        other => return Err(Fault::Unknown(format!("a key of the kind {other}"))),
    }?;
    key.comment = inner.text().filter(|comment| !comment.is_empty()).unwrap_or(name).to_owned();
    Ok(key)
}

fn openssh_ed25519(inner: &mut Reader<'_>) -> Result<Key, Fault> {
    let public = inner.string().ok_or(DAMAGED)?;
    let seed = inner.string().and_then(|both| both.get(..32)).ok_or(DAMAGED)?;
    ed25519(Ed25519KeyPair::from_seed_and_public_key(seed, public), "")
}

fn openssh_ecdsa(inner: &mut Reader<'_>) -> Result<Key, Fault> {
    let curve = inner.text().ok_or(DAMAGED)?;
    let (algorithm, curve, length) = curve_of(curve).ok_or(DAMAGED)?;
    let public = inner.string().ok_or(DAMAGED)?;
    let scalar = inner.integer().filter(|scalar| scalar.len() <= length).ok_or(DAMAGED)?;
    let mut padded = vec![0; length - scalar.len()];
    padded.extend_from_slice(scalar);
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &padded, public, &SystemRandom::new());
    Ok(ecdsa(pair.map_err(|_| DAMAGED)?, curve, ""))
}

fn curve_of(name: &str) -> Option<(&'static EcdsaSigningAlgorithm, &'static str, usize)> {
    match name {
        "nistp256" => Some((&ECDSA_P256_SHA256_FIXED_SIGNING, "nistp256", 32)),
        "nistp384" => Some((&ECDSA_P384_SHA384_FIXED_SIGNING, "nistp384", 48)),
        _ => None,
    }
}

fn openssh_rsa(inner: &mut Reader<'_>) -> Result<Key, Fault> {
    let mut next = || inner.integer().ok_or(Fault::from(DAMAGED));
    let (n, e, d, coefficient, p, q) = (next()?, next()?, next()?, next()?, next()?, next()?);
    // The file leaves out what the Chinese remainder theorem wants besides.
    let (d_p, d_q) = (remainder(d, &less_one(p)), remainder(d, &less_one(q)));
    let components = ring::rsa::KeyPairComponents {
        public_key: ring::rsa::PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: d_p.as_slice(),
        dQ: d_q.as_slice(),
        qInv: coefficient,
    };
    rsa(RsaKeyPair::from_components(&components), "")
}

/// An odd number less one.
fn less_one(prime: &[u8]) -> Vec<u8> {
    let mut less = prime.to_vec();
    if let Some(last) = less.last_mut() {
        *last &= !1;
    }
    less
}

/// `number` modulo `modulus`, both big-endian, bit by bit: it is done twice for a key.
fn remainder(number: &[u8], modulus: &[u8]) -> Vec<u8> {
    // One byte more than the modulus: twice a remainder fits.
    let mut rest = vec![0u8; modulus.len() + 1];
    let mut wide = vec![0u8];
    wide.extend_from_slice(modulus);
    for bit in (0..number.len() * 8).map(|at| number[at / 8] >> (7 - at % 8) & 1) {
        let mut carry = bit;
        for byte in rest.iter_mut().rev() {
            let top = *byte >> 7;
            *byte = *byte << 1 | carry;
            carry = top;
        }
        if rest >= wide {
            let mut borrow = false;
            for (byte, less) in rest.iter_mut().zip(&wide).rev() {
                let (once, first) = byte.overflowing_sub(*less);
                let (twice, second) = once.overflowing_sub(u8::from(borrow));
                (*byte, borrow) = (twice, first || second);
            }
        }
    }
    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
    rest.split_off(zeros)
}

fn pkcs8(bytes: &[u8], name: &str) -> Result<Key, Fault> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
        return ed25519(Ok(pair), name);
    }
    for curve in ["nistp256", "nistp384"] {
        let Some((algorithm, curve, _)) = curve_of(curve) else { continue };
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, bytes, &SystemRandom::new()) {
            return Ok(ecdsa(pair, curve, name));
        }
    }
    rsa(RsaKeyPair::from_pkcs8(bytes), name)
}

type Parsed<T> = Result<T, ring::error::KeyRejected>;

fn ed25519(pair: Parsed<Ed25519KeyPair>, comment: &str) -> Result<Key, Fault> {
    let pair = pair.map_err(|_| DAMAGED)?;
    let mut public = Vec::new();
    wire::string(&mut public, b"ssh-ed25519");
    wire::string(&mut public, pair.public_key().as_ref());
    Ok(Key { pair: Pair::Ed25519(pair), public, comment: comment.to_owned() })
}

fn ecdsa(pair: EcdsaKeyPair, curve: &'static str, comment: &str) -> Key {
    let mut public = Vec::new();
    wire::string(&mut public, format!("ecdsa-sha2-{curve}").as_bytes());
    wire::string(&mut public, curve.as_bytes());
    wire::string(&mut public, pair.public_key().as_ref());
    Key { pair: Pair::Ecdsa(pair, curve), public, comment: comment.to_owned() }
}

fn rsa(pair: Parsed<RsaKeyPair>, comment: &str) -> Result<Key, Fault> {
    let pair = pair.map_err(|error| Fault::Unknown(format!("an RSA key that is not taken ({error})")))?;
    let components = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let mut public = Vec::new();
    wire::string(&mut public, b"ssh-rsa");
    wire::integer(&mut public, &components.e);
    wire::integer(&mut public, &components.n);
    Ok(Key { pair: Pair::Rsa(Box::new(pair)), public, comment: comment.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_of_any_length() {
        assert_eq!(remainder(&[0x01, 0x00], &[0x07]), [4]);
        assert_eq!(
            remainder(&[0xff, 0xff, 0xff, 0xff, 0xff], &[0xff, 0xf1]),
            (0xff_ffff_ffffu64 % 0xfff1).to_be_bytes()[6..]
        );
        assert_eq!(remainder(&[6], &[7]), [6]);
        assert!(remainder(&[14], &[7]).is_empty());
    }

    #[test]
    fn what_is_no_key_is_said_without_its_content() {
        for text in
            ["", "hunter2", "-----BEGIN OPENSSH PRIVATE KEY-----\naHVudGVyMg==\n-----END OPENSSH PRIVATE KEY-----\n"]
        {
            let Err(Fault::Unknown(what)) = Key::parse(text, "k") else { panic!("{text:?} is taken") };
            assert!(!what.contains("hunter2"), "{what}");
        }
        let locked = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(matches!(Key::parse(locked, "k"), Err(Fault::Passphrase)));
    }
}
