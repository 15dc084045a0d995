//! `estiba logs`: what a container said, or the steps of a build.

mod build;
mod container;
mod screen;

use containers::ContainersError;

use crate::chosen;
use crate::context::Context;
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  estiba logs web                       Everything that a container said
  estiba logs -f --tail 20 web          Its last 20 lines, and what comes
  estiba logs -t --since 10m web        The last ten minutes, with times
  estiba logs latest                    Everything that the last build's steps said
  estiba logs latest 4                  Step 4 alone: its number in `estiba builds inspect latest`
  estiba logs -f latest 'RUN make'      The steps that are called so, while the build runs

On a terminal, colours are shown and all other control sequences are left out; elsewhere the bytes are the container's own.";

/// Arguments of `estiba logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The container, by name or id; or a build: its id, the beginning of it, or `latest`
    #[arg(value_name = "CONTAINER|BUILD")]
    name: String,
    /// Of a build one step: its number, or words of its name
    #[arg(value_name = "STEP")]
    step: Option<String>,
    /// Go on until it ends
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    of_container: container::Options,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let Args { name, step, follow, of_container } = &args;
    let containers = chosen::containers(context)?;
    let missing = match containers.find(name) {
        Ok(_) if step.is_some() => {
            return Err(Error::usage(format!("{name} is a container: only builds have steps")));
        }
        Ok(container) => return container::print(&containers, container, *follow, of_container),
        Err(missing @ ContainersError::NoSuch(_)) => missing,
        Err(error) => return Err(error.into()),
    };
    match build::print(name, step.as_deref(), *follow, context) {
        Err(error) if step.is_none() && error.message().starts_with("there is no build") => {
            Err(Error::failed(format!("there is no container and no build called {name}"))
                .hint("`estiba ps -a` lists containers, `estiba builds ls` builds"))
        }
        other => {
            drop(missing);
            other
        }
    }
}
