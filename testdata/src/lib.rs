//! What tests stand on: a busybox root file system and images of it, ordinary users to run a
//! command as, and the one way to skip a check without hiding it.
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
mod image;
mod skip;
mod users;

pub use busybox::{busybox, testdata, write_rootfs};
pub use image::{Image, Layer};
pub use skip::skip;
pub use users::{User, is_root};
