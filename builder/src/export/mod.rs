//! Where a result goes.

pub(crate) mod image;

use oci::Descriptor;

use crate::Output;
use crate::build::Build;
use crate::cache::key::Chain;

/// Writes one output; the image is in the store already.
pub(crate) fn write(_build: &Build<'_>, _chain: &Chain, output: &Output, _manifest: Option<&Descriptor>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match output {
        Output::Image | Output::CacheOnly => Ok(()),
        Output::Oci { .. } | Output::Docker { .. } | Output::Tar { .. } | Output::Local { .. } => Err("this exporter is being laid".into()),
    }
}
