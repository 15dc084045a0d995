//! Annotations as buildx writes them: `--annotation [LEVEL[PLATFORM],…:]KEY=VALUE`, and the attributes
//! `annotation-LEVEL[PLATFORM].KEY=VALUE` of an output.

use builder::{Annotation, Level};
use oci::Platform;

use crate::error::{Error, Result};

const LEVELS: [(&str, Level); 4] = [
    ("manifest", Level::Manifest),
    ("index", Level::Index),
    ("manifest-descriptor", Level::ManifestDescriptor),
    ("index-descriptor", Level::IndexDescriptor),
];

/// Parses one `--annotation`.
pub(super) fn of_flag(written: &str) -> Result<Vec<Annotation>> {
    let Some((left, value)) = written.split_once('=') else {
        return Err(Error::usage(format!("--annotation {written}: expected [LEVEL:]KEY=VALUE")));
    };
    let levels = left.split_once(':').and_then(|(levels, key)| {
        let parsed: Option<Vec<_>> = split(levels).into_iter().map(level).collect();
        parsed.map(|parsed| (parsed, key))
    });
    let (levels, key) = levels.unwrap_or_else(|| (vec![Ok((Level::Manifest, None))], left));
    if key.trim().is_empty() {
        return Err(Error::usage(format!("--annotation {written}: the key is missing")));
    }
    let one = |found: Result<(Level, Option<Platform>)>| {
        let (level, platform) = found?;
        Ok(Annotation { level, platform, key: key.trim().to_owned(), value: value.to_owned() })
    };
    levels.into_iter().map(one).collect()
}

/// Parses one attribute of an output; `None` if it is no annotation.
pub(super) fn of_attribute(name: &str, value: &str) -> Option<Result<Annotation>> {
    let rest = name.strip_prefix("annotation")?;
    let (at, key) = match rest.strip_prefix('.') {
        Some(key) => ("manifest", key),
        None => dotted(rest.strip_prefix('-')?)?,
    };
    let found = level(at).unwrap_or_else(|| {
        Err(Error::usage(format!("{name}: unknown level `{at}`"))
            .hint("the levels are manifest, index, manifest-descriptor and index-descriptor"))
    });
    Some(found.and_then(|(level, platform)| match key.is_empty() {
        true => Err(Error::usage(format!("{name}: the key is missing"))),
        false => Ok(Annotation { level, platform, key: key.to_owned(), value: value.to_owned() }),
    }))
}

/// At the first dot that is in no brackets: variants and versions of platforms may have some.
fn dotted(text: &str) -> Option<(&str, &str)> {
    let after = text.find(']').unwrap_or(0);
    let dot = after + text[after..].find('.')?;
    Some((&text[..dot], &text[dot + 1..]))
}

/// At commas that are in no brackets.
fn split(levels: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let outside = move |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    levels.split(outside).map(str::trim).collect()
}

/// `LEVEL` or `LEVEL[PLATFORM]`; `None` if the word is no level.
fn level(written: &str) -> Option<Result<(Level, Option<Platform>)>> {
    let (name, platform) = match written.split_once('[') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(']')?)),
        None => (written, None),
    };
    let (_, level) = LEVELS.iter().find(|(known, _)| *known == name)?;
    let Some(platform) = platform.filter(|platform| !platform.is_empty()) else { return Some(Ok((*level, None))) };
    if matches!(level, Level::Index | Level::IndexDescriptor) {
        return Some(Err(Error::usage(format!("`{written}`: an index has no platform"))));
    }
    Some(platform.parse().map(|platform| (*level, Some(platform))).map_err(Error::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(annotation: &Annotation) -> String {
        let platform = annotation.platform.as_ref().map(|platform| format!("[{platform}]")).unwrap_or_default();
        format!("{:?}{platform} {}={}", annotation.level, annotation.key, annotation.value)
    }

    #[test]
    fn flags() {
        for (written, expected) in [
            ("a=b", "Manifest a=b"),
            ("org.x/a:b=c=d", "Manifest org.x/a:b=c=d"),
            ("index:a=b", "Index a=b"),
            ("manifest[linux/arm64]:a=b", "Manifest[linux/arm64] a=b"),
            ("index,manifest:a=b", "Index a=b|Manifest a=b"),
            (
                "manifest-descriptor[linux/arm/v7],index-descriptor:a=",
                "ManifestDescriptor[linux/arm/v7] a=|IndexDescriptor a=",
            ),
        ] {
            let found: Vec<String> = of_flag(written).unwrap().iter().map(shown).collect();
            assert_eq!(found.join("|"), expected, "{written}");
        }
        for bad in ["a", "=b", "index:=b", "index[linux/arm64]:a=b"] {
            assert!(of_flag(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn attributes() {
        for (name, expected) in [
            ("annotation.org.x", "Manifest org.x=v"),
            ("annotation-manifest.org.x", "Manifest org.x=v"),
            ("annotation-manifest[linux/amd64].org.x", "Manifest[linux/amd64] org.x=v"),
            ("annotation-index-descriptor.a", "IndexDescriptor a=v"),
        ] {
            assert_eq!(shown(&of_attribute(name, "v").unwrap().unwrap()), expected, "{name}");
        }
        assert!(of_attribute("annotation-layer.x", "v").unwrap().is_err());
        assert!(of_attribute("annotation.", "v").unwrap().is_err());
        assert!(of_attribute("name", "v").is_none());
    }
}
