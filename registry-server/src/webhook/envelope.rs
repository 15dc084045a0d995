//! What lies in the outbox: one event for one receiver.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::time::Instant;

/// One row of the outbox, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope {
    /// The receiver's name.
    pub(super) endpoint: String,
    /// When it happened.
    pub(super) at: Instant,
    /// Where: deliveries for one repository keep their order.
    pub(super) repository: String,
    /// The event, exactly as it is sent each time.
    pub(super) event: Box<RawValue>,
}
