//! Whether the registry lives, and whether it can do its work.

use crate::Registry;

/// Below so many free bytes a registry takes no more uploads: what is under way and the metadata need some.
pub const LEAST_FREE: u64 = 64 << 20;

/// Why the registry should get no requests now; empty where it should. Blocking: it asks the metadata and the disk.
pub fn readiness(registry: &Registry) -> Vec<String> {
    let mut trouble = Vec::new();
    if registry.draining() {
        trouble.push("it is ending".to_owned());
    }
    if let Err(error) = registry.metadata.pending_events() {
        tracing::warn!(%error, "the metadata does not answer");
        trouble.push("the metadata does not answer".to_owned());
    }
    match registry.objects.space() {
        Ok(space) if space.free < LEAST_FREE => trouble.push("the disk is full".to_owned()),
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%error, "the storage does not answer");
            trouble.push("the storage does not answer".to_owned());
        }
    }
    trouble
}
