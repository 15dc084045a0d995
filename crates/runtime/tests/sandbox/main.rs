//! Containers, run for real: as root, as a user with subordinate ids, as one without.

mod attacks;
mod confinement;
mod harness;
mod lifecycle;
mod rungs;
mod spawner;
