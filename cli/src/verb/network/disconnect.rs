//! `estiba network disconnect`.

use containers::network::definition::NetworkError;
use containers::network::keeper;

use super::connect::{places, record};
use super::networks;
use crate::chosen;
use crate::context::Context;
use crate::error::{Error, Result, While};

/// Arguments of `estiba network disconnect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The network, by name or id
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// A network or a container that is not there is no error
    #[arg(short, long)]
    force: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let network = match networks(context)?.find(&args.network) {
        Err(NetworkError::Missing(_)) if args.force => return Ok(0),
        found => found?,
    };
    let containers = chosen::containers(context)?;
    let container = match chosen::one(&containers, &args.container) {
        Err(_) if args.force => return Ok(0),
        found => found?,
    };
    let _lock = container.folder.lock_config()?;
    let mut config = container.folder.read_config().during(format!("read what {} is", args.container))?;
    let places = places(&mut config, &args.container)?;
    let before = places.len();
    places.retain(|place| place.network != network.name && place.network != network.id.as_str());
    if places.len() == before && !args.force {
        return Err(Error::failed(format!("container {} is not in network {}", args.container, network.name)));
    }
    if let Some(keeper) = keeper::find(context.root()?)? {
        keeper.leave(&container.config.id, Some(&network.id))?;
    }
    record(&container, &config)?;
    Ok(0)
}
