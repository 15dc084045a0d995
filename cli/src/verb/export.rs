//! `estiba export`.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::PathBuf;

use layer::TarWriter;
use runtime::tree::{Walk, WalkOptions};

use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::{chosen, inside};

/// Arguments of `estiba export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The container
    container: String,
    /// The tar to write, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let container = chosen::one(&containers, &args.container)?;
    // Before the namespaces change who we are.
    let out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(File::create(path).during(format!("create {}", path.display()))?),
        None if io::stdout().is_terminal() => {
            return Err(Error::usage("standard output is a terminal").hint("give a file: -o FILE"));
        }
        None => Box::new(io::stdout().lock()),
    };
    let (visit, ids) = inside::whole(&containers, &container)?;
    let mut walk = Walk::new(visit.root(), WalkOptions { ids, lower: None })?;
    let mut tar = TarWriter::new(BufWriter::with_capacity(1 << 18, out));
    while let Some((entry, file)) = walk.next_entry()? {
        match file {
            // A program may write to it meanwhile: what a header says of a file is what follows.
            Some(file) => tar.append(&entry, &mut file.chain(io::repeat(0)).take(entry.size))?,
            None => tar.append(&entry, &mut io::empty())?,
        };
    }
    tar.finish()?.flush()?;
    Ok(0)
}
