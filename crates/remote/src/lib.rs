//! Registries as sources and targets: the one crate that calls out.
//!
//! A [`Client`] holds what all calls share: connections, credentials, limits. [`Client::registry`] gives a
//! [`Registry`], which remembers its challenge and tokens, and [`Registry::repository`] a [`Repository`], whose
//! methods are the endpoints of the distribution specification.
//!
//! Nothing that a registry sends is believed: bodies are bounded and compared with their digests, redirects and token
//! realms are followed by the rules of [`hop`], and a credential goes to the registry it belongs to, or to the realm
//! that this registry names, and nowhere else.
//!
//! Specification: OCI distribution-spec 1.1.1; distribution's token specification.

mod auth;
mod auth_file;
mod call;
mod challenge;
mod client;
mod credential_program;
mod credentials;
mod distrust;
mod error;
mod fetch;
pub mod git;
pub mod hop;
pub mod hosts;
mod link;
mod list;
pub mod login;
mod manifest;
mod pull;
mod push;
mod quirk;
mod range;
mod rate_limit;
mod registry;
mod retry;
mod route;
pub mod s3;
mod scope;
mod session;
mod setup;
mod tls;
mod transport;
mod upload;
pub mod web;

pub use challenge::{Challenge, parse as parse_challenges};
pub use client::{Client, Limits, Options, Registry, Repository};
pub use credential_program::HelperError;
pub use credentials::{AuthFileError, AuthFiles, Content, Credential, Credentials, Places};
pub use error::{ApiError, Distrust, Error, Place, RateLimit, Result};
pub use fetch::{Fetch, ReadAhead};
pub use link::next as next_link;
pub use list::{Referrers, Tags};
pub use manifest::{Accept, Fetched, Known};
pub use pull::{Blob, VerifiedBlob};
pub use push::{Mounted, PutManifest, Reference, Upload};
pub use quirk::Quirk;
pub use range::{ByteRange, ContentRange};
pub use retry::Retry;
pub use route::Route;
pub use setup::Setup;
pub use tls::{Identity, Pem, PemError, config as tls_config};
pub use upload::{
    BytesSource, FileSource, How, Pieces, RemoteSource, Source, SourceError, Told, UploadOptions, Uploaded,
};
