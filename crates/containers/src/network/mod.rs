//! What a container is connected to, made before the container is: its network namespace, the process that carries its traffic, the
//! ports that lead inside, and the files that tell it of all this.

pub mod ports;
