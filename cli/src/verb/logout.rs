//! `estiba logout`.

use remote::login;

use super::login::{At, key};
use crate::context::Context;
use crate::error::Result;
use crate::{ui, wire};

const EXAMPLES: &str = "\
Examples:
  estiba logout registry.example.com
  estiba logout --all";

/// Arguments of `estiba logout`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The registry [default: docker.io]
    #[arg(value_name = "REGISTRY", conflicts_with = "all")]
    registry: Option<String>,
    /// Forget every login
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    at: At,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let key = (!args.all).then(|| key(args.registry.as_deref()));
    let setup = args.at.setup()?;
    let forgotten = wire::alone(login::logout(&setup, |name| std::env::var_os(name), key))??;
    let mut out: String =
        forgotten.iter().map(|(key, kept)| format!("Removed the login of {key} from {kept}\n")).collect();
    if forgotten.is_empty() {
        out = match key {
            Some(key) => format!("Not logged in at {key}\n"),
            None => "Not logged in anywhere\n".to_owned(),
        };
    }
    ui::out(&out)?;
    Ok(0)
}
