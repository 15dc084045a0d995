//! How much of a Dockerfile is followed. Each limit gives one clear error, and
//! together they keep what hostile input costs near a second and 1 GiB.

/// Stages in one file. The largest generated files have some dozens.
pub(crate) const MAX_STAGES: usize = 1_000;

/// Instructions in one file, triggers included.
pub(crate) const MAX_INSTRUCTIONS: usize = 20_000;

/// `ONBUILD` triggers of one base image: no image has more instructions.
pub(crate) const MAX_TRIGGERS: usize = 1_000;

/// Mounts of one RUN: far above what anybody writes, far below a kernel's limit.
pub(crate) const MAX_MOUNTS: usize = 1_000;

/// Images that one Dockerfile may ask for.
pub(crate) const MAX_IMAGES: usize = 1_000;

/// Bytes that the plan may hold: environments times RUNs, histories times
/// stages. Without it, 10,000 ENVs before 10,000 RUNs take 8 GiB.
pub(crate) const MAX_PLAN_BYTES: usize = 64 << 20;

/// The longest text of one instruction that a message or a name repeats.
pub(crate) const MAX_SHOWN: usize = 4_096;
