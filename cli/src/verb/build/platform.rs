//! For which platforms an image is built.

use oci::Platform;

/// Options about platforms.
#[derive(Debug, clap::Args)]
pub(super) struct PlatformArgs {
    /// The platform of the image
    #[arg(long, value_name = "OS/ARCH")]
    pub(super) platform: Option<Platform>,
}
