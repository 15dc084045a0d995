//! The field's words: digests, references, descriptors, manifests and image configurations.
//!
//! Nothing here has an effect: values are parsed, compared, hashed and written into memory.
//! Everything that crosses a boundary (disk, wire, archive) is parsed through these types, so
//! that an unchecked digest or name cannot travel further than the parser.

mod config;
mod descriptor;
mod digest;
mod error_code;
mod layer_id;
mod manifest;
pub mod media_type;
mod platform;
mod raw;
mod reference;
mod timestamp;

pub use config::{ContainerConfig, Empty, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher, HashingReader, HashingWriter, Verifier};
pub use error_code::ErrorCode;
pub use layer_id::{ChainId, DiffId};
pub use manifest::{Index, Manifest, is_index};
pub use platform::{Platform, PlatformError};
pub use raw::{Raw, RawError};
pub use reference::{Reference, ReferenceError, RepositoryName, Tag};
pub use timestamp::Timestamp;
