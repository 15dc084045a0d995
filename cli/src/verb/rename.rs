//! `estiba rename`.

use std::time::Duration;

use containers::client::Client;
use containers::supervisor::protocol::Request;

use crate::chosen;
use crate::context::Context;
use crate::error::Result;

/// How long a supervisor may take to hear of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Arguments of `estiba rename`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Its new name
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let container = chosen::one(&containers, &args.container)?;
    containers.rename(&container, &args.name)?;
    if let Ok(Some(keeper)) = containers::network::keeper::find(context.root()?) {
        // Where it is in no network, there is nobody to call it by its name.
        drop(keeper.rename(&container.config.id, &args.name));
    }
    // One that does not run needs not be told.
    drop(Client::connect(&container.folder).and_then(|client| client.ask(&Request::Reload, Some(PATIENCE))));
    Ok(0)
}
