//! Manifests as they arrive: what they are, what they reference, and why they are refused. Pure.
//!
//! The exact bytes are stored; what is parsed here is only what the registry must know. It is read strictly where two
//! readers could understand one document differently, for then a client would run what nobody scanned: keys
//! that are given twice or in another case, an index that is also an image, a media type that
//! the header and the body disagree on. Unknown fields are let through.
//!
//! Specification: OCI image-spec, manifest.md and image-index.md; distribution-spec, "Pushing Manifests".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use oci::{Digest, media_type};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::metadata::{Edge, EdgeKind};

/// The artifact manifest of an image-spec 1.1 release candidate: never final, and still found in registries.
const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// Docker's signed and unsigned schema 1.
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
/// Levels of nesting: an image needs four.
const DEPTH: usize = 64;
/// Keys of one object that the registry does not know: small ones cost many times their bytes in memory.
const UNKNOWN_KEYS: usize = 1_000;
/// Annotations of one manifest, for the same reason.
const ANNOTATIONS: usize = 10_000;
/// A media type or artifact type: two names of 127 characters (RFC 6838, section 4.2).
const TYPE_LENGTH: usize = 255;
/// References of one manifest: each costs a row, and no image comes near.
const REFERENCES: usize = 10_000;

/// What is known of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its content type, without parameters.
    pub media_type: &'static str,
    /// Its artifact type; the config's media type where it has none of its own.
    pub artifact_type: Option<String>,
    /// Its annotations as a JSON object; `None` where there are none.
    pub annotations: Option<String>,
    /// What it refers to.
    pub subject: Option<Digest>,
    /// What it references, in its order.
    pub edges: Vec<Edge>,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not JSON, or not of a manifest's shape.
    #[error("the manifest is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Nested beyond reason.
    #[error("the manifest is nested more than {DEPTH} levels deep")]
    Deep,
    /// More references than are accepted.
    #[error("the manifest has {0} references; at most {REFERENCES} are accepted")]
    Many(usize),
    /// Docker's schema 1.
    #[error("schema 1 manifests are not accepted: push the image with a client of Docker 1.10 or later")]
    Schema1,
    /// A schema version that does not exist.
    #[error("the manifest's schemaVersion must be 2")]
    Version,
    /// The header and the body say different things.
    #[error("the Content-Type is {header:?}, and the manifest says that it is {body:?}")]
    Mismatch {
        /// What the header says.
        header: String,
        /// What the body says.
        body: String,
    },
    /// Neither an image nor an index.
    #[error("{0:?} is not a media type of manifests")]
    Unknown(String),
    /// Nothing says what it is.
    #[error("neither the Content-Type nor the manifest says what it is")]
    Untyped,
    /// A field that must be there, or must not.
    #[error("{0}")]
    Shape(&'static str),
}

/// Reads a manifest that came with a `Content-Type`.
///
/// # Errors
/// When it is refused.
pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Manifest, Error> {
    if too_deep(bytes) {
        return Err(Error::Deep);
    }
    let document: Document = serde_json::from_slice(bytes)?;
    let media_type = settle(content_type, &document)?;
    check_shape(media_type, &document)?;
    let count = [&document.layers, &document.manifests, &document.blobs].map(|list| list.as_ref().map_or(0, Vec::len));
    let count = count.iter().sum::<usize>();
    if count > REFERENCES {
        return Err(Error::Many(count));
    }
    let artifact_type = document.artifact_type.clone().filter(|text| !text.is_empty());
    let artifact_type = artifact_type.or_else(|| document.config.as_ref().map(|config| config.media_type.clone()));
    if artifact_type.as_ref().is_some_and(|text| text.len() > TYPE_LENGTH) {
        return Err(Error::Shape("an artifact type has at most 255 characters"));
    }
    let annotations = document.annotations.as_ref().map(|map| &map.0).filter(|map| !map.is_empty());
    Ok(Manifest {
        media_type,
        artifact_type,
        annotations: annotations.map(serde_json::to_string).transpose()?,
        subject: document.subject.as_ref().map(|subject| subject.digest),
        edges: edges(&document),
    })
}

/// The media type that header and body agree on. A header's parameters (`; charset=utf-8`) are dropped.
fn settle(content_type: Option<&str>, document: &Document) -> Result<&'static str, Error> {
    let header =
        content_type.map(|text| text.split(';').next().unwrap_or_default().trim()).filter(|text| !text.is_empty());
    let body = document.media_type.as_deref().filter(|text| !text.is_empty());
    if document.legacy || document.schema_version == Some(1) || header.is_some_and(|header| SCHEMA_1.contains(&header))
    {
        return Err(Error::Schema1);
    }
    let said = match (header, body) {
        (Some(header), Some(body)) if header != body => {
            return Err(Error::Mismatch { header: excerpt(header), body: excerpt(body) });
        }
        (Some(said), _) | (None, Some(said)) => said,
        (None, None) if document.manifests.is_some() => media_type::OCI_INDEX,
        (None, None) if document.config.is_some() => media_type::OCI_MANIFEST,
        (None, None) => return Err(Error::Untyped),
    };
    KINDS.iter().find(|known| **known == said).copied().ok_or_else(|| Error::Unknown(excerpt(said)))
}

/// What is accepted.
const KINDS: [&str; 5] = [
    media_type::OCI_MANIFEST,
    media_type::OCI_INDEX,
    media_type::DOCKER_MANIFEST,
    media_type::DOCKER_INDEX,
    OCI_ARTIFACT,
];

fn check_shape(media_type: &str, document: &Document) -> Result<(), Error> {
    if media_type != OCI_ARTIFACT && document.schema_version != Some(2) {
        return Err(Error::Version);
    }
    let image = document.config.is_some() || document.layers.is_some();
    let (index, blobs) = (document.manifests.is_some(), document.blobs.is_some());
    if media_type::is_index(media_type) {
        if image || blobs {
            return Err(Error::Shape("an index has `manifests`, and neither `config` nor `layers` nor `blobs`"));
        }
    } else if media_type == OCI_ARTIFACT {
        if image || index {
            return Err(Error::Shape(
                "an artifact manifest has `blobs`, and neither `config` nor `layers` nor `manifests`",
            ));
        }
    } else if index || blobs || document.config.is_none() {
        return Err(Error::Shape("an image manifest has `config` and `layers`, and neither `manifests` nor `blobs`"));
    }
    Ok(())
}

fn edges(document: &Document) -> Vec<Edge> {
    let config = document.config.iter().map(|config| config.edge(EdgeKind::Config));
    let blobs = document.layers.iter().chain(&document.blobs).flatten().map(|blob| blob.edge(EdgeKind::Layer));
    // An index may list blobs, too: that is how BuildKit keeps a cache.
    let listed = document.manifests.iter().flatten().map(|listed| {
        let manifest = KINDS.contains(&listed.media_type.as_str()) || SCHEMA_1.contains(&listed.media_type.as_str());
        listed.edge(if manifest { EdgeKind::Manifest } else { EdgeKind::Layer })
    });
    config.chain(blobs).chain(listed).collect()
}

fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Whether brackets outside of strings nest beyond [`DEPTH`]. A scan, so that no parser has to descend.
fn too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                if depth > DEPTH {
                    return true;
                }
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// An object whose keys are each given once, in the specification's case.
trait Strict: Default {
    /// What it is, for errors.
    const WHAT: &'static str;
    /// The keys that it knows.
    const KEYS: &'static [&'static str];

    /// Takes the value of one of [`Self::KEYS`].
    fn take<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error>;
}

struct StrictVisitor<T>(PhantomData<T>);

impl<'de, T: Strict> Visitor<'de> for StrictVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, a JSON object", T::WHAT)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<T, M::Error> {
        let mut value = T::default();
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if T::KEYS.contains(&key.as_str()) {
                value.take(&key, &mut map)?;
            } else if let Some(known) = T::KEYS.iter().find(|known| known.eq_ignore_ascii_case(&key)) {
                return Err(M::Error::custom(format!("`{}` is written `{known}`", excerpt(&key))));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if seen.contains(&key) {
                return Err(M::Error::custom(format!("`{}` is given twice", excerpt(&key))));
            }
            if seen.len() > UNKNOWN_KEYS + T::KEYS.len() {
                return Err(M::Error::custom(format!("{} has more than {UNKNOWN_KEYS} unknown keys", T::WHAT)));
            }
            seen.insert(key);
        }
        Ok(value)
    }
}

macro_rules! strict {
    ($type:ty) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(StrictVisitor(PhantomData))
            }
        }
    };
}

#[derive(Debug, Default)]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Reference>,
    layers: Option<Vec<Reference>>,
    manifests: Option<Vec<Reference>>,
    blobs: Option<Vec<Reference>>,
    subject: Option<Reference>,
    annotations: Option<Annotations>,
    /// Has what only schema 1 has.
    legacy: bool,
}

strict!(Document);

impl Strict for Document {
    const WHAT: &'static str = "a manifest";
    const KEYS: &'static [&'static str] = &[
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "manifests",
        "blobs",
        "subject",
        "annotations",
        "fsLayers",
        "signatures",
    ];

    fn take<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        match key {
            "schemaVersion" => self.schema_version = map.next_value()?,
            "mediaType" => self.media_type = map.next_value()?,
            "artifactType" => self.artifact_type = map.next_value()?,
            "config" => self.config = map.next_value()?,
            "layers" => self.layers = map.next_value()?,
            "manifests" => self.manifests = map.next_value()?,
            "blobs" => self.blobs = map.next_value()?,
            "subject" => self.subject = map.next_value()?,
            "annotations" => self.annotations = map.next_value()?,
            _ => {
                map.next_value::<IgnoredAny>()?;
                self.legacy = true;
            }
        }
        Ok(())
    }
}

/// A descriptor, as far as the registry looks.
#[derive(Debug)]
struct Reference {
    media_type: String,
    digest: Digest,
    size: u64,
    foreign: bool,
}

impl Reference {
    fn edge(&self, kind: EdgeKind) -> Edge {
        let kept_elsewhere = self.media_type.contains(".nondistributable.") || self.media_type.contains(".foreign.");
        Edge { kind, digest: self.digest, size: self.size, optional: self.foreign || kept_elsewhere }
    }
}

#[derive(Debug, Default)]
struct Fields {
    media_type: Option<String>,
    digest: Option<Digest>,
    size: Option<u64>,
    urls: Option<Vec<IgnoredAny>>,
}

impl Strict for Fields {
    const WHAT: &'static str = "a descriptor";
    const KEYS: &'static [&'static str] =
        &["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];

    fn take<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        match key {
            "mediaType" => self.media_type = map.next_value()?,
            "digest" => self.digest = map.next_value()?,
            "size" => self.size = map.next_value()?,
            "urls" => self.urls = map.next_value()?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields: Fields = deserializer.deserialize_map(StrictVisitor(PhantomData))?;
        match fields {
            Fields { media_type: Some(media_type), digest: Some(digest), size: Some(size), urls } => {
                Ok(Self { media_type, digest, size, foreign: urls.is_some_and(|urls| !urls.is_empty()) })
            }
            _ => Err(D::Error::custom("a descriptor has `mediaType`, `digest` and `size`")),
        }
    }
}

/// Annotations: text by key, each key once.
#[derive(Debug, Default)]
struct Annotations(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Annotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations, an object of texts")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Annotations, M::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if entries.insert(key, value).is_some() {
                        return Err(M::Error::custom("an annotation is given twice"));
                    }
                    if entries.len() > ANNOTATIONS {
                        return Err(M::Error::custom(format!("there are more than {ANNOTATIONS} annotations")));
                    }
                }
                Ok(Annotations(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{A}","size":7}}"#)
    }

    fn image(more: &str) -> String {
        let (config, layer) = (descriptor("application/x.config"), descriptor(media_type::OCI_LAYER));
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]{more}}}"#)
    }

    #[test]
    fn knows_images_indexes_and_artifacts() {
        let kinds =
            |manifest: &Manifest| manifest.edges.iter().map(|edge| (edge.kind, edge.optional)).collect::<Vec<_>>();
        let parsed = parse(image("").as_bytes(), Some(media_type::DOCKER_MANIFEST)).unwrap();
        assert_eq!(parsed.media_type, media_type::DOCKER_MANIFEST);
        assert_eq!(parsed.artifact_type.as_deref(), Some("application/x.config"));
        assert_eq!(kinds(&parsed), [(EdgeKind::Config, false), (EdgeKind::Layer, false)]);
        assert_eq!(parse(image("").as_bytes(), None).unwrap().media_type, media_type::OCI_MANIFEST);

        let more = format!(
            r#","mediaType":"{}","artifactType":"a/b","subject":{},"annotations":{{"k":"v"}},"x":{{"layers":[]}}"#,
            media_type::OCI_MANIFEST,
            descriptor("s"),
        );
        let parsed =
            parse(image(&more).as_bytes(), Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8")).unwrap();
        assert_eq!(parsed.artifact_type.as_deref(), Some("a/b"));
        assert_eq!(parsed.annotations.as_deref(), Some(r#"{"k":"v"}"#));
        assert_eq!(parsed.subject, Some(A.parse().unwrap()));

        let listed = [descriptor(media_type::OCI_MANIFEST), descriptor(media_type::OCI_LAYER_ZSTD)].join(",");
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{listed}]}}"#);
        let parsed = parse(index.as_bytes(), Some(media_type::OCI_INDEX)).unwrap();
        assert_eq!(kinds(&parsed), [(EdgeKind::Manifest, false), (EdgeKind::Layer, false)]);
        assert_eq!(parsed.artifact_type, None);

        let blobs = format!(r#"{{"mediaType":"{OCI_ARTIFACT}","blobs":[{}]}}"#, descriptor("t"));
        assert_eq!(kinds(&parse(blobs.as_bytes(), None).unwrap()), [(EdgeKind::Layer, false)]);
    }

    #[test]
    fn foreign_layers_are_optional() {
        for layer in [
            descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
            descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
            format!(r#"{{"mediaType":"t","digest":"{A}","size":1,"urls":["https://example.com/"]}}"#),
        ] {
            let text = format!(r#"{{"schemaVersion":2,"config":{},"layers":[{layer}]}}"#, descriptor("c"));
            assert!(parse(text.as_bytes(), None).unwrap().edges[1].optional, "{layer}");
        }
    }

    #[test]
    fn go_writes_null_for_nothing() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":null,"annotations":null,"subject":null,"manifests":null}}"#,
            descriptor("c")
        );
        assert_eq!(parse(text.as_bytes(), None).unwrap().edges.len(), 1);
        let index = br#"{"schemaVersion":2,"manifests":null}"#;
        assert!(parse(index, Some(media_type::OCI_INDEX)).unwrap().edges.is_empty());
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        let index = Some(media_type::OCI_INDEX);
        let (config, oci) = (descriptor("c"), Some(media_type::OCI_MANIFEST));
        for (text, content_type, expected) in [
            (image(r#","manifests":[]"#), oci, "image manifest"),
            (image(r#","manifests":[]"#), index, "an index"),
            (image(r#","Layers":[]"#), oci, "is written `layers`"),
            (image(r#","MANIFESTS":[]"#), oci, "is written `manifests`"),
            (image(r#","layers":[]"#), oci, "given twice"),
            (image(r#","x":1,"x":2"#), oci, "given twice"),
            (image(r#","\u006cayers":[]"#), oci, "given twice"),
            (image(r#","annotations":{"a":"b","a":"c"}"#), oci, "given twice"),
            (image(r#","annotations":{"a":1}"#), oci, "malformed"),
            (image(&format!(r#","mediaType":"{}""#, media_type::OCI_INDEX)), oci, "Content-Type"),
            (image(""), index, "an index"),
            (image(""), Some("application/json"), "not a media type"),
            (image(""), Some("application/vnd.oci.image.manifest.v1+json\t, x"), "not a media type"),
            (image("").replace(":2,", ":1,"), oci, "schema 1"),
            (image("").replace(":2,", ":3,"), oci, "must be 2"),
            (image("").replace("\"schemaVersion\":2,", ""), oci, "must be 2"),
            (image("").replace("\"size\":7", "\"size\":-1"), oci, "malformed"),
            (image("").replace("\"size\":7", "\"size\":1e99"), oci, "malformed"),
            (image("").replace("\"size\":7", "\"size\":7,\"Digest\":\"sha256:0\""), oci, "is written `digest`"),
            (image("").replace("sha256:", "sha256:../"), oci, "malformed"),
            (image("").replace("sha256:", "md5:"), oci, "malformed"),
            (format!(r#"{{"schemaVersion":2,"config":{config}}}x"#), oci, "malformed"),
            (r#"{"schemaVersion":1,"name":"a","fsLayers":[],"history":[]}"#.to_owned(), None, "schema 1"),
            (r#"{"schemaVersion":2}"#.to_owned(), oci, "image manifest"),
            (r#"{"schemaVersion":2}"#.to_owned(), None, "says what it is"),
            ("[]".to_owned(), oci, "malformed"),
            ("null".to_owned(), oci, "malformed"),
            (String::new(), oci, "malformed"),
            ("\u{feff}{}".to_owned(), oci, "malformed"),
        ] {
            let error = parse(text.as_bytes(), content_type).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn refuses_what_is_huge_or_deep() {
        let deep = image(&format!(r#","x":{}{}"#, "[".repeat(100_000), "]".repeat(100_000)));
        assert!(matches!(parse(deep.as_bytes(), None), Err(Error::Deep)));
        assert!(parse(image(&format!(r#","x":"{}\"[""#, "[".repeat(1_000))).as_bytes(), None).is_ok());
        let layers = vec![descriptor("l"); REFERENCES + 1].join(",");
        let wide = format!(r#"{{"schemaVersion":2,"config":{},"layers":[{layers}]}}"#, descriptor("c"));
        assert!(matches!(parse(wide.as_bytes(), None), Err(Error::Many(_))));
        let keys = |count: usize| (0..count).map(|n| format!(r#""k{n}":"""#)).collect::<Vec<_>>().join(",");
        for (more, expected) in [
            (format!(",{}", keys(1_200)), "unknown keys"),
            (format!(r#","annotations":{{{}}}"#, keys(ANNOTATIONS + 1)), "annotations"),
            (format!(r#","artifactType":"{}""#, "x".repeat(256)), "255"),
        ] {
            let error = parse(image(&more).as_bytes(), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(parse(image(&format!(r#","annotations":{{{}}}"#, keys(1_000))).as_bytes(), None).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(0_u8..128, 0..200)) {
            let _ = parse(&bytes, None);
        }
    }
}
