//! Finding results again: what a key is made of, what a selection holds, and what a key stands for.

pub(crate) mod backend;
pub(crate) mod content;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod known;
pub(crate) mod portable;
pub(crate) mod record;
pub(crate) mod spine;
