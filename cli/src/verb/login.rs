//! `estiba login`.

use std::path::PathBuf;

use remote::login;
use remote::{Error as Refusal, Setup};

use crate::context::Context;
use crate::error::{Error, Result, code};
use crate::ui::{self, secret, style};
use crate::wire;

const EXAMPLES: &str = "\
Examples:
  estiba login registry.example.com                      Asks for name and password
  pass show registry | estiba login -u ann --password-stdin registry.example.com
  estiba login --get-login registry.example.com          Who am I there?

Name and password are kept only if the registry takes them: in containers' file ($REGISTRY_AUTH_FILE, else
$XDG_RUNTIME_DIR/containers/auth.json), or by the program that a `credHelpers` or `credsStore` names there.";

/// Where one logs in who names nothing, as with docker.
const DEFAULT_REGISTRY: &str = "docker.io";

/// Arguments of `estiba login`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The registry, or a part of one (`registry/team`) [default: docker.io]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
    /// The name
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// The password; others on this machine can see it: --password-stdin is better
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Print the name that is kept for the registry
    #[arg(long, conflicts_with_all = ["username", "password"])]
    get_login: bool,
    #[command(flatten)]
    at: At,
}

/// Where credentials are kept, and how the registry is reached.
#[derive(Debug, clap::Args)]
pub(super) struct At {
    /// Keep it in this file
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// Verify certificates and refuse plain http; `=false` takes any certificate, and plain http
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls_verify: Option<bool>,
    /// A folder of *.crt (authorities), *.cert and *.key (our own certificate)
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
}

impl At {
    pub(super) fn setup(&self) -> Result<Setup> {
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        Ok(Setup {
            authfile: absolute(&self.authfile)?,
            tls_verify: self.tls_verify,
            cert_dir: absolute(&self.cert_dir)?,
            ..Setup::default()
        })
    }
}

/// The registry that is meant: docker's users write addresses.
pub(super) fn key(written: Option<&str>) -> &str {
    let written = written.unwrap_or(DEFAULT_REGISTRY);
    let bare = written.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    match bare {
        "index.docker.io" | "index.docker.io/v1" | "registry-1.docker.io" | "hub.docker.com" => DEFAULT_REGISTRY,
        other => other,
    }
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let key = key(args.registry.as_deref());
    let setup = args.at.setup()?;
    let variable = |name: &str| std::env::var_os(name);
    let known = wire::alone(login::get_login(&setup, variable, key))?;
    if args.get_login {
        let Some(name) = known? else {
            return Err(Error::failed(format!("not logged in at {key}")).hint(format!("`estiba login {key}`")));
        };
        ui::out(&format!("{name}\n"))?;
        return Ok(0);
    }
    let (user, password) = asked(&args, key, known.ok().flatten().as_deref())?;
    let kept = wire::alone(login::login(&setup, variable, key, &user, &password))?
        .map_err(|error| refused(error, key, &user))?;
    ui::err(&format!("{}\n", style::dim(&format!("kept in {kept}"))));
    ui::out("Login Succeeded\n")?;
    Ok(0)
}

/// Name and password: from the arguments, standard input, or a terminal.
fn asked(args: &Args, key: &str, known: Option<&str>) -> Result<(String, String)> {
    let user = match &args.username {
        Some(user) => user.clone(),
        None => {
            ui::err(&format!("Login at {key}\n"));
            secret::ask_name(known)?
        }
    };
    let password = match &args.password {
        Some(password) => {
            ui::err(&format!(
                "{} a password on the command line can be seen by others: use --password-stdin\n",
                style::warning("warning:")
            ));
            password.clone()
        }
        None if args.password_stdin => secret::first_line()?,
        None => secret::ask("Password: ")?,
    };
    if user.is_empty() || user.contains(':') {
        return Err(Error::usage(format!("`{user}` is no name: it must not be empty, and has no colon")));
    }
    Ok((user, password))
}

/// "Log in first" helps nobody who just tried.
fn refused(error: Refusal, key: &str, user: &str) -> Error {
    match error {
        Refusal::Unauthorized { .. } => Error::failed(format!("{key} does not take this name and password"))
            .code(code::FAILED)
            .hint(format!("is `{user}` the name there? Many registries want an access token in place of the password")),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_names() {
        for (written, meant) in [
            (None, "docker.io"),
            (Some("https://index.docker.io/v1/"), "docker.io"),
            (Some("localhost:5000"), "localhost:5000"),
            (Some("https://example.com/"), "example.com"),
            (Some("example.com/team"), "example.com/team"),
        ] {
            assert_eq!(key(written), meant);
        }
    }
}
