//! `estiba port`.

use containers::Container;
use containers::network::ports::{self, Published};

use crate::chosen;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba port web            Every published port: 80/tcp -> 0.0.0.0:8080
  estiba port web 80         Where port 80 of it is reached
  estiba port web 53/udp";

/// Arguments of `estiba port`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The container
    #[arg(required_unless_present = "all")]
    container: Option<String>,
    /// One of its ports; without a protocol, tcp
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
    /// The ports of all containers that run
    #[arg(short, long, conflicts_with = "container")]
    all: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let Some(name) = &args.container else {
        for container in containers.list()? {
            let id = container.config.id.short().to_owned();
            for published in all(&container) {
                ui::out(&format!("{id}\t{}\n", line(&published)))?;
            }
        }
        return Ok(0);
    };
    let container = chosen::one(&containers, name)?;
    let Some(written) = &args.port else {
        for published in all(&container) {
            ui::out(&format!("{}\n", line(&published)))?;
        }
        return Ok(0);
    };
    let wanted = ports::parse_exposed(written).map_err(|error| Error::usage(error.to_string()))?;
    let found: Vec<Published> = all(&container).into_iter().filter(|one| wanted.contains(&one.container)).collect();
    if found.is_empty() {
        let wanted = wanted.first().map(ToString::to_string).unwrap_or_default();
        let error = Error::failed(format!("no public port '{wanted}' published for {name}"));
        return Err(match container.state.init {
            Some(_) => error.hint("`run -p` publishes ports; a container that is there keeps what it has"),
            None => error.hint("it does not run"),
        });
    }
    for published in found {
        ui::out(&format!("{}\n", published.host))?;
    }
    Ok(0)
}

fn all(container: &Container) -> Vec<Published> {
    container.state.network.ports.clone()
}

fn line(published: &Published) -> String {
    format!("{} -> {}", published.container, published.host)
}
