//! What tests stand on: a busybox root file system and images of it, ordinary users to run a
//! command as, registries and networks that misbehave, and the one way to skip a check without hiding it.
//!
//! Nothing here uses the code under test: an image written by [`Image`] is put together by this
//! crate alone, so that a defect in the house's own writer cannot hide behind its own reader.
//!
//! ```text
//! let Some(busybox) = fixtures::busybox() else { return };     // skipped, and named
//! fixtures::Image::busybox(&busybox).env("A", "1").write_layout(dir, "busybox")?;
//! let Some(user) = fixtures::User::plain() else { return };
//! user.command("id").status()?;
//! ```

mod busybox;
mod http;
mod image;
mod proxy;
mod shelf;
mod skip;
mod users;

pub use busybox::{busybox, foreign_busybox, qemu, testdata, write_rootfs};
pub use http::{Answer, Asked, Body, Host};
pub use image::{Image, Layer, Made, gzip, sha256};
pub use proxy::{Fault, Passed, Proxy, Rule, Way};
pub use shelf::{Shelf, unknown};
pub use skip::skip;
pub use users::{User, is_root};
