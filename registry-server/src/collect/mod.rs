//! What goes by itself: tags by rule. And what may not come: bytes above a quota.

pub mod quota;
pub mod retention;
