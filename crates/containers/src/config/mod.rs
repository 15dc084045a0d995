//! What was asked of a container, settled against its image; written once, and again by `rename` and `update`.
//!
//! A part has a file and an owner: where an option of `run` goes is where its group of options went.

mod data;
mod health;
mod isolation;
mod life;
mod logging;
mod mount;
mod network;
mod notify;
mod process;
mod resources;

use oci::{Digest, Platform};
use serde::{Deserialize, Serialize};

pub use data::Data;
pub use health::{Health, INTERVAL, OnFailure, RETRIES, START_INTERVAL};
pub use isolation::{Device, Isolation, Share, Users};
pub use life::{Life, Restart, STOP_TIMEOUT};
pub use logging::Logging;
pub use mount::{Mount, MountSource, same_target};
pub use network::{BadMac, Carrier, Endpoint, Host, Link, MacAddress, Mode as NetworkMode, Network};
pub use notify::{Notify, Ready};
pub use process::Process;
pub use resources::{Groups, Resources};

use crate::id::ContainerId;
use crate::time::Moment;

/// The format of `config.json`. A greater number is refused.
pub const VERSION: u32 = 1;

/// Everything that was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// [`VERSION`].
    pub version: u32,
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Moment,
    /// The image that it began from.
    pub image: Image,
    /// How it begins, ends and begins again.
    pub life: Life,
    /// Its program.
    pub process: Process,
    /// Its files.
    pub data: Data,
    /// Its network.
    pub network: Network,
    /// How much it may take.
    pub resources: Resources,
    /// What it may do.
    pub isolation: Isolation,
    /// How its health is asked; `None` where it is not.
    pub health: Option<Health>,
    /// Where what it says goes.
    pub logging: Logging,
    /// What the service manager hears and hands over.
    pub notify: Notify,
    /// What was typed.
    #[serde(default)]
    pub made_by: MadeBy,
}

/// What was typed after `run` or `create`, so that a unit can do the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBy {
    /// The options.
    pub options: Vec<String>,
    /// The image, and the command.
    pub words: Vec<String>,
}

/// The image of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// As it was asked for.
    pub name: String,
    /// Its id: the digest of its configuration.
    pub id: Digest,
    /// Its manifest.
    pub manifest: Digest,
    /// What it is for.
    pub platform: Platform,
}
