//! Decides what runs when. [`state`] is pure, [`schedule`] orders what is ready, [`drive`] carries commands out.

pub(crate) mod drive;
pub(crate) mod schedule;
pub(crate) mod state;
