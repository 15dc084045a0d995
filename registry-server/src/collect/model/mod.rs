//! The collector among clients: push, ask and skip, mount, delete, collect, interleaved at random, killed at random.
//! A referenced blob is never lost, and in the end nothing is left over.

mod chance;
mod client;
mod interleaved;
mod killed;
mod world;
