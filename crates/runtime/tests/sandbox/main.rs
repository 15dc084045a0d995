//! Containers, run for real: as root, as a user with subordinate ids, as one without.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test, and says where")]

mod attacks;
mod boundary;
mod confinement;
mod groups;
mod harness;
mod join;
mod lifecycle;
mod rungs;
mod spawner;
