//! Registries as sources and targets: the one crate that calls out.
