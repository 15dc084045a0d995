//! Who calls, and what they may do.
//!
//! [`Gate::authenticate`] turns headers and the connection's certificate into a [`Principal`]; the gate's
//! other methods turn a principal into a proof ([`Pull`], [`Push`], [`Delete`], …) of one right on one repository.
//! Endpoints take proofs by value or reference and read the repository's name from them, so that code without
//! a check does not compile. Neither a principal nor a proof can be made elsewhere.

pub mod audit;
mod backoff;
mod config;
mod gate;
pub mod htpasswd;
mod issuer;
pub mod jwt;
pub mod keys;
mod passwords;
pub mod policy;
mod principal;
mod proof;
mod stamp;
mod watched;

pub use audit::Audit;
pub use config::{Anonymous, Auth, Issuer, Token};
pub use gate::{Error, Gate, Surroundings};
pub use principal::{Action, Grant, Method, Peer, Principal, Scope};
pub use proof::{Administer, Catalog, Delete, Pull, Push};
pub(crate) use stamp::{Stamps, read_bounded};
pub use watched::FileError;
