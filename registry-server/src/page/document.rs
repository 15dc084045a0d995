//! A manifest as the page reads it: image, artifact or index. The bytes are somebody else's.

use std::collections::BTreeMap;

use oci::{Descriptor, Index, Manifest};
use serde::Deserialize;

/// A manifest of either kind.
#[derive(Debug)]
pub enum Document {
    /// One image or artifact.
    Single(Box<Manifest>),
    /// A list of manifests.
    Several(Box<Index>),
}

/// What tells the kinds apart.
#[derive(Deserialize)]
struct Shape {
    manifests: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a manifest; `None` where it is of no kind that can be shown (Docker's schema 1, say).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let shape: Shape = serde_json::from_slice(bytes).ok()?;
        if shape.manifests.is_some() {
            return Some(Self::Several(serde_json::from_slice(bytes).ok()?));
        }
        Some(Self::Single(serde_json::from_slice(bytes).ok()?))
    }

    /// Its annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Single(manifest) => &manifest.annotations,
            Self::Several(index) => &index.annotations,
        }
    }

    /// What it refers to.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Single(manifest) => manifest.subject.as_ref(),
            Self::Several(index) => index.subject.as_ref(),
        }
    }

    /// What it says of its artifact type, which its configuration may stand in for.
    pub fn artifact_type(&self) -> Option<&str> {
        match self {
            Self::Single(manifest) => {
                let config = Some(&manifest.config.media_type).filter(|kind| !is_plain_config(kind));
                manifest.artifact_type.as_ref().or(config).map(String::as_str)
            }
            Self::Several(index) => index.artifact_type.as_deref(),
        }
    }
}

fn is_plain_config(media_type: &str) -> bool {
    oci::media_type::is_config(media_type) || media_type == oci::media_type::OCI_EMPTY
}

/// What kind of thing refers to an image, in a word that people use.
pub fn word_for(artifact_type: &str) -> &'static str {
    // Lower case, by substring: every tool has its own media type for these few things.
    const WORDS: &[(&str, &str)] = &[
        ("spdx", "SBOM (SPDX)"),
        ("cyclonedx", "SBOM (CycloneDX)"),
        ("sbom", "SBOM"),
        ("syft", "SBOM"),
        ("sigstore.bundle", "Signature (Sigstore bundle)"),
        ("cosign", "Signature (cosign)"),
        ("simplesigning", "Signature (cosign)"),
        ("notary", "Signature (Notary)"),
        ("cncf.notary", "Signature (Notary)"),
        ("signature", "Signature"),
        ("in-toto", "Attestation (in-toto)"),
        ("attest", "Attestation"),
        ("provenance", "Provenance"),
        ("vex", "VEX"),
        ("sarif", "Scan result (SARIF)"),
        ("trivy", "Scan result"),
        ("helm", "Helm chart"),
        ("wasm", "WebAssembly"),
    ];
    let lower = artifact_type.to_ascii_lowercase();
    WORDS.iter().find(|(part, _)| lower.contains(part)).map_or("Artifact", |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let config = r#"{"mediaType":"application/vnd.example+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}"#;
        let single = format!(r#"{{"schemaVersion":2,"config":{config},"layers":null,"annotations":{{"a":"b"}}}}"#);
        let document = Document::parse(single.as_bytes()).unwrap();
        assert_eq!(document.artifact_type(), Some("application/vnd.example+json"));
        assert_eq!(document.annotations()["a"], "b");
        let index = Document::parse(br#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
        assert!(matches!(index, Document::Several(_)));
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            r#"{"schemaVersion":2,"manifests":[{"digest":"../x"}]}"#,
        ] {
            assert!(Document::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn artifacts_have_names() {
        let cases = [
            ("application/spdx+json", "SBOM (SPDX)"),
            ("application/vnd.cyclonedx+json", "SBOM (CycloneDX)"),
            ("application/vnd.cncf.notary.signature", "Signature (Notary)"),
            ("application/vnd.dev.cosign.simplesigning.v1+json", "Signature (cosign)"),
            ("application/vnd.dev.sigstore.bundle.v0.3+json", "Signature (Sigstore bundle)"),
            ("application/vnd.example.thing", "Artifact"),
        ];
        for (kind, expected) in cases {
            assert_eq!(word_for(kind), expected, "{kind}");
        }
    }
}
