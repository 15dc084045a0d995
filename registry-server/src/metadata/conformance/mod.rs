//! What every metadata backend has to do. For whoever writes one: call [`run`] from a test.

mod blobs;
mod collection;
mod events;
mod manifests;
mod paging;
mod probe;
mod quotas;
mod races;
mod referrers;
mod tags;
mod uploads;

use std::any::Any;

use super::Metadata;
pub use probe::{Image, Probe};

/// Makes an empty backend, and what has to live as long as it does.
pub type Make<'a> = &'a dyn Fn() -> (Box<dyn Metadata>, Box<dyn Any>);

type Case = fn(Probe<'_>);

/// Runs every case, each on a backend of its own.
///
/// # Panics
/// When the backend fails a case.
pub fn run(make: Make<'_>) {
    let topics: [&[Case]; 9] = [
        blobs::CASES,
        manifests::CASES,
        tags::CASES,
        referrers::CASES,
        paging::CASES,
        quotas::CASES,
        collection::CASES,
        uploads::CASES,
        events::CASES,
    ];
    for case in topics.into_iter().flatten().chain(races::CASES) {
        let (metadata, _kept) = make();
        case(Probe(metadata.as_ref()));
    }
}
