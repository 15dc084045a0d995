//! Stacking: nothing is read, nothing is written.

use crate::cache::key::Chain;

/// The layers of the base, then those of each addition.
pub(crate) fn stack(inputs: &[&Chain]) -> Chain {
    Chain(inputs.iter().flat_map(|chain| chain.0.iter().cloned()).collect())
}
