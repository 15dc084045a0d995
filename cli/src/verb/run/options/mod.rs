//! The options of `run` and `create`, a group a file, and what each settles of a container.

mod data;
mod health;
mod isolation;
pub(in crate::verb) mod life;
mod logging;
mod network;
mod notify;
mod others;
mod process;
pub(in crate::verb) mod resources;
pub(in crate::verb) mod user_network;
mod users;

use containers::config::{Config, Image, MadeBy, Resources, VERSION};
use containers::id::ContainerId;
use containers::time::Moment;
use oci::ContainerConfig;

use crate::error::Result;

pub(in crate::verb) use others::settle_others;

/// All options that say what a container is to be.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    #[command(flatten)]
    pub(in crate::verb) life: life::Options,
    #[command(flatten)]
    pub(in crate::verb) process: process::Options,
    #[command(flatten)]
    data: data::Options,
    #[command(flatten)]
    network: network::Options,
    #[command(flatten)]
    resources: resources::Options,
    #[command(flatten)]
    isolation: isolation::Options,
    #[command(flatten)]
    health: health::Options,
    #[command(flatten)]
    logging: logging::Options,
    #[command(flatten)]
    notify: notify::Options,
}

impl Options {
    /// Settles the options against the image.
    pub(in crate::verb) fn settle(
        &self,
        id: ContainerId,
        name: String,
        image: Image,
        command: &[String],
        defaults: &ContainerConfig,
    ) -> Result<Config> {
        let mut config = Config {
            version: VERSION,
            life: self.life.settle(defaults)?,
            process: self.process.settle(&id, command, defaults)?,
            data: self.data.settle(defaults)?,
            network: self.network.settle(defaults)?,
            resources: Resources { disk: self.data.size()?, ..self.resources.settle()? },
            isolation: self.isolation.settle()?,
            health: self.health.settle(defaults)?,
            logging: self.logging.settle()?,
            notify: self.notify.settle()?,
            made_by: MadeBy::default(),
            created: Moment::now(),
            id,
            name,
            image,
        };
        self.isolation.finish(&mut config)?;
        Ok(config)
    }

    /// Makes what a container needs besides its image, before the container itself: volumes, what it mounts of others.
    /// What is given back keeps them from being removed until the container names them.
    pub(in crate::verb) fn provide(
        &self,
        config: &mut Config,
        store: &store::Store,
    ) -> Result<Option<sys::lock::Lock>> {
        self.data.provide(config, store)
    }
}
