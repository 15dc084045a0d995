//! `estiba completions`.

use crate::context::Context;
use crate::error::Result;

const EXAMPLES: &str = "\
Examples:
  estiba completions bash > ~/.local/share/bash-completion/completions/estiba
  estiba completions zsh  > ~/.zfunc/_estiba
  estiba completions fish > ~/.config/fish/completions/estiba.fish";

/// Arguments of `estiba completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::full_command(), "estiba", &mut script);
    crate::ui::out(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
