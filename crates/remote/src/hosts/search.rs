//! Where the files are, and what they say together.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use oci::{Reference, RepositoryName};
use url::Url;

use super::certs_d::Certificates;
use super::file::{self, ConfigError};
use super::hosts_toml::{Host, HostsToml};
use super::registries_conf::{PullFrom, RegistriesConf};
use crate::error::{Error, Result};
use crate::quirk::Quirk;

/// Files of a `registries.conf.d`.
const MOST_DROP_INS: usize = 1000;

/// The files and folders that are looked at. Empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// Files of `registries.conf`; those that are missing are passed over.
    pub registries_conf: Vec<PathBuf>,
    /// Folders of further such files.
    pub drop_ins: Vec<PathBuf>,
    /// Folders of `HOST/hosts.toml`; the first that has one for a host counts.
    pub hosts: Vec<PathBuf>,
    /// Folders of `HOST/*.crt`; the first that has one for a host counts.
    pub certificates: Vec<PathBuf>,
    /// A folder of certificates for every registry that a reference names.
    pub given_certificates: Option<PathBuf>,
}

impl Folders {
    /// Where docker, containerd and the containers tools have them: `/etc` and the user's configuration.
    /// `$CONTAINERS_REGISTRIES_CONF` names the only `registries.conf`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let user = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        let user = user.map(|folder| folder.join("containers"));
        let of_user = |name: &str| user.as_ref().map(|folder| folder.join(name));
        let etc = Path::new("/etc");
        let (registries_conf, drop_ins) = match (set("CONTAINERS_REGISTRIES_CONF"), of_user("registries.conf")) {
            (Some(only), _) => (vec![only], Vec::new()),
            // As containers-registries.conf(5) has it: the user's file takes the place of the system's.
            (None, Some(own)) if own.exists() => (vec![own], of_user("registries.conf.d").into_iter().collect()),
            _ => {
                let system = etc.join("containers/registries.conf.d");
                let folders = std::iter::once(system).chain(of_user("registries.conf.d"));
                (vec![etc.join("containers/registries.conf")], folders.collect())
            }
        };
        let certificates = of_user("certs.d").into_iter();
        Self {
            registries_conf,
            drop_ins,
            hosts: vec![etc.join("containerd/certs.d"), etc.join("docker/certs.d")],
            certificates: certificates
                .chain(["containers/certs.d", "docker/certs.d", "containerd/certs.d"].map(|name| etc.join(name)))
                .collect(),
            given_certificates: None,
        }
    }
}

/// What the files say. Cheap to clone; each file is read once, when it is needed.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    folders: Folders,
    registries: OnceLock<RegistriesConf>,
}

/// A repository somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// Its registry.
    pub registry: String,
    /// Its name there.
    pub repository: RepositoryName,
    /// Certificates are not verified, and plain http will do.
    pub insecure: bool,
    /// It is a copy, not what was named.
    pub mirror: bool,
}

/// One of the hosts that answer for a registry.
#[derive(Debug, Clone)]
pub(crate) struct Stand {
    /// Its address, up to and without `v2/`; `None`: the registry itself.
    pub address: Option<Url>,
    /// What goes before the endpoint in the path of a call: `v2/`, or nothing.
    pub api: &'static str,
    /// The registry for which it answers, sent along as `ns`; `None` where this is the registry itself.
    pub stands_for: Option<String>,
    /// Certificates are not verified.
    pub skip_verify: bool,
    /// Sent along with each call.
    pub headers: HeaderMap,
    /// For this host alone.
    pub certificates: Certificates,
    /// What it is asked for.
    pub capabilities: super::Capabilities,
}

/// Where a reference is: `(when it is asked, the place)`, mirrors first, and the place itself.
pub(crate) type Places = (Vec<(PullFrom, Location)>, Location);

impl Hosts {
    /// What the files of these folders say. None is read yet.
    pub fn new(folders: Folders) -> Self {
        Self { shared: Arc::new(Shared { folders, registries: OnceLock::new() }) }
    }

    /// All that `registries.conf` says.
    ///
    /// # Errors
    /// When a file is unusable.
    pub fn registries(&self) -> Result<&RegistriesConf, ConfigError> {
        if let Some(read) = self.shared.registries.get() {
            return Ok(read);
        }
        let mut found = RegistriesConf::default();
        let folders = &self.shared.folders;
        let mut files = folders.registries_conf.clone();
        for folder in &folders.drop_ins {
            let listed = file::entries(folder, MOST_DROP_INS)?;
            files.extend(
                listed.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "conf")),
            );
        }
        for path in files {
            if let Some(text) = file::read(&path)? {
                found.add(&path, &text)?;
            }
        }
        Ok(self.shared.registries.get_or_init(|| found))
    }

    /// Where a reference is.
    pub(crate) fn places(&self, reference: &Reference) -> Result<Places> {
        let registries = self.registries()?;
        if let Some((prefix, section)) = registries.section(reference)
            && section.blocked
        {
            return Err(Error::Blocked { registry: prefix.to_owned(), file: section.file.clone() });
        }
        match registries.locate(reference) {
            Some(located) => located.map_err(|problem| Error::Address(crate::error::printable(&problem))),
            None => {
                let itself = Location {
                    registry: reference.registry().to_owned(),
                    repository: reference.repository().clone(),
                    insecure: false,
                    mirror: false,
                };
                Ok((Vec::new(), itself))
            }
        }
    }

    /// The hosts that answer for a registry, in the order in which they are asked; the last is the registry itself, or
    /// what stands in its place.
    pub(crate) fn stands(&self, registry: &str) -> Result<Vec<Stand>> {
        let Some((folder, file)) = self.hosts_toml(registry)? else { return Ok(vec![Stand::itself()]) };
        let real = Quirk::of(registry).host.unwrap_or(registry);
        let stand = |host: &Host| {
            let is_itself = |url: &Url| authority(url) == real || authority(url) == registry;
            let (address, api) = match &host.address {
                None => (None, "v2/"),
                Some(url) => address(url, host.override_path),
            };
            let mut certificates = Certificates::of_files(&host.ca, &host.client)?;
            if host.address.is_none()
                && let Some(more) = Certificates::of_folder(&folder)?
            {
                certificates.extend(more);
            }
            Ok(Stand {
                stands_for: host.address.as_ref().filter(|url| !is_itself(url)).map(|_| registry.to_owned()),
                address,
                api,
                skip_verify: host.skip_verify,
                headers: host.headers.clone(),
                certificates,
                capabilities: host.capabilities,
            })
        };
        file.hosts.iter().chain([&file.server]).map(stand).collect()
    }

    fn hosts_toml(&self, registry: &str) -> Result<Option<(PathBuf, HostsToml)>> {
        for root in &self.shared.folders.hosts {
            for name in folder_names(registry) {
                let folder = root.join(name);
                let path = folder.join("hosts.toml");
                if let Some(text) = file::read(&path)? {
                    return Ok(Some((folder, HostsToml::parse(&path, &text)?)));
                }
            }
        }
        Ok(None)
    }

    /// Roots and client certificates for a host by its name. `named`: a reference names it, so that the given ones count, too.
    pub(crate) fn certificates(&self, host: &str, named: bool) -> Result<Certificates> {
        let folders = &self.shared.folders;
        if let Some(given) = folders.given_certificates.as_ref().filter(|_| named) {
            let found = Certificates::of_folder(given)?;
            return found.ok_or_else(|| {
                ConfigError::Read { path: given.clone(), source: std::io::ErrorKind::NotFound.into() }.into()
            });
        }
        // A name that is no single component leads nowhere.
        if host.is_empty() || host.contains('/') || host == "." || host == ".." {
            return Ok(Certificates::default());
        }
        for root in &folders.certificates {
            if let Some(found) = Certificates::of_folder(&root.join(host))? {
                return Ok(found);
            }
        }
        Ok(Certificates::default())
    }
}

impl Stand {
    fn itself() -> Self {
        Self {
            address: None,
            api: "v2/",
            stands_for: None,
            skip_verify: false,
            headers: HeaderMap::new(),
            certificates: Certificates::default(),
            capabilities: super::Capabilities { pull: true, resolve: true, push: true },
        }
    }
}

/// The names under which containerd looks for a host: `host_5000_` where a colon is not wanted, `host:5000`, `_default`.
fn folder_names(registry: &str) -> Vec<String> {
    let mut names = Vec::new();
    if registry.is_empty() || registry.contains('/') || registry.starts_with('.') {
        return names;
    }
    if let Some((host, port)) = registry.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
        names.push(format!("{host}_{port}_"));
    }
    names.push(registry.to_owned());
    names.push("_default".to_owned());
    names
}

/// Host, and port where it is not the scheme's.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The address up to `v2/`, and what of the path is added to it by each call.
fn address(url: &Url, override_path: bool) -> (Option<Url>, &'static str) {
    let mut url = url.clone();
    if override_path {
        return (Some(url), "");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let before = path.strip_suffix("/v2").unwrap_or(&path).to_owned();
    url.set_path(&before);
    (Some(url), "v2/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_folders() {
        for (text, override_path, expected, api) in [
            ("https://m.example", false, "https://m.example/", "v2/"),
            ("https://m.example/v2", false, "https://m.example/", "v2/"),
            ("https://m.example/base/", false, "https://m.example/base", "v2/"),
            ("https://m.example/v2/proxy", true, "https://m.example/v2/proxy", ""),
            ("https://m.example/v2/proxy", false, "https://m.example/v2/proxy", "v2/"),
        ] {
            let (found, prefix) = address(&Url::parse(text).unwrap(), override_path);
            assert_eq!((found.unwrap().as_str(), prefix), (expected, api), "{text}");
        }
        assert_eq!(folder_names("r.example:5000"), ["r.example_5000_", "r.example:5000", "_default"]);
        assert_eq!(folder_names("[::1]:5000"), ["[::1]_5000_", "[::1]:5000", "_default"]);
        assert_eq!(folder_names("r.example"), ["r.example", "_default"]);
        assert!(folder_names("../etc").is_empty() && folder_names("a/b").is_empty() && folder_names("..").is_empty());
    }

    #[test]
    fn folders_of_the_environment() {
        let home = tempfile::tempdir().unwrap();
        let text = home.path().to_str().unwrap().to_owned();
        let variable = |name: &str| (name == "HOME").then(|| text.clone().into());
        let found = Folders::from_variables(variable);
        assert_eq!(found.registries_conf, [PathBuf::from("/etc/containers/registries.conf")]);
        assert_eq!(found.drop_ins.len(), 2);
        assert_eq!(found.certificates[0], home.path().join(".config/containers/certs.d"));
        let own = home.path().join(".config/containers");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("registries.conf"), "").unwrap();
        assert_eq!(Folders::from_variables(variable).registries_conf, [own.join("registries.conf")]);
        let named = |name: &str| (name == "CONTAINERS_REGISTRIES_CONF").then(|| "/x".into());
        let found = Folders::from_variables(named);
        assert_eq!((found.registries_conf, found.drop_ins), (vec![PathBuf::from("/x")], Vec::new()));
    }

    #[test]
    fn a_hosts_toml_is_found_and_read() {
        let root = tempfile::tempdir().unwrap();
        let folders = Folders { hosts: vec![root.path().to_owned()], ..Folders::default() };
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join("hosts.toml"), text).unwrap();
        };
        let stands = |registry: &str| Hosts::new(folders.clone()).stands(registry).unwrap();
        assert_eq!(stands("docker.io").len(), 1);
        write("_default", "[host.\"https://all.example\"]\n");
        write(
            "docker.io",
            "server = \"https://registry-1.docker.io\"\n[host.\"https://m.example/v2\"]\ncapabilities=[\"pull\"]",
        );
        write("r.example_5000_", "[host.\"http://m.example\"]\n");
        let found = stands("docker.io");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].stands_for.as_deref(), found[1].stands_for.as_deref()), (Some("docker.io"), None));
        assert!(found[0].capabilities.pull && !found[0].capabilities.resolve);
        assert_eq!(stands("r.example:5000")[0].address.as_ref().unwrap().as_str(), "http://m.example/");
        assert_eq!(stands("other.example")[0].address.as_ref().unwrap().as_str(), "https://all.example/");
        assert!(stands("other.example")[1].address.is_none());
    }
}
