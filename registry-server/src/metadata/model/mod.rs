//! Random operations, on a backend and on maps that do the same by definition.

mod maps;
mod operation;
mod properties;
