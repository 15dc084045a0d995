//! The frontend from outside: corpora, goldens, properties and limits.

mod corpus;
mod differential;
mod errors;
mod limits;
mod lowering;
mod planning;
mod properties;
