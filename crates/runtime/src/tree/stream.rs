//! stub
use super::{BuildError, Built, WalkError, WalkOptions};
use layer::Toc;
use std::io::Write;
use sys::Root;
/// How a tree becomes a tar.
#[derive(Debug, Default)]
pub struct StreamOptions<'a> {
    /// How the tree is read.
    pub walk: WalkOptions<'a>,
    /// No time after this one: later ones become it.
    pub clamp: Option<i64>,
    /// An earlier record of the same tree: content digests are taken from it where path, size and time agree.
    pub known: Option<&'a Toc>,
}
/// What streaming found.
pub type Streamed = Built;
/// Why a tree cannot be streamed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The tree could not be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The layer could not be made.
    #[error(transparent)]
    Build(#[from] BuildError),
}
/// Writes the canonical tar of the layer tree `upper`.
#[expect(unused, clippy::todo, reason = "being laid")]
pub fn stream<W: Write + Send + 'static>(upper: &Root, options: &StreamOptions<'_>, sink: W) -> Result<(Streamed, W), StreamError> { todo!() }
/// Writes the same tar again from its record, without walking the tree; `clamp` as before.
#[expect(unused, clippy::todo, reason = "being laid")]
pub fn replay<W: Write + Send + 'static>(toc: &Toc, tree: &Root, clamp: Option<i64>, sink: W) -> Result<(Streamed, W), StreamError> { todo!() }
