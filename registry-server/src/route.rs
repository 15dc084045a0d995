//! THE TABLE: one row an endpoint.
//!
//! A path is cut at its slashes before anything is decoded. `{name}` takes one segment or more and is never
//! decoded, for the grammar of names holds nothing that needs it: `a%2fb` is no name, and no segment can
//! grow a slash. Other placeholders take one segment, which may be percent-encoded (`sha256%3A…`) and is
//! decoded once. Whatever they hold is parsed by the types of [`oci`] before it is used.

use std::pin::Pin;
use std::str::FromStr as _;

use http::{HeaderValue, Method, Response, StatusCode, header};
use oci::{Digest, ErrorCode, RepositoryName, Tag};

use crate::body::Body;
use crate::endpoint::{base, blob, catalog, manifest, observe, referrers, tag, token, upload};
use crate::page;
use crate::refusal::{Refusal, Result};
use crate::server::Call;

/// What an endpoint gives.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>>> + Send>>;

/// Who may come as far as the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Credentials are looked at; wrong ones get 401. What a right is needed for, the endpoint asks.
    Caller,
    /// Nobody is asked for anything: health, and the token endpoint, which asks itself.
    Open,
}

/// One endpoint.
#[derive(Debug)]
pub struct Row {
    /// Its short name, in metrics and in the audit log.
    pub name: &'static str,
    /// Methods that it answers.
    pub methods: &'static [Method],
    /// Its path: literal segments, `{name}` and other placeholders.
    pub path: &'static str,
    /// Whether the caller is identified first.
    pub access: Access,
    /// The endpoint.
    pub endpoint: fn(Call) -> Answer,
}

macro_rules! row {
    ($name:literal, $($method:ident)|+, $path:literal, $access:ident, $endpoint:path) => {
        Row {
            name: $name,
            methods: &[$(Method::$method),+],
            path: $path,
            access: Access::$access,
            endpoint: |call| Box::pin($endpoint(call)),
        }
    };
}

/// Of two rows that fit, the first one answers.
pub static TABLE: &[Row] = &[
    row!("base", GET | HEAD, "/v2/", Caller, base::version),
    row!("base", GET | HEAD, "/v2", Caller, base::version),
    row!("catalog", GET | HEAD, "/v2/_catalog", Caller, catalog::list),
    row!("manifest.get", GET | HEAD, "/v2/{name}/manifests/{reference}", Caller, manifest::get),
    row!("manifest.put", PUT, "/v2/{name}/manifests/{reference}", Caller, manifest::put),
    row!("manifest.delete", DELETE, "/v2/{name}/manifests/{reference}", Caller, manifest::delete),
    row!("blob.get", GET | HEAD, "/v2/{name}/blobs/{digest}", Caller, blob::get),
    row!("blob.delete", DELETE, "/v2/{name}/blobs/{digest}", Caller, blob::delete),
    row!("upload.begin", POST, "/v2/{name}/blobs/uploads/", Caller, upload::begin),
    row!("upload.begin", POST, "/v2/{name}/blobs/uploads", Caller, upload::begin),
    row!("upload.status", GET | HEAD, "/v2/{name}/blobs/uploads/{id}", Caller, upload::status),
    row!("upload.append", PATCH, "/v2/{name}/blobs/uploads/{id}", Caller, upload::append),
    row!("upload.finish", PUT, "/v2/{name}/blobs/uploads/{id}", Caller, upload::finish),
    row!("upload.cancel", DELETE, "/v2/{name}/blobs/uploads/{id}", Caller, upload::cancel),
    row!("tag.list", GET | HEAD, "/v2/{name}/tags/list", Caller, tag::list),
    row!("referrers.list", GET | HEAD, "/v2/{name}/referrers/{digest}", Caller, referrers::list),
    row!("token", GET | POST, "/token", Open, token::answer),
    row!("metrics", GET | HEAD, "/metrics", Caller, observe::figures),
    row!("health", GET | HEAD, "/healthz", Open, observe::alive),
    row!("ready", GET | HEAD, "/readyz", Open, observe::ready),
    row!("page", GET | HEAD | POST, "/", Open, page::answer),
    row!("page", GET | HEAD | POST, "/-/{name}", Open, page::answer),
];

/// What a path holds where its row has placeholders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// As in the path, not decoded.
    name: Option<String>,
    /// Decoded.
    others: Vec<(&'static str, String)>,
}

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A name that may move.
    Tag(Tag),
    /// A name that may not.
    Digest(Digest),
}

impl Parameters {
    /// A placeholder's text, decoded and unchecked.
    pub fn get(&self, placeholder: &str) -> Option<&str> {
        self.others.iter().find(|(name, _)| *name == placeholder).map(|(_, text)| text.as_str())
    }

    /// The text at `{name}`, unchecked.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Puts another name in the place of `{name}`: the one under which a mirror keeps it.
    pub(crate) fn rename(&mut self, name: &RepositoryName) {
        self.name = Some(name.to_string());
    }

    /// The repository at `{name}`.
    ///
    /// # Errors
    /// 400 NAME_INVALID.
    pub fn repository(&self) -> Result<RepositoryName> {
        RepositoryName::from_str(self.name.as_deref().unwrap_or_default())
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::NameInvalid, error.to_string()))
    }

    /// The digest at `{digest}`.
    ///
    /// # Errors
    /// 400 DIGEST_INVALID.
    pub fn digest(&self) -> Result<Digest> {
        digest(self.get("digest").unwrap_or_default())
    }

    /// The tag or digest at `{reference}`. What has a colon is a digest: no tag has one.
    ///
    /// # Errors
    /// 400 DIGEST_INVALID, or MANIFEST_INVALID for a tag that breaks the grammar.
    pub fn reference(&self) -> Result<Reference> {
        let text = self.get("reference").unwrap_or_default();
        if text.contains(':') {
            return digest(text).map(Reference::Digest);
        }
        Tag::from_str(text)
            .map(Reference::Tag)
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid, error.to_string()))
    }
}

/// Parses a digest of a path or query.
///
/// # Errors
/// 400 DIGEST_INVALID, also for algorithms other than sha256 and sha512.
pub fn digest(text: &str) -> Result<Digest> {
    Digest::from_str(text)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid, error.to_string()))
}

/// Finds the row of a request.
///
/// # Errors
/// 404 for a path that no row has, 405 with `Allow` for a method that none of its rows has, 400 for a
/// segment that is not text.
pub fn find(method: &Method, path: &str) -> Result<(&'static Row, Parameters)> {
    let mut allowed = Vec::new();
    for row in TABLE {
        if let Some(parameters) = fit(row.path, path) {
            if row.methods.contains(method) {
                return Ok((row, decoded(parameters)?));
            }
            allowed.extend(row.methods);
        }
    }
    if allowed.is_empty() {
        return Err(Refusal::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported, "there is no such endpoint"));
    }
    let allow = allowed.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
    let refusal =
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, format!("this endpoint answers {allow}"));
    Err(match HeaderValue::try_from(allow) {
        Ok(allow) => refusal.with(header::ALLOW, allow),
        Err(_) => refusal,
    })
}

/// What a pattern's placeholders take of a path, still encoded.
struct Fit<'a> {
    name: Option<&'a str>,
    others: Vec<(&'static str, &'a str)>,
}

/// Lays a pattern over a path: what is before `{name}` from the start, what is behind it from the end.
fn fit<'a>(pattern: &'static str, path: &'a str) -> Option<Fit<'a>> {
    let Some((before, behind)) = pattern.split_once("{name}") else {
        let mut others = Vec::new();
        return segments(pattern.split('/'), path.split('/'), &mut others).then_some(Fit { name: None, others });
    };
    let rest = path.strip_prefix(before)?;
    // `behind` begins with a slash, so its first piece is empty; so many slashes end the name.
    let slashes = behind.matches('/').count();
    if slashes == 0 {
        return (!rest.is_empty()).then_some(Fit { name: Some(rest), others: Vec::new() });
    }
    let (at, _) = rest.rmatch_indices('/').nth(slashes - 1)?;
    let (name, tail) = rest.split_at(at);
    let mut others = Vec::new();
    (!name.is_empty() && segments(behind.split('/'), tail.split('/'), &mut others))
        .then_some(Fit { name: Some(name), others })
}

fn segments<'a>(
    mut pattern: impl Iterator<Item = &'static str>,
    mut path: impl Iterator<Item = &'a str>,
    others: &mut Vec<(&'static str, &'a str)>,
) -> bool {
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) => {
                let placeholder = wanted.strip_prefix('{').and_then(|wanted| wanted.strip_suffix('}'));
                match placeholder {
                    Some(placeholder) if !given.is_empty() => others.push((placeholder, given)),
                    None if wanted == given => {}
                    _ => return false,
                }
            }
            _ => return false,
        }
    }
}

fn decoded(fit: Fit<'_>) -> Result<Parameters> {
    let mut parameters = Parameters { name: fit.name.map(str::to_owned), others: Vec::with_capacity(fit.others.len()) };
    for (placeholder, text) in fit.others {
        let text = percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, "the path is not UTF-8"))?;
        parameters.others.push((placeholder, text.into_owned()));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn finds_rows_by_their_ends() {
        for (method, path, row, name) in [
            (Method::GET, "/v2/", "/v2/", None),
            (Method::GET, "/v2/_catalog", "/v2/_catalog", None),
            (Method::GET, "/v2/a/manifests/latest", "/v2/{name}/manifests/{reference}", Some("a")),
            (Method::PUT, "/v2/a/b/c/manifests/x", "/v2/{name}/manifests/{reference}", Some("a/b/c")),
            (Method::GET, "/v2/manifests/manifests/manifests", "/v2/{name}/manifests/{reference}", Some("manifests")),
            (Method::POST, "/v2/a/blobs/uploads/", "/v2/{name}/blobs/uploads/", Some("a")),
            (Method::POST, "/v2/a/blobs/uploads", "/v2/{name}/blobs/uploads", Some("a")),
            (
                Method::PATCH,
                "/v2/blobs/uploads/blobs/uploads/0",
                "/v2/{name}/blobs/uploads/{id}",
                Some("blobs/uploads"),
            ),
            (Method::GET, "/v2/a/tags/list", "/v2/{name}/tags/list", Some("a")),
            (Method::GET, "/v2/a%2fb/tags/list", "/v2/{name}/tags/list", Some("a%2fb")),
            (Method::GET, "/v2/../../etc/tags/list", "/v2/{name}/tags/list", Some("../../etc")),
        ] {
            let (found, parameters) = find(&method, path).unwrap();
            assert_eq!((found.path, parameters.name()), (row, name), "{path}");
        }
    }

    #[test]
    fn knows_what_it_does_not_have() {
        for path in ["", "*", "/v1/", "/v2//", "/v2/a", "/v2/a/", "/v2/tags/list", "/v2//tags/list", "/v2/a/manifests/"]
        {
            assert_eq!(find(&Method::GET, path).unwrap_err().status, StatusCode::NOT_FOUND, "{path}");
        }
        let refusal = find(&Method::POST, "/v2/a/manifests/x").unwrap_err();
        assert_eq!(refusal.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refusal.headers[0].1, "GET, HEAD, PUT, DELETE");
    }

    #[test]
    fn decodes_a_segment_once_and_a_name_never() {
        let reference = |path: &str| find(&Method::GET, path).and_then(|(_, parameters)| parameters.reference());
        let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
        assert_eq!(reference(&format!("/v2/a/manifests/sha256%3A{HEX}")).unwrap(), Reference::Digest(digest));
        for bad in [
            "%2e%2e",
            "a%2fb",
            "a%252fb",
            "a%00",
            "a%0a",
            "%ff",
            "%c0%ae",
            "sha256:..%2f..",
            "sha256:",
            "-x",
            ".x",
            "a b",
        ] {
            assert_eq!(
                reference(&format!("/v2/a/manifests/{bad}")).unwrap_err().status,
                StatusCode::BAD_REQUEST,
                "{bad}"
            );
        }
        for bad in ["a%2fb", "..", "A", "a/../b", "a%00", "_a", "a__", "%61"] {
            let (_, parameters) = find(&Method::GET, &format!("/v2/{bad}/tags/list")).unwrap();
            assert_eq!(parameters.repository().unwrap_err().code, Some(ErrorCode::NameInvalid), "{bad}");
        }
    }
}
