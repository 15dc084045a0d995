//! `estiba man`.

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{Result, While};

const EXAMPLES: &str = "\
Examples:
  estiba man                          Print estiba(1)
  estiba man ~/.local/share/man/man1  Write a page for every verb";

/// Arguments of `estiba man`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Write one page a verb into this folder
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let command = super::full_command();
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        crate::ui::out(&String::from_utf8_lossy(&page))?;
        return Ok(0);
    };
    std::fs::create_dir_all(&dir).during(format!("create {}", dir.display()))?;
    clap_mangen::generate_to(command, &dir).during(format!("write pages into {}", dir.display()))?;
    Ok(0)
}
