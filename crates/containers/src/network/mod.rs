//! What a container is connected to, made before the container is: its network namespace, the process that carries its traffic, the
//! ports that lead inside, and the files that tell it of all this; and the networks of the user, which are made once and have a keeper.

pub mod address;
mod bridge;
pub mod definition;
pub mod dns;
pub mod keeper;
pub mod lease;
pub mod ports;
