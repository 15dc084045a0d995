//! `estiba attach`: to a container that runs; or files to an image.

mod artifact;

use containers::client::{Client, ClientError};
use containers::supervisor::protocol::Request;
use containers::{Container, Status};

use crate::attachment::{self, How, Wanted};
use crate::chosen;
use crate::context::Context;
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  estiba attach web                                See what it says, type into it; ctrl-p ctrl-q leaves
  estiba attach --no-stdin --detach-keys ctrl-x web
  estiba attach --artifact-type application/spdx+json registry.example.com/app:1.2 app.spdx.json:application/spdx+json
  estiba attach --artifact-type example/notes --annotation author=ann app:1.2 notes.txt:text/plain
  estiba attach --artifact-type example/mark --annotation reviewed=yes app:1.2

With --artifact-type, files are attached to an image in its registry: `estiba referrers app:1.2` lists what is attached,
`estiba copy docker://REPOSITORY@DIGEST oci:DIR` fetches it. A registry that keeps no list of referrers gets the tag that stands
in for it.";

/// Arguments of `estiba attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The container, by name or id; with --artifact-type the image
    #[arg(value_name = "CONTAINER|IMAGE")]
    name: String,
    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,
    /// The keys that leave it [default: those it was made with, else ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass signals on to it
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    sig_proxy: bool,
    #[command(flatten)]
    artifact: artifact::Options,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    if let Some(artifact_type) = &args.artifact.artifact_type {
        return artifact::attach(&args.name, artifact_type, &args.artifact);
    }
    if !args.artifact.files.is_empty() {
        return Err(Error::usage("files are attached to an image as an artifact of some kind: give --artifact-type"));
    }
    let containers = chosen::containers(context)?;
    join(&chosen::one(&containers, &args.name)?, &args)
}

/// Joins a container that runs.
fn join(container: &Container, args: &Args) -> Result<u8> {
    let name = &container.config.name;
    match container.state.status {
        Status::Running | Status::Restarting => {}
        Status::Paused => {
            return Err(
                Error::failed(format!("{name} is paused")).hint(format!("`estiba unpause {name}` lets it go on"))
            );
        }
        Status::Created | Status::Exited => {
            return Err(Error::failed(format!("{name} does not run")).hint(format!(
                "`estiba start -a {name}` starts it and stays, `estiba logs {name}` shows what it said"
            )));
        }
    }
    if container.config.logging.driver.as_deref() == Some("passthrough") {
        return Err(Error::failed(format!("{name} has the streams of who started it: nobody else can attach to it")));
    }
    let stdin = !args.no_stdin && container.config.process.stdin;
    attachment::check(stdin, container.config.process.terminal)?;
    let how = How::of(&container.config, Wanted::all(stdin), args.detach_keys.as_deref())?;
    let about = how.attachment(false);
    let signals = attachment::signals(args.sig_proxy)?;
    let request =
        Request::Attach { stdin: about.stdin, output: about.output, foreground: about.foreground, size: about.size };
    let failed = |error: ClientError| Error::failed(format!("{name}: {error}"));
    let client = Client::connect(&container.folder).map_err(failed)?;
    client.send(&request).map_err(failed)?;
    attachment::stay(client.into_socket(), &signals, how)?.code()
}
