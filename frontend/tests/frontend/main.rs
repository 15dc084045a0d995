//! The frontend from outside: corpora, goldens, properties and limits.
#![expect(clippy::unwrap_used, reason = "all of this is tests, their helpers too")]

mod corpus;
mod differential;
mod errors;
mod limits;
mod lowering;
mod planning;
mod properties;
