//! From options and the environment to a client.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::client::{Client, Options};
use crate::credentials::{AuthFiles, Credential, Credentials, Places};
use crate::error::Result;

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
    /// # Errors
    /// When a file of credentials or configuration is unusable.
    pub fn client(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Client> {
        let mut options = Options { credentials: self.credentials(&variable)?, ..Options::default() };
        if let Some(retries) = self.retries {
            options.retry.attempts = retries.saturating_add(1);
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
