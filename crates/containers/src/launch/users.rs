//! Which users there are inside, by the rung that the container stands on.

use runtime::container::Users;
use runtime::ladder::Rung;
use sys::ns::{IdMap, IdRange};

use super::LaunchError;
use crate::config;

/// Where root's containers take ids of their own from where `/etc/subuid` gives none: far above those of users.
const HIGH: IdRange = IdRange { start: 1 << 30, count: 1 << 29 };

/// The maps for a container on this rung; ids outside are those of the rung's namespace, where 0 is the caller.
pub(super) fn users(asked: &config::Users, rung: &Rung) -> Result<Users, LaunchError> {
    let own = |(uids, gids)| Ok(Users::Own { uids, gids });
    match (asked, rung) {
        // What is another container's is found by its process.
        (config::Users::Rung | config::Users::Container(_), _) => Ok(Users::Same),
        // There is the caller alone, and who the program runs as is he.
        (config::Users::KeepId { .. }, Rung::SingleId) => Ok(Users::Same),
        (config::Users::KeepId { uid: 0, gid: 0 }, _) => Ok(Users::Same),
        (config::Users::KeepId { uid, gid }, Rung::SubordinateIds { uid: uids, gid: gids }) => {
            own((keep(*uid, uids.count), keep(*gid, gids.count)))
        }
        (config::Users::NoMap, Rung::SubordinateIds { uid, gid }) => own((others(uid.count), others(gid.count))),
        (config::Users::KeepId { .. } | config::Users::NoMap, Rung::Root) => {
            let why = "root has no id to keep or hide; give --userns=auto, or --uidmap and --gidmap";
            Err(LaunchError::Users(why.to_owned()))
        }
        (config::Users::Auto { start, size }, Rung::Root | Rung::SubordinateIds { .. }) => {
            let map = vec![IdMap { inside: 0, outside: *start, count: *size }];
            checked(map.clone(), map, rung).and_then(own)
        }
        (config::Users::Maps { uids, gids }, Rung::Root | Rung::SubordinateIds { .. }) => {
            checked(uids.clone(), gids.clone(), rung).and_then(own)
        }
        (_, Rung::SingleId | Rung::Chroot | Rung::Unprivileged) => {
            let why =
                "there is only one id here, for you have no subordinate ones; `estiba doctor` says how to get them";
            Err(LaunchError::Users(why.to_owned()))
        }
    }
}

/// The caller becomes `id`; who is below and above it inside is subordinate.
fn keep(id: u32, subordinate: u32) -> Vec<IdMap> {
    let below = id.min(subordinate);
    let rows = [
        IdMap { inside: 0, outside: 1, count: below },
        IdMap { inside: id, outside: 0, count: 1 },
        IdMap { inside: id.saturating_add(1), outside: below + 1, count: subordinate - below },
    ];
    rows.into_iter().filter(|row| row.count > 0).collect()
}

fn others(subordinate: u32) -> Vec<IdMap> {
    vec![IdMap { inside: 0, outside: 1, count: subordinate }]
}

type Maps = (Vec<IdMap>, Vec<IdMap>);

/// The maps, whose ids there are.
fn checked(uids: Vec<IdMap>, gids: Vec<IdMap>, rung: &Rung) -> Result<Maps, LaunchError> {
    let known = match rung {
        Rung::SubordinateIds { uid, gid } => [uid.count.saturating_add(1), gid.count.saturating_add(1)],
        _ => [u32::MAX, u32::MAX],
    };
    for ((map, known), kind) in [&uids, &gids].into_iter().zip(known).zip(["user", "group"]) {
        for row in map {
            if row.count == 0 || row.outside.checked_add(row.count).is_none_or(|end| end > known) {
                let last = u64::from(row.outside) + u64::from(row.count);
                return Err(LaunchError::Users(format!(
                    "{kind} ids {} to {last} are not all yours: you have 0 to {known}, of which 0 is yourself",
                    row.outside
                )));
            }
        }
    }
    Ok((uids, gids))
}

/// What `auto` takes from: a rung's ids without the caller's own; for root, what `subordinate` (the text of `/etc/subuid`) gives the
/// user `containers`, else numbers that nobody has.
#[must_use]
pub fn pool(rung: &Rung, subordinate: &str) -> Option<IdRange> {
    match rung {
        Rung::SubordinateIds { uid, gid } => Some(IdRange { start: 1, count: uid.count.min(gid.count) }),
        Rung::Root => Some(sys::ns::subordinate_range(subordinate, Some("containers"), u32::MAX).unwrap_or(HIGH)),
        Rung::SingleId | Rung::Chroot | Rung::Unprivileged => None,
    }
}

/// The first of `size` ids of `pool` that nobody has taken.
#[must_use]
pub fn allot(pool: IdRange, size: u32, taken: &[IdRange]) -> Option<u32> {
    let mut taken: Vec<_> = taken.to_vec();
    taken.sort_unstable_by_key(|range| range.start);
    let mut start = pool.start;
    for range in &taken {
        if range.start >= start.checked_add(size)? {
            break;
        }
        start = start.max(range.start.checked_add(range.count)?);
    }
    let end = u64::from(start) + u64::from(size);
    (end <= u64::from(pool.start) + u64::from(pool.count)).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(inside: u32, outside: u32, count: u32) -> IdMap {
        IdMap { inside, outside, count }
    }

    #[test]
    fn the_caller_keeps_his_id() {
        assert_eq!(keep(1000, 65_536), [row(0, 1, 1000), row(1000, 0, 1), row(1001, 1001, 64_536)]);
        assert_eq!(keep(0, 10), [row(0, 0, 1), row(1, 1, 10)]);
        assert_eq!(keep(70_000, 10), [row(0, 1, 10), row(70_000, 0, 1)]);
    }

    #[test]
    fn ids_of_its_own_are_nobody_elses() {
        let range = |start, count| IdRange { start, count };
        let pool = range(1, 65_536);
        assert_eq!(allot(pool, 1024, &[]), Some(1));
        assert_eq!(allot(pool, 1024, &[range(1, 1024)]), Some(1025));
        assert_eq!(allot(pool, 1024, &[range(3000, 10), range(1, 10)]), Some(11));
        assert_eq!(allot(pool, 65_536, &[range(1, 1)]), None);
        assert_eq!(allot(pool, 65_536, &[]), Some(1));
        assert_eq!(allot(range(1 << 30, 10), 11, &[]), None);
    }

    #[test]
    fn what_one_does_not_have_is_refused() {
        let range = IdRange { start: 100_000, count: 1000 };
        let rung = Rung::SubordinateIds { uid: range, gid: range };
        let maps = |row| config::Users::Maps { uids: vec![row], gids: vec![row] };
        assert!(users(&maps(row(0, 0, 1001)), &rung).is_ok());
        assert!(users(&maps(row(0, 1, 1001)), &rung).is_err());
        assert!(users(&maps(row(0, u32::MAX, 2)), &Rung::Root).is_err());
        assert!(users(&config::Users::NoMap, &Rung::SingleId).is_err());
        assert_eq!(users(&config::Users::KeepId { uid: 5, gid: 5 }, &Rung::SingleId).unwrap(), Users::Same);
    }
}
