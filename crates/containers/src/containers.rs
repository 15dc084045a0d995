//! All containers of a store: made, found, listed, removed.

use crate::layout::Layout;

/// The containers of a store.
#[derive(Debug, Clone)]
pub struct Containers {
    layout: Layout,
}

impl Containers {
    /// Those of this store. Touches nothing.
    pub fn new(store: &store::Layout) -> Self {
        Self { layout: Layout::new(store) }
    }

    /// Where they are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}
