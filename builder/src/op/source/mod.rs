//! Trees that come from outside. Scratch is an empty chain, and a build context is read where it lies: neither runs; the layers of an
//! image are pulled when something runs on top of them.
//!
//! Files of the web and checkouts are fetched before a build runs, by who the user is: in the namespaces of RUNs neither their
//! keys nor their home are where programs look for them. The build then reads them like build contexts.

mod error;
pub(crate) mod git;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod pulled;
pub(crate) mod unpack;

use graph::{Canonical, Op, Source};

pub use error::SourceError;

/// The name under which the store keeps what a source was fetched as; `None` for those that are not fetched so.
pub(crate) fn key(source: &Source) -> Option<String> {
    let kind = match source {
        Source::Http(_) => "http",
        Source::Git(_) => "git",
        Source::Scratch | Source::Image { .. } | Source::Local { .. } => return None,
    };
    let mut canonical = Canonical::new("fetched");
    canonical.op(&Op::Source(source.clone()));
    Some(format!("{kind}-{}", canonical.finish().hex()))
}
