//! What the verbs that call registries have in common: their options, a client, and what runs it.

use std::future::Future;
use std::path::PathBuf;

use oci::Reference;
use remote::{Client, Setup};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result, While};

/// Threads that move bytes. Hashing and compressing have threads of their own.
const WORKERS: usize = 2;

/// Options about registries; a verb flattens them into its own.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct WireArgs {
    /// Read credentials from this file only [default: $REGISTRY_AUTH_FILE, else containers' and docker's files]
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Name and password for the registry; without a password it is asked for
    #[arg(long, value_name = "USER[:PASSWORD]", conflicts_with = "authfile")]
    pub(crate) creds: Option<String>,
    /// Look for no credentials
    #[arg(long, conflicts_with_all = ["creds", "authfile"])]
    pub(crate) no_creds: bool,
    /// Verify certificates and refuse plain http; `=false` takes any certificate, and plain http
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) tls_verify: Option<bool>,
    /// A folder of *.crt (authorities), *.cert and *.key (our own certificate)
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// How often to try again what may pass
    #[arg(long, visible_alias = "retry-times", value_name = "N")]
    pub(crate) retry: Option<u32>,
    /// The only registries.conf
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) registries_conf: Option<PathBuf>,
    /// The only folder of hosts.toml files
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) hosts_dir: Option<PathBuf>,
}

impl WireArgs {
    /// What a client is made from; asks for a password where one is missing. Paths are settled here: a worker may run elsewhere.
    pub(crate) fn setup(&self) -> Result<Setup> {
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        Ok(Setup {
            authfile: absolute(&self.authfile)?,
            credentials: self.creds.as_deref().map(credentials).transpose()?,
            anonymous: self.no_creds,
            tls_verify: self.tls_verify,
            cert_dir: absolute(&self.cert_dir)?,
            registries_conf: absolute(&self.registries_conf)?,
            hosts_dir: absolute(&self.hosts_dir)?,
            retries: self.retry,
            ..Setup::default()
        })
    }

    /// The same, where `--creds` are for the registry of the reference `written` and for no other: a Dockerfile, or a second
    /// name, may name somebody else's.
    pub(crate) fn setup_for(&self, written: &str) -> Result<Setup> {
        let registry = written.parse::<Reference>().ok().map(|reference| reference.registry().to_owned());
        Ok(Setup { credentials_for: registry, ..self.setup()? })
    }
}

/// `USER:PASSWORD`, or `USER` and a password that is typed.
fn credentials(written: &str) -> Result<(String, String)> {
    match written.split_once(':') {
        Some(("", _)) => Err(Error::usage("--creds: the name is missing")),
        Some((user, password)) => Ok((user.to_owned(), password.to_owned())),
        None => Ok((written.to_owned(), crate::ui::secret::ask(&format!("Password for {written}: "))?)),
    }
}

/// A client as options and environment want it. Starts no thread: it may be made before namespaces are entered.
pub(crate) fn client(setup: &Setup) -> Result<Client> {
    Ok(setup.client(|name| std::env::var_os(name))?)
}

/// A client for a build that may need none; where there can be none, a line that says so.
pub(crate) fn client_or_note(setup: &Setup) -> (Option<Client>, Option<String>) {
    match client(setup) {
        Ok(client) => (Some(client), None),
        Err(error) => (None, Some(format!("layers that are not in the store cannot be fetched: {}", error.message()))),
    }
}

/// Runs a few calls, one after another, on this thread.
pub(crate) fn alone<F: Future>(future: F) -> Result<F::Output> {
    Ok(small_runtime()?.block_on(future))
}

/// A runtime without threads of its own.
pub(crate) fn small_runtime() -> Result<Runtime> {
    runtime(&mut Builder::new_current_thread())
}

/// Runs a transfer, on threads. Only once namespaces are entered.
pub(crate) fn together<F: Future>(future: F) -> Result<F::Output> {
    sys::heap::return_large_buffers();
    let runtime = runtime(Builder::new_multi_thread().worker_threads(WORKERS))?;
    let output = runtime.block_on(future);
    // What reads a credential helper's answer, or resolves a name, may not hold the end up.
    runtime.shutdown_background();
    Ok(output)
}

fn runtime(builder: &mut Builder) -> Result<Runtime> {
    builder.enable_all().thread_name("transfer").build().during("start the threads of the transfer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_password() {
        assert_eq!(credentials("ann:a:b").unwrap(), ("ann".to_owned(), "a:b".to_owned()));
        assert_eq!(credentials("ann:").unwrap(), ("ann".to_owned(), String::new()));
        assert!(credentials(":x").is_err());
    }
}
