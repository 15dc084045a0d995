//! Platforms: operating system, architecture and variant.
//! Specification: OCI image-spec, image-index.md, "platform"; normalisation as containerd does it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// Go's name of the processor architecture, such as `amd64`.
    pub architecture: String,
    /// Go's name of the operating system, such as `linux`.
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system (Windows).
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the processor, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a platform: expected os/architecture[/variant], such as linux/arm64", .0.escape_debug())]
pub struct PlatformError(pub String);

impl Platform {
    /// A platform from its parts, normalised (`x86_64` → `amd64`, `arm64/v8` → `arm64`).
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
        let (architecture, variant) = normalise(&architecture.to_ascii_lowercase(), variant.unwrap_or_default());
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let variant = (!variant.is_empty()).then_some(variant);
        Platform { architecture, os, os_version: None, os_features: Vec::new(), variant }
    }

    /// The platform of this machine.
    pub fn host() -> Platform {
        Platform::new("linux", std::env::consts::ARCH, None)
    }

    /// Whether an image for `self` is one for `wanted`, versions left aside.
    pub fn matches(&self, wanted: &Platform) -> bool {
        let normal = |p: &Platform| Platform::new(&p.os, &p.architecture, p.variant.as_deref());
        normal(self) == normal(wanted)
    }

    /// Which of the offered platforms serves this one best: the same, or else the highest variant of the same
    /// architecture that its processors also run (`arm/v6` on `arm/v7`, `amd64/v2` on `amd64/v3`), as containerd chooses.
    pub fn best_of<'a>(&self, offered: impl IntoIterator<Item = &'a Platform>) -> Option<usize> {
        let wanted = Platform::new(&self.os, &self.architecture, self.variant.as_deref());
        let level = wanted.level();
        let fits = |(number, offer): (usize, &Platform)| {
            let offer = Platform::new(&offer.os, &offer.architecture, offer.variant.as_deref());
            if offer == wanted {
                return Some((u32::MAX, number));
            }
            let same = (&offer.os, &offer.architecture) == (&wanted.os, &wanted.architecture);
            let lower = offer.level().zip(level).is_some_and(|(offer, wanted)| offer <= wanted);
            (same && lower).then(|| (offer.level().unwrap_or(0), number))
        };
        let best = offered.into_iter().enumerate().filter_map(fits);
        // Of equal ones the first.
        best.max_by_key(|(level, number)| (*level, std::cmp::Reverse(*number))).map(|(_, number)| number)
    }

    /// The number of the variant, where variants of the architecture are steps of one ladder.
    fn level(&self) -> Option<u32> {
        let least = match self.architecture.as_str() {
            "amd64" => 1,
            "arm64" => 8,
            "arm" => 7,
            _ => return None,
        };
        match &self.variant {
            None => Some(least),
            Some(variant) => variant.strip_prefix('v')?.parse().ok(),
        }
    }
}

fn normalise(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
        ("x86_64" | "x86-64", other) => ("amd64", other),
        ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386", ""),
        ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64", ""),
        ("aarch64", other) => ("arm64", other),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        ("powerpc64le", other) => ("ppc64le", other),
        ("loongarch64", other) => ("loong64", other),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

const SYSTEMS: [&str; 8] = ["linux", "windows", "darwin", "macos", "freebsd", "netbsd", "openbsd", "wasip1"];

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `os/architecture[/variant]`, or an operating system or architecture alone.
    fn from_str(text: &str) -> Result<Platform, PlatformError> {
        let error = || PlatformError(text.chars().take(100).collect());
        let word =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let parts: Vec<&str> = text.split('/').collect();
        if text.len() > 100 || !parts.iter().all(word) {
            return Err(error());
        }
        let host = Platform::host();
        match parts[..] {
            [one] if SYSTEMS.contains(&one.to_ascii_lowercase().as_str()) => {
                Ok(Platform::new(one, &host.architecture, host.variant.as_deref()))
            }
            [one] if normalise(&one.to_ascii_lowercase(), "").0 != one || KNOWN.contains(&one) => {
                Ok(Platform::new(&host.os, one, None))
            }
            [os, architecture] => Ok(Platform::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Platform::new(os, architecture, Some(variant))),
            _ => Err(error()),
        }
    }
}

/// Architectures that may stand alone in `--platform`.
const KNOWN: [&str; 10] =
    ["amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "loong64", "mips64le", "wasm"];

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_offer_is_the_same_or_the_next_lower_variant() {
        for (wanted, offered, expected) in [
            ("linux/amd64", &["linux/arm64", "linux/amd64"][..], Some(1)),
            ("linux/amd64", &["linux/amd64/v2", "windows/amd64"], None),
            ("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], Some(1)),
            ("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6", "linux/arm64"], Some(1)),
            ("linux/arm/v6", &["linux/arm/v7"], None),
            ("linux/arm64", &["linux/arm64/v8", "linux/arm64"], Some(0)),
            ("linux/ppc64le", &["linux/ppc64le"], Some(0)),
            ("linux/s390x", &[], None),
        ] {
            let offered: Vec<Platform> = offered.iter().map(|text| text.parse().unwrap()).collect();
            let wanted: Platform = wanted.parse().unwrap();
            assert_eq!(wanted.best_of(&offered), expected, "{wanted} of {offered:?}");
        }
    }

    #[test]
    fn normalises_as_containerd_does() {
        for (text, normal) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("arm64", "linux/arm64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), normal, "{text}");
        }
        for bad in ["", "/", "linux/", "linux/amd64/v1/x", "what", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
