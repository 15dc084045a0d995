//! Who calls, and what they may do.
//!
//! [`Gate::authenticate`] turns headers and the connection's certificate into a [`Principal`]; the gate's
//! other methods turn a principal into a proof ([`Pull`], [`Push`], [`Delete`], …) of one right on one repository.
//! Endpoints take proofs by value or reference and read the repository's name from them, so that code without
//! a check does not compile. Neither a principal nor a proof can be made elsewhere.

pub mod audit;
mod backoff;
mod certificate;
mod challenge;
mod config;
mod exchange;
mod gate;
mod header;
pub mod htpasswd;
mod issuer;
pub mod jwt;
pub mod keys;
#[cfg(test)]
mod mutation;
mod passwords;
pub mod policy;
mod principal;
mod proof;
pub mod scope;
mod stamp;
mod token;
mod watched;

pub use audit::Audit;
pub use config::{Anonymous, Auth, Issuer, Token};
pub use exchange::{Answer, Proof, Wish};
pub use gate::{Error, Gate, Surroundings};
pub use header::{Credentials, Malformed};
pub use principal::{Action, Grant, Method, Peer, Principal, Scope};
pub use proof::{Administer, Catalog, Delete, Pull, Push};
pub use watched::FileError;

pub(crate) use exchange::NOT_KEPT;
pub(crate) use stamp::{Stamps, off_the_reactor, read_bounded};
