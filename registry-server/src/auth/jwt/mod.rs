//! JSON Web Tokens, as far as a registry needs them: signed, compact, asymmetric.
//! Specifications: RFC 7515 (JWS), 7517 (JWK), 7518 (algorithms), 7519 (JWT), 8037 (EdDSA), 8725 (best practice).
//!
//! A token never chooses how it is checked: keys come from our own folder or from an issuer that the configuration
//! names, and each key is bound to its kind of signature. A header that tries (`jwk`, `jku`, `x5u`, `x5c`, `crit`,
//! `alg` of another kind) ends the matter.

pub(crate) mod json;
pub(crate) mod key;
mod times;

pub(crate) use key::{Key, KeySet};
pub(crate) use times::Times;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The longest token: GitHub's have 1.5 KiB, those of directories with many groups some 10.
pub(crate) const LONGEST: usize = 16 * 1024;

/// Header fields that a checked token may carry: the rest is refused only where it could steer the check.
const STEERING: &[&str] = &["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc"];

/// Why a token is none. Says nothing about keys or callers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More than 16 KiB.
    #[error("the token is longer than {LONGEST} bytes")]
    Long,
    /// Not three parts of base64url, or not JSON in them.
    #[error("the token is malformed")]
    Malformed,
    /// A header field that would steer the check.
    #[error("the token's header holds `{0}`")]
    Steering(&'static str),
    /// `none`, a shared secret, or one that is not allowed here.
    #[error("the token's signature is of a kind that is not accepted")]
    Algorithm,
    /// Another kind of token (a refresh token as an access token).
    #[error("the token is of another type")]
    Type,
    /// No key has its `kid`.
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    /// It does not verify.
    #[error("the token's signature does not verify")]
    Signature,
    /// Not by whom it must be.
    #[error("the token is of an issuer that is not trusted here")]
    Issuer,
    /// Not for us.
    #[error("the token was made for somebody else")]
    Audience,
    /// Over.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    Early,
    /// A claim that must be there is not, or is of the wrong type.
    #[error("the token's claim `{0}` is missing or wrong")]
    Claim(&'static str),
    /// A condition of the configuration does not hold.
    #[error("the token's claim `{0}` is not what the configuration asks for")]
    Condition(String),
    /// The issuer's keys cannot be had right now.
    #[error("the keys of the token's issuer cannot be fetched")]
    Unavailable,
}

/// A token taken apart; nothing in it is proven.
#[derive(Debug, Clone)]
pub(crate) struct Parts<'a> {
    pub(crate) algorithm: String,
    pub(crate) kid: Option<String>,
    pub(crate) r#type: Option<String>,
    pub(crate) claims: Map<String, Value>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// Takes a token apart, strictly.
    pub(crate) fn parse(token: &'a str) -> Result<Self, Error> {
        if token.len() > LONGEST {
            return Err(Error::Long);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Error::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Error::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Malformed);
        let object = |part: &str| json::object(&decode(part)?).map_err(|_| Error::Malformed);
        let header = object(header)?;
        if let Some(steering) = STEERING.iter().find(|name| header.contains_key(**name)) {
            return Err(Error::Steering(steering));
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Error::Malformed),
        };
        Ok(Self {
            algorithm: text("alg")?.ok_or(Error::Algorithm)?,
            kid: text("kid")?,
            r#type: text("typ")?,
            claims: object(payload)?,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
        })
    }

    /// The issuer that it names.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Whether a key made its signature, in the way that it says and the key can.
    pub(crate) fn verify(&self, key: &Key) -> Result<(), Error> {
        if !key.signs(&self.algorithm) {
            return Err(Error::Algorithm);
        }
        if key.verify(&self.algorithm, self.signed, &self.signature) { Ok(()) } else { Err(Error::Signature) }
    }

    /// Whether `aud`, a word or a list, holds one of these.
    pub(crate) fn is_for(&self, audiences: &[String]) -> Result<(), Error> {
        let meant = |word: &Value| word.as_str().is_some_and(|word| audiences.iter().any(|ours| ours == word));
        let found = match self.claims.get("aud") {
            Some(Value::Array(words)) => words.iter().any(meant),
            Some(word) => meant(word),
            None => false,
        };
        if found { Ok(()) } else { Err(Error::Audience) }
    }

    /// A claim that is text.
    pub(crate) fn text(&self, name: &'static str) -> Result<&str, Error> {
        self.claims.get(name).and_then(Value::as_str).ok_or(Error::Claim(name))
    }
}

/// The claims of a token that one of a published set of keys has signed. Whom it is from, whom it is for and whether it holds now are left to
/// the caller.
///
/// # Errors
/// [`Error`].
pub fn claims(token: &str, keys: &[u8]) -> Result<Map<String, Value>, Error> {
    let parts = Parts::parse(token)?;
    let keys = KeySet::parse(keys).ok_or(Error::Unavailable)?;
    parts.verify(keys.find(parts.kid.as_deref(), &parts.algorithm).ok_or(Error::UnknownKey)?)?;
    Ok(parts.claims)
}

/// Whether a word looks like a token: what decides whether a password is checked as one.
pub(crate) fn looks_like(word: &str) -> bool {
    let base64 =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    word.starts_with("eyJ") && word.split('.').count() == 3 && word.split('.').all(base64)
}

/// Encodes a part of a token.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests;
