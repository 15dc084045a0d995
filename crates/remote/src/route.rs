//! Where a reference is fetched from and pushed to: mirrors first, the registry itself last.

use oci::{Reference, RepositoryName};

use crate::client::{Client, Registry, Repository};
use crate::error::{Error, Result};
use crate::hosts::{ConfigError, Location, PullFrom, ShortNames, Stand, authority};
use crate::quirk::Quirk;
use crate::registry::Key;

/// The ways to one reference.
#[derive(Debug, Clone)]
pub struct Route {
    named: Vec<Repository>,
    content: Vec<Repository>,
    target: Repository,
}

impl Route {
    /// Where to ask for the reference, one after the other: what one cannot give, the next may. Never empty; the
    /// registry itself is the last.
    pub fn sources(&self) -> &[Repository] {
        &self.named
    }

    /// Where to ask for what is named by a digest: also mirrors that are not believed about tags. Never empty; the registry
    /// itself is the last. Layers of a manifest that came from one of [`Route::sources`] are asked for there first.
    pub fn content(&self) -> &[Repository] {
        &self.content
    }

    /// Where pushes go: never a mirror of `registries.conf`, and of a `hosts.toml` the first host that takes them.
    pub fn target(&self) -> &Repository {
        &self.target
    }
}

impl Client {
    /// The ways to a reference, by `registries.conf` and the `hosts.toml` of what it leads to.
    ///
    /// # Errors
    /// When its registry is blocked, or a file that describes it is unusable.
    pub fn route(&self, reference: &Reference) -> Result<Route> {
        let (mirrors, itself) = self.options().hosts.places(reference)?;
        let mut route = Found::default();
        for (pull, location) in &mirrors {
            self.add(&mut route, *pull, location)?;
        }
        self.add(&mut route, PullFrom::All, &itself)?;
        let plain = self.located(&itself)?;
        let last = |mut list: Vec<Repository>| {
            if list.is_empty() {
                list.push(plain.clone());
            }
            list
        };
        let (named, content) = (last(route.named), last(route.content));
        let named = if reference.digest().is_some() { content.clone() } else { named };
        Ok(Route { named, content, target: route.target.unwrap_or(plain) })
    }

    fn add(&self, found: &mut Found, pull: PullFrom, location: &Location) -> Result<()> {
        for stand in self.options().hosts.stands(&location.registry)? {
            let can = stand.capabilities;
            let repository = self.stand(location, stand)?.repository(&location.repository);
            if can.resolve && pull != PullFrom::DigestOnly {
                found.named.push(repository.clone());
            }
            if can.pull && pull != PullFrom::TagOnly {
                found.content.push(repository.clone());
            }
            if can.push && !location.mirror {
                found.target.get_or_insert(repository);
            }
        }
        Ok(())
    }

    fn stand(&self, location: &Location, stand: Stand) -> Result<Registry> {
        let Location { registry, insecure, mirror, .. } = location;
        let plain = stand.address.as_ref().is_some_and(|url| url.scheme() == "http");
        let real = Quirk::of(registry).host.unwrap_or(registry);
        // The name chooses the credential: a host gets its own, not that of the registry it stands for.
        let name = match stand.address.as_ref().map(authority) {
            Some(host) if host != real => host,
            _ => registry.clone(),
        };
        let key = Key {
            mirror: *mirror || name != *registry,
            name,
            insecure: stand.skip_verify || plain || (*insecure && stand.address.is_none()),
            address: stand.address,
            api: stand.api,
            stands_for: stand.stands_for,
        };
        self.met(key, stand.headers, || stand.certificates)
    }

    /// The registry of a name as a login asks it: the same host and the same ways to it, and nothing that stands before it.
    pub(crate) fn for_login(&self, name: &str) -> Result<Registry> {
        // Any repository will do: what is said of the whole registry counts.
        let reference: Reference = format!("{name}/login/login").parse().map_err(Error::Reference)?;
        let (_, itself) = self.options().hosts.places(&reference)?;
        let insecure = itself.insecure && itself.registry == name;
        let repository = reference.repository().clone();
        let location = Location { registry: name.to_owned(), repository, insecure, mirror: false };
        for stand in self.options().hosts.stands(name)?.into_iter().rev() {
            let registry = self.stand(&location, stand)?;
            if registry.name() == name {
                return Ok(registry);
            }
        }
        Ok(self.located(&location)?.registry)
    }

    fn located(&self, location: &Location) -> Result<Repository> {
        let Location { registry, repository, insecure, mirror } = location;
        let key = Key { insecure: *insecure, mirror: *mirror, ..Key::named(registry) };
        Ok(self.met(key, http::HeaderMap::new(), Default::default)?.repository(repository))
    }

    /// What a name on the command line or in a Dockerfile may mean, the likeliest first: itself where it names its registry,
    /// else what `registries.conf` says of short names, else docker's registry.
    ///
    /// # Errors
    /// When it is no name; when it is short, means several things, and `short-name-mode` is `enforcing`.
    pub fn candidates(&self, written: &str) -> Result<Vec<Reference>> {
        let parsed: Reference = written.parse().map_err(Error::Reference)?;
        let Some(short) = short(written, &parsed) else { return Ok(vec![parsed]) };
        let conf = self.options().hosts.registries()?;
        let meanings = conf.meanings(short.as_str());
        if meanings.is_empty() {
            return Ok(vec![parsed]);
        }
        // The tag or digest is the name's own; an alias brings none.
        let suffix = &written[short.as_str().len()..];
        let read = |meaning: &String| format!("{meaning}{suffix}").parse().map_err(Error::Reference);
        let found: Vec<Reference> = meanings.iter().map(read).collect::<Result<_>>()?;
        if found.len() > 1 && conf.short_names == ShortNames::Enforcing {
            let candidates = found.iter().map(Reference::familiar).collect();
            let path = conf.short_names_file.clone();
            return Err(ConfigError::Ambiguous { name: written.to_owned(), path, candidates }.into());
        }
        Ok(found)
    }
}

#[derive(Default)]
struct Found {
    named: Vec<Repository>,
    content: Vec<Repository>,
    target: Option<Repository>,
}

/// The name without tag and digest, where it names no registry.
fn short(written: &str, parsed: &Reference) -> Option<RepositoryName> {
    let name = written.split('@').next()?;
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    // A registry before the first slash is no part of the repository's name.
    let whole = parsed.repository().as_str();
    let is_short = whole == name || whole.strip_prefix("library/") == Some(name);
    is_short.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Options;
    use crate::hosts::{Folders, Hosts};

    fn client(conf: &str) -> (tempfile::TempDir, Client) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("registries.conf");
        std::fs::write(&file, conf).unwrap();
        let hosts = folder.path().join("certs.d");
        let folders = Folders { registries_conf: vec![file], hosts: vec![hosts], ..Folders::default() };
        (folder, Client::new(Options { hosts: Hosts::new(folders), ..Options::default() }))
    }

    fn names(list: &[Repository]) -> Vec<String> {
        list.iter().map(|repository| format!("{}/{}", repository.registry().name(), repository.name())).collect()
    }

    #[test]
    fn short_names_are_completed() {
        let (_folder, client) =
            client("unqualified-search-registries = [\"r.example\", \"docker.io\"]\n[aliases]\na = \"x.example/y/a\"");
        let digest = format!("sha256:{}", "0".repeat(64));
        for (written, expected) in [
            ("a:1", vec!["x.example/y/a:1".to_owned()]),
            ("b", vec!["r.example/b:latest".to_owned(), "b:latest".to_owned()]),
            ("team/b:2", vec!["r.example/team/b:2".to_owned(), "team/b:2".to_owned()]),
            (&format!("b@{digest}"), vec![format!("r.example/b@{digest}"), format!("b@{digest}")]),
            ("docker.io/b", vec!["b:latest".to_owned()]),
            ("localhost/b", vec!["localhost/b:latest".to_owned()]),
            ("other.example:5000/b", vec!["other.example:5000/b:latest".to_owned()]),
        ] {
            let found = client.candidates(written).unwrap();
            assert_eq!(found.iter().map(Reference::familiar).collect::<Vec<_>>(), expected, "{written}");
        }
        assert!(client.candidates("A b").is_err());
        let (_folder, strict) = self::client(
            "short-name-mode = \"enforcing\"\nunqualified-search-registries = [\"r.example\", \"docker.io\"]",
        );
        let error = strict.candidates("b").unwrap_err().to_string();
        assert!(error.contains("r.example/b:latest, b:latest") && error.contains("registries.conf"), "{error}");
        let plain = Client::new(Options::default());
        assert_eq!(plain.candidates("b").unwrap()[0].familiar(), "b:latest");
    }

    #[test]
    fn mirrors_come_first_and_take_no_pushes() {
        let (folder, client) = client(
            "[[registry]]\nprefix=\"r.example/team\"\nlocation=\"real.example/t\"\n[[registry.mirror]]\nlocation=\"m1.example\"\npull-from-mirror=\"digest-only\"\n\
             [[registry.mirror]]\nlocation=\"m2.example/x\"\n[[registry]]\nlocation=\"bad.example\"\nblocked=true",
        );
        let hosts = folder.path().join("certs.d/real.example");
        std::fs::create_dir_all(&hosts).unwrap();
        std::fs::write(hosts.join("hosts.toml"), "[host.\"https://near.example\"]\ncapabilities=[\"pull\"]").unwrap();
        let route = client.route(&"r.example/team/app:1".parse().unwrap()).unwrap();
        assert_eq!(names(route.sources()), ["m2.example/x/app", "real.example/t/app"]);
        assert_eq!(
            names(route.content()),
            ["m1.example/app", "m2.example/x/app", "near.example/t/app", "real.example/t/app"]
        );
        assert_eq!(names(std::slice::from_ref(route.target())), ["real.example/t/app"]);
        assert!(route.content()[2].registry().is_mirror() && !route.target().registry().is_mirror());
        let error = client.route(&"bad.example/x".parse().unwrap()).unwrap_err();
        assert!(matches!(error, Error::Blocked { .. }), "{error}");
        let route = client.route(&"busybox".parse().unwrap()).unwrap();
        assert_eq!(names(route.sources()), ["docker.io/library/busybox"]);
        assert_eq!(names(route.content()), ["docker.io/library/busybox"]);
    }
}
