//! Images as package URLs, as BuildKit writes them: `pkg:docker/alpine@3.20?platform=linux%2Famd64`.

use oci::{Platform, Reference};

/// The package URL of an image by its name. What is no name stays as it is.
pub(super) fn of_image(name: &str, platform: Option<&Platform>) -> String {
    let Ok(reference) = name.parse::<Reference>() else { return name.to_owned() };
    let mut url = format!("pkg:docker/{}", reference.familiar_name());
    match (reference.tag(), reference.digest()) {
        (Some(tag), _) => url.push_str(&format!("@{}", tag.as_str())),
        (None, None) => url.push_str("@latest"),
        (None, Some(_)) => {}
    }
    let digest = reference.digest().map(|digest| format!("digest={}", digest.to_string().replace(':', "%3A")));
    let platform = platform.map(|platform| format!("platform={}", platform.to_string().replace('/', "%2F")));
    let given: Vec<String> = digest.into_iter().chain(platform).collect();
    if !given.is_empty() {
        url.push_str(&format!("?{}", given.join("&")));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_buildkit_writes_them() {
        let platform: Platform = "linux/arm64/v8".parse().unwrap();
        let digest = oci::Digest::sha256(b"");
        for (name, url) in [
            ("docker.io/library/alpine:3.20".to_owned(), "pkg:docker/alpine@3.20".to_owned()),
            ("docker.io/library/alpine".to_owned(), "pkg:docker/alpine@latest".to_owned()),
            ("ghcr.io/a/b:1".to_owned(), "pkg:docker/ghcr.io/a/b@1".to_owned()),
            (format!("ghcr.io/a/b@{digest}"), format!("pkg:docker/ghcr.io/a/b?digest=sha256%3A{}", digest.hex())),
            ("oci-layout:///x".to_owned(), "oci-layout:///x".to_owned()),
        ] {
            assert_eq!(of_image(&name, None), url);
        }
        assert!(of_image("a", Some(&platform)).starts_with("pkg:docker/a@latest?platform=linux%2Farm64"));
    }
}
