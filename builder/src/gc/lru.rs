//! Least recently used first: which things go, decided.

use super::PruneOptions;

/// How large the store may stay, of `total` bytes on a file system with `free` more; `None`: nobody limits it.
pub(super) fn target(total: u64, free: u64, options: &PruneOptions) -> Option<u64> {
    let by_free = options.min_free.map(|wanted| total.saturating_sub(wanted.saturating_sub(free)));
    let smallest = [options.keep_storage, by_free].into_iter().flatten().min();
    match (smallest, options.reserved) {
        (Some(size), Some(reserved)) => Some(size.max(reserved)),
        (None, reserved) => reserved,
        (size, None) => size,
    }
}

/// Takes things, the one used longest ago first, until so many bytes are free. `cost` says what taking a thing frees,
/// after those before it went; what frees nothing is taken along, as long as more is wanted.
pub(super) fn choose<T>(mut things: Vec<(i64, T)>, excess: u64, mut cost: impl FnMut(&T) -> u64) -> Vec<T> {
    things.sort_by_key(|(used, _)| *used);
    let mut freed = 0;
    let mut chosen = Vec::new();
    for (_, thing) in things {
        if freed >= excess {
            break;
        }
        freed += cost(&thing);
        chosen.push(thing);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let options = |keep_storage, min_free, reserved| PruneOptions {
            keep_storage,
            min_free,
            reserved,
            ..PruneOptions::default()
        };
        let cases = [
            ((None, None, None), None),
            ((Some(60), None, None), Some(60)),
            // 50 are free and 70 wanted: 20 of 100 have to go.
            ((None, Some(70), None), Some(80)),
            ((None, Some(10), None), Some(100)),
            ((None, Some(900), None), Some(0)),
            ((Some(60), Some(70), None), Some(60)),
            ((Some(60), Some(900), Some(30)), Some(30)),
            ((Some(60), None, Some(80)), Some(80)),
            ((None, None, Some(40)), Some(40)),
        ];
        for ((keep, free, reserved), expected) in cases {
            assert_eq!(target(100, 50, &options(keep, free, reserved)), expected, "{keep:?} {free:?} {reserved:?}");
        }
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_is_needed() {
        let things = || vec![(30, ('c', 10)), (10, ('a', 5)), (20, ('b', 0)), (40, ('d', 100))];
        let names = |excess| choose(things(), excess, |(_, bytes)| *bytes).into_iter().map(|(name, _)| name).collect();
        let cases: [(u64, &str); 5] = [(0, ""), (1, "a"), (6, "abc"), (16, "abcd"), (1000, "abcd")];
        for (excess, expected) in cases {
            let chosen: String = names(excess);
            assert_eq!(chosen, expected, "{excess}");
        }
    }
}
