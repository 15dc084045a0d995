//! What a container is connected to, made before the container is: its network namespace, the process that carries its traffic, the
//! ports that lead inside, and the files that tell it of all this; and the networks of the user, which are made once and have a keeper.
//!
//! A supervisor calls [`up()`] before it clones the container, gives what comes of it to the runtime ([`Up::connect`]), has the rest made
//! while the container prepares itself ([`Up::finish`]), and keeps the sidecars in the container's state until the container has ended
//! ([`sidecar::Leaving`]). To start it again is to call [`up()`] again.

pub mod address;
mod bridge;
pub mod carrier;
pub mod claim;
pub mod definition;
pub mod dns;
pub mod error;
pub mod files;
pub mod forward;
pub mod keeper;
pub mod lease;
pub mod namespace;
mod owner;
pub mod pasta;
pub mod ports;
pub mod sidecar;
pub mod slirp;
mod up;

pub use error::NetworkError;
pub use up::{Asked, Up, up};
