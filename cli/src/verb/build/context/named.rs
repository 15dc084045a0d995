//! `--build-context NAME=PLACE`, with every scheme that buildx has.

use std::path::PathBuf;

use frontend::GitUrl;

use super::super::Args;
use crate::error::{Error, Result};

/// What a `--build-context` stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder of the host.
    Folder(PathBuf),
    /// An image: a reference, or `oci-layout://…`.
    Image(String),
    /// A repository.
    Git(GitUrl),
    /// A file of the web: the context's only entry.
    Web(String),
}

/// The `--build-context` options, by name.
pub(super) fn named(args: &Args) -> Result<Vec<(String, Place)>> {
    let one = |written: &String| {
        let Some((name, place)) = written.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Error::usage(format!("--build-context {written}: expected NAME=PLACE")));
        };
        Ok((name.to_owned(), place_of(name, place)?))
    };
    args.context.build_contexts.iter().map(one).collect()
}

fn place_of(name: &str, place: &str) -> Result<Place> {
    let what = || format!("--build-context {name}={}", frontend::git_url::shown_url(place));
    if let Some(image) = place.strip_prefix("docker-image://") {
        let image = image.trim_start_matches('/');
        return match image.parse::<oci::Reference>() {
            Ok(_) => Ok(Place::Image(image.to_owned())),
            Err(error) => Err(Error::usage(format!("{}: {error}", what()))),
        };
    }
    if place.starts_with(crate::resolve::LAYOUT) {
        return Ok(Place::Image(place.to_owned()));
    }
    let dir = PathBuf::from(place);
    if dir.is_dir() {
        return Ok(Place::Folder(dir));
    }
    if let Some(url) = GitUrl::parse_context(place) {
        return url.map(Place::Git).map_err(|error| Error::usage(format!("{}: {error}", what())));
    }
    if place.starts_with("http://") || place.starts_with("https://") {
        return Ok(Place::Web(place.to_owned()));
    }
    match place.split_once(':') {
        Some(("target", target)) => Err(Error::usage(format!("{}: a target is another build of a bake file", what()))
            .hint(format!("build it first with `-t NAME`, and give `{name}=docker-image://NAME`; a stage of the same Dockerfile needs no context: `--from={target}`"))),
        Some(("input", _)) => Err(Error::usage(format!("{}: an input is what another frontend hands on", what()))
            .hint("there is one frontend here: give a folder, an image, a repository or an address")),
        Some((scheme, rest)) if rest.starts_with("//") => {
            Err(Error::usage(format!("{}: `{scheme}` is no scheme of contexts", what()))
                .hint("docker-image, oci-layout, git, ssh, http and https are; a folder has none"))
        }
        _ => Err(Error::failed(format!("{}: there is no such folder", what()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme() {
        let place = |written: &str| place_of("x", written);
        assert_eq!(place("docker-image://debian:12").unwrap(), Place::Image("debian:12".to_owned()));
        assert_eq!(place("oci-layout:///l:v1").unwrap(), Place::Image("oci-layout:///l:v1".to_owned()));
        assert_eq!(place("/").unwrap(), Place::Folder("/".into()));
        assert_eq!(place("https://h/a.tgz").unwrap(), Place::Web("https://h/a.tgz".to_owned()));
        for git in ["https://h/r.git#v1:d", "git@h:r", "ssh://git@h/r", "git://h/r", "github.com/o/r"] {
            assert!(matches!(place(git).unwrap(), Place::Git(_)), "{git}");
        }
        for (bad, says) in [
            ("target:base", "bake"),
            ("input:base", "frontend"),
            ("file:///x", "no scheme"),
            ("ftp://me:word@h/x", "no scheme"),
            ("/no/such", "no such folder"),
            ("https://h/r.git#--upload-pack=x", "begins with `-`"),
            ("docker-image://UPPER:x:y", ""),
        ] {
            let error = place(bad).unwrap_err();
            assert!(error.message().contains(says) && !error.message().contains("word"), "{bad}: {error:?}");
        }
    }
}
