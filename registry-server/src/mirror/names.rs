//! From names that clients ask for to repositories here and at upstreams. Pure.

use oci::RepositoryName;

use super::config::Config;
use crate::auth::policy::pattern::{self, Pattern};

/// What is mirrored under which name.
#[derive(Debug)]
pub(super) struct Names {
    rows: Vec<Row>,
    default: Option<usize>,
}

#[derive(Debug)]
struct Row {
    name: String,
    /// With its slash.
    prefix: String,
    allowed: Vec<Pattern>,
}

/// A repository of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Which upstream, by its place in the configuration.
    pub(super) upstream: usize,
    /// Its name there.
    pub(super) name: RepositoryName,
    /// Whether the upstream may be asked for it.
    pub(super) allowed: bool,
}

/// What a client's name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This repository here, mirrored or not.
    Here(RepositoryName),
    /// The first if it exists here, else the second.
    Either(RepositoryName, RepositoryName),
    /// No upstream has this `ns`.
    Unknown,
}

impl Names {
    pub(super) fn new(config: &Config) -> Result<Self, pattern::Error> {
        let mut rows = Vec::new();
        for upstream in &config.upstream {
            let allowed = upstream.repositories.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?;
            let prefix = format!("{}/", upstream.namespace());
            rows.push(Row { name: upstream.name.clone(), prefix, allowed });
        }
        let default = config.default.as_ref().and_then(|name| rows.iter().position(|row| row.name == *name));
        Ok(Self { rows, default })
    }

    /// What `name` means in a request with this `ns`. `own`: the name under which this registry is known.
    pub(super) fn meaning(&self, name: &RepositoryName, ns: Option<&str>, own: Option<&str>) -> Meaning {
        let below = |row: &Row| format!("{}{}", row.prefix, name.as_str()).parse().ok();
        match ns.filter(|ns| !ns.is_empty() && Some(*ns) != own) {
            Some(ns) => {
                let row = self.rows.iter().find(|row| row.name.eq_ignore_ascii_case(ns));
                row.and_then(below).map_or(Meaning::Unknown, Meaning::Here)
            }
            None if self.is_mirrored(name) => Meaning::Here(name.clone()),
            None => match self.default.and_then(|default| below(self.rows.get(default)?)) {
                Some(mirrored) => Meaning::Either(name.clone(), mirrored),
                None => Meaning::Here(name.clone()),
            },
        }
    }

    /// Whether a repository here is an upstream's, or the namespace of one itself.
    pub(super) fn is_mirrored(&self, repository: &RepositoryName) -> bool {
        let name = repository.as_str();
        self.rows.iter().any(|row| name.starts_with(&row.prefix) || row.prefix.strip_suffix('/') == Some(name))
    }

    /// Which repository of which upstream a repository here stands for.
    pub(super) fn place(&self, repository: &RepositoryName) -> Option<Place> {
        self.rows.iter().enumerate().find_map(|(upstream, row)| {
            let name: RepositoryName = repository.as_str().strip_prefix(&row.prefix)?.parse().ok()?;
            let allowed = row.allowed.iter().any(|pattern| pattern.matches(name.as_str(), None));
            Some(Place { upstream, name, allowed })
        })
    }

    /// The namespaces, each with its slash.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.prefix.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let text = "default = \"docker.io\"\n[[upstream]]\nname = \"docker.io\"\nrepositories = [\"library/*\", \"team/**\"]\n\
            [[upstream]]\nname = \"r.example:5000\"\n";
        Names::new(&toml::from_str(text).unwrap()).unwrap()
    }

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[test]
    fn meanings() {
        let names = names();
        let here = |text: &str| Meaning::Here(name(text));
        let long = "a/".repeat(124) + "abcdefg";
        for (asked, ns, expected) in [
            ("library/busybox", Some("docker.io"), here("docker.io/library/busybox")),
            ("x", Some("r.example:5000"), here("r.example-5000/x")),
            ("x", Some("R.Example:5000"), here("r.example-5000/x")),
            ("x", Some("evil.example"), Meaning::Unknown),
            ("x", Some("http://169.254.169.254/"), Meaning::Unknown),
            ("x", Some("docker.io/../r.example"), Meaning::Unknown),
            ("docker.io/library/busybox", None, here("docker.io/library/busybox")),
            ("docker.io/library/busybox", Some("docker.io"), here("docker.io/docker.io/library/busybox")),
            ("team/app", None, Meaning::Either(name("team/app"), name("docker.io/team/app"))),
            ("team/app", Some(""), Meaning::Either(name("team/app"), name("docker.io/team/app"))),
            ("team/app", Some("own.example"), Meaning::Either(name("team/app"), name("docker.io/team/app"))),
            ("docker.io", None, here("docker.io")),
            (&long, None, here(&long)),
            (&long, Some("docker.io"), Meaning::Unknown),
        ] {
            assert_eq!(names.meaning(&name(asked), ns, Some("own.example")), expected, "{asked} {ns:?}");
        }
    }

    #[test]
    fn places() {
        let names = names();
        for (repository, expected) in [
            ("docker.io/library/busybox", Some((0, "library/busybox", true))),
            ("docker.io/library/a/b", Some((0, "library/a/b", false))),
            ("docker.io/team/a/b", Some((0, "team/a/b", true))),
            ("docker.io/other", Some((0, "other", false))),
            ("r.example-5000/x", Some((1, "x", true))),
            ("docker.io", None),
            ("docker.iox/library", None),
            ("library/busybox", None),
        ] {
            let found = names.place(&name(repository));
            let found = found.as_ref().map(|place| (place.upstream, place.name.as_str(), place.allowed));
            assert_eq!(found, expected, "{repository}");
        }
        assert!(names.is_mirrored(&name("docker.io")) && !names.is_mirrored(&name("docker.iox")));
    }
}
