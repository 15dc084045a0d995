//! The endpoints: what each row of [`crate::route::TABLE`] does.

pub(crate) mod base;
pub(crate) mod blob;
pub(crate) mod catalog;
pub(crate) mod list;
pub(crate) mod manifest;
pub(crate) mod observe;
pub(crate) mod referrers;
pub(crate) mod tag;
pub(crate) mod token;
pub(crate) mod upload;
