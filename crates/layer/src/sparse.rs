//! Files with holes, as GNU tar stores them: which runs of a file's bytes an archive holds.

use crate::header::{BLOCK, SPARSE_RUNS, number};

/// How many runs one member may have. GNU tar sets no limit; a million is a 16 MiB map, for a file that alternates
/// every 4 KiB over 8 GiB.
pub(crate) const MAX_RUNS: usize = 1 << 20;
/// Runs in the header block itself, and in each block that continues it.
pub(crate) const RUNS_IN_HEADER: usize = 4;
pub(crate) const RUNS_IN_BLOCK: usize = 21;

/// A run of bytes of a file that a sparse tar member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Where in the file it lies.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// Reads up to `count` runs of GNU's old form from `bytes`; the first with an empty offset field ends them. `None` if
/// one is no number.
pub(crate) fn old_runs(bytes: &[u8], count: usize, into: &mut Vec<Extent>) -> Option<()> {
    const FIELD: usize = 12;
    for run in bytes.chunks_exact(2 * FIELD).take(count) {
        if run[0] == 0 {
            break;
        }
        let field = |bytes| number(bytes).and_then(|value| u64::try_from(value).ok());
        into.push(Extent { offset: field(&run[..FIELD])?, length: field(&run[FIELD..])? });
    }
    Some(())
}

/// The runs of an old GNU header block.
pub(crate) fn header_runs(block: &[u8; BLOCK], into: &mut Vec<Extent>) -> Option<()> {
    old_runs(&block[SPARSE_RUNS..], RUNS_IN_HEADER, into)
}

/// Pairs numbers into runs.
pub(crate) fn pairs(numbers: &[u64]) -> Option<Vec<Extent>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[offset, length]| Extent { offset: *offset, length: *length }).collect())
}

/// Checks that runs are in order, don't overlap, lie inside a file of `size` bytes and add up to the `stored` bytes that
/// the archive holds; leaves out empty ones.
pub(crate) fn checked(runs: Vec<Extent>, size: u64, stored: u64) -> Option<Vec<Extent>> {
    let mut end = 0;
    let mut sum = 0_u64;
    for run in &runs {
        if run.offset < end {
            return None;
        }
        end = run.offset.checked_add(run.length).filter(|end| *end <= size)?;
        sum = sum.checked_add(run.length)?;
    }
    (sum == stored).then(|| runs.into_iter().filter(|run| run.length > 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_lie_are_refused() {
        let run = |offset, length| Extent { offset, length };
        assert_eq!(checked(vec![run(0, 2), run(8, 2), run(10, 0)], 10, 4), Some(vec![run(0, 2), run(8, 2)]));
        assert_eq!(checked(vec![], 1 << 40, 0), Some(vec![]));
        assert_eq!(checked(vec![run(0, 4), run(2, 4)], 10, 8), None, "overlap");
        assert_eq!(checked(vec![run(8, 2), run(0, 2)], 10, 4), None, "order");
        assert_eq!(checked(vec![run(8, 4)], 10, 4), None, "outside");
        assert_eq!(checked(vec![run(0, 4)], 10, 5), None, "too few");
        assert_eq!(checked(vec![run(1, u64::MAX)], u64::MAX, u64::MAX), None, "overflow");
        assert_eq!(pairs(&[1, 2, 3]), None);
    }
}
