//! W8: the registry beside others, over loopback, all with their data on the file system that is measured.

mod client;
mod figure;
pub(crate) mod server;
mod table;

use std::io;

use crate::report::Report;
use crate::tool::Bed;

use figure::Field;

/// Runs every figure of the registry. `rounds` is how many runs a server gets of each.
///
/// # Errors
/// A server does not start, answers wrongly, or the disk is too small.
pub(crate) fn run(bed: &Bed, _report: &mut Report, rounds: usize) -> io::Result<()> {
    let mut field = Field::open(bed, rounds.div_ceil(2))?;
    field.table.head(&field.names())?;
    for clients in [1, 8, 64] {
        field.get_blob(clients)?;
    }
    for clients in [1, 8, 64] {
        field.get_manifest(clients)?;
    }
    for clients in [1, 8] {
        field.put(client::LARGE, clients)?;
    }
    for clients in [1, 8] {
        field.put(client::SMALL, clients)?;
    }
    field.crowd()?;
    field.tags()?;
    field.start()
}
