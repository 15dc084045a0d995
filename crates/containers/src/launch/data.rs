//! Files.

use runtime::container::Spec;

use crate::Config;

pub(super) fn apply(config: &Config, spec: &mut Spec) {
    let data = &config.data;
    spec.readonly_rootfs = data.readonly;
    spec.mounts.clone_from(&data.mounts);
    spec.folders.clone_from(&data.folders);
    if let Some(size) = data.shm_size {
        spec.shm_size = size;
    }
}
