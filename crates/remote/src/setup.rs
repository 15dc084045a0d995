//! From options and the environment to a client.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::{Client, Options};
use crate::credentials::{AuthFiles, Credential, Credentials, Places};
use crate::error::{Error, Result};
use crate::hosts::{Folders, Hosts};

/// What the verbs that call out have in common. It can be handed to another process, which has the same environment.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Setup {
    /// `--authfile`: the only file of credentials.
    pub authfile: Option<PathBuf>,
    /// `--creds`: name and password. They go to registries that references name, never to their mirrors.
    pub credentials: Option<(String, String)>,
    /// The one registry (`docker.io`, `localhost:5000`) that [`Setup::credentials`] are for; `None`: each that a reference names.
    pub credentials_for: Option<String>,
    /// `--no-creds`: no credential is looked for.
    pub anonymous: bool,
    /// `--tls-verify`. `Some(true)`: https alone, even on loopback and whatever the files say; `Some(false)`: certificates are
    /// not verified, and plain http will do; `None`: https, plain http on loopback and where the files call a host insecure.
    pub tls_verify: Option<bool>,
    /// `--cert-dir`: `*.crt` are roots, `*.cert` with `*.key` client certificates, for the registries that references name.
    pub cert_dir: Option<PathBuf>,
    /// The only `registries.conf`, instead of the system's and the user's.
    pub registries_conf: Option<PathBuf>,
    /// A folder as containerd's `certs.d` (`HOST/hosts.toml`), instead of the system's.
    pub hosts_dir: Option<PathBuf>,
    /// Further tries after a failure that may pass.
    pub retries: Option<u32>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("authfile", &self.authfile)
            .field("credentials", &self.credentials.as_ref().map(|(user, _)| (user, "(hidden)")))
            .field("anonymous", &self.anonymous)
            .field("tls_verify", &self.tls_verify)
            .finish_non_exhaustive()
    }
}

impl Setup {
    /// A client as the options and the environment's variables want it. Reads the files of credentials.
    ///
    /// Beside the variables that other clients know, too (`REGISTRY_AUTH_FILE`, `DOCKER_CONFIG`, `DOCKER_AUTH_CONFIG`,
    /// `CONTAINERS_REGISTRIES_CONF`, `HTTPS_PROXY`, `NO_PROXY`), two are for bad lines: `ESTIBA_IDLE_TIMEOUT`, how long an answer may
    /// send nothing, and `ESTIBA_RETRY_WAIT`, the wait before the second try; each as `500ms`, `60s` or `60`.
    ///
    /// # Errors
    /// When a file of credentials or configuration is unusable.
    pub fn client(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Client> {
        let mut options = Options {
            credentials: self.credentials(&variable)?,
            tls_verify: self.tls_verify,
            hosts: Hosts::new(self.folders(&variable)),
            proxies: proxies(&variable),
            ..Options::default()
        };
        if let Some(retries) = self.retries {
            options.retry.attempts = retries.saturating_add(1);
        }
        if let Some(time) = time(&variable, "ESTIBA_IDLE_TIMEOUT")? {
            options.idle_timeout = time.max(LEAST_IDLE);
        }
        if let Some(time) = time(&variable, "ESTIBA_RETRY_WAIT")? {
            options.retry.first_wait = time;
        }
        Ok(Client::new(options))
    }

    /// Where credentials are looked for.
    pub fn places(&self, variable: impl Fn(&str) -> Option<OsString>) -> Places {
        let mut places = Places::from_variables(variable);
        if let Some(file) = &self.authfile {
            places.registry_auth_file = Some(file.clone());
        }
        places
    }

    /// Where files about hosts are looked for.
    pub(crate) fn folders(&self, variable: impl Fn(&str) -> Option<OsString>) -> Folders {
        let mut folders = Folders::from_variables(variable);
        if let Some(file) = &self.registries_conf {
            folders.registries_conf = vec![file.clone()];
            folders.drop_ins = Vec::new();
        }
        if let Some(folder) = &self.hosts_dir {
            folders.hosts = vec![folder.clone()];
        }
        folders.given_certificates.clone_from(&self.cert_dir);
        folders
    }

    fn credentials(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Credentials> {
        if self.anonymous {
            return Ok(Credentials::None);
        }
        if let Some((user, password)) = &self.credentials {
            let credential = Credential::Password { user: user.clone(), password: password.clone() };
            let registry = self.credentials_for.clone();
            return Ok(Credentials::One { registry, credential });
        }
        Ok(Credentials::Files(AuthFiles::read(&self.places(variable))?))
    }
}

/// An answer that may pause for no time at all would never come.
const LEAST_IDLE: Duration = Duration::from_millis(10);

/// A time as `500ms`, `60s`, `2m` or `60`; `None` where the variable is not set.
fn time(variable: impl Fn(&str) -> Option<OsString>, name: &str) -> Result<Option<Duration>> {
    let Some(text) = variable(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = text.to_string_lossy();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number.parse::<u32>().map(u64::from);
    let found = match (number, unit) {
        (Ok(number), "ms") => Duration::from_millis(number),
        (Ok(number), "s" | "") => Duration::from_secs(number),
        (Ok(number), "m") => Duration::from_secs(number * 60),
        _ => {
            let shown = crate::error::printable(&text);
            return Err(Error::Setup(format!("{name}: `{shown}` is not a time like 500ms, 60s or 2m")));
        }
    };
    Ok(Some(found))
}

/// The hosts of the proxies that the environment names.
fn proxies(variable: impl Fn(&str) -> Option<OsString>) -> BTreeSet<String> {
    let names = ["https_proxy", "http_proxy", "all_proxy"];
    let both = names.into_iter().flat_map(|name| [name.to_owned(), name.to_ascii_uppercase()]);
    let texts = both.filter_map(|name| variable(&name)?.into_string().ok());
    let host = |text: String| {
        let full = if text.contains("://") { text } else { format!("http://{text}") };
        url::Url::parse(&full).ok()?.host_str().map(str::to_owned)
    };
    texts.filter_map(host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_by_their_names() {
        let variable = |name: &str| match name {
            "https_proxy" => Some("http://me:word@proxy.example:3128".into()),
            "HTTP_PROXY" => Some("localhost:8080".into()),
            "ALL_PROXY" => Some("".into()),
            _ => None,
        };
        assert_eq!(proxies(variable), BTreeSet::from(["localhost".to_owned(), "proxy.example".to_owned()]));
    }

    #[test]
    fn times() {
        let read = |text: &str| time(|_| Some(text.into()), "X");
        for (text, expected) in [("500ms", 500), ("60s", 60_000), ("2", 2000), ("3m", 180_000), ("0", 0)] {
            assert_eq!(read(text).unwrap(), Some(Duration::from_millis(expected)), "{text}");
        }
        assert_eq!(read("").unwrap(), None);
        for bad in ["soon", "-1s", "1h", "99999999999s", "1.5s"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_come_first() {
        let setup = Setup {
            registries_conf: Some("/r.conf".into()),
            hosts_dir: Some("/hosts".into()),
            cert_dir: Some("/certs".into()),
            authfile: Some("/auth.json".into()),
            credentials: Some(("me".to_owned(), "word".to_owned())),
            ..Setup::default()
        };
        let variable = |name: &str| (name == "REGISTRY_AUTH_FILE").then(|| "/other.json".into());
        let folders = setup.folders(variable);
        assert_eq!((folders.registries_conf, folders.drop_ins), (vec![PathBuf::from("/r.conf")], Vec::new()));
        assert_eq!((folders.hosts, folders.given_certificates), (vec![PathBuf::from("/hosts")], Some("/certs".into())));
        assert_eq!(setup.places(variable).registry_auth_file, Some("/auth.json".into()));
        assert!(!format!("{setup:?}").contains("word"));
        let again: Setup = serde_json::from_str(&serde_json::to_string(&setup).unwrap()).unwrap();
        assert_eq!(again.credentials, setup.credentials);
        // Given credentials need no file; a file that is named must be there.
        assert!(setup.client(variable).is_ok());
        assert!(Setup { credentials: None, ..setup.clone() }.client(variable).is_err());
        assert!(Setup { credentials: None, anonymous: true, ..setup }.client(variable).is_ok());
    }
}
