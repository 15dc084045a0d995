//! Capabilities by name.

use serde::{Deserialize, Serialize};

/// Names in the kernel's order: the index is the capability's number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities: bit n is capability number n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapSet(pub u64);

/// A capability that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability {0:?}")]
pub struct UnknownCapability(pub String);

impl CapSet {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// Every one that has a name.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// The fourteen that docker leaves to root inside a container.
    pub const fn docker() -> Self {
        Self(0xa804_25fb)
    }

    /// The defaults with `--cap-add` and `--cap-drop` applied: names with or without `CAP_`, in any case, or `all`.
    ///
    /// As in docker, `all` on one side is the start and the other side corrects it.
    ///
    /// # Errors
    /// A name that no kernel knows.
    pub fn adjusted(add: &[String], drop: &[String]) -> Result<Self, UnknownCapability> {
        let (added_all, added) = Self::parse_list(add)?;
        let (dropped_all, dropped) = Self::parse_list(drop)?;
        let start = match (added_all, dropped_all) {
            (true, _) => Self::ALL.0 & !dropped.0,
            (false, true) => 0,
            (false, false) => Self::docker().0 & !dropped.0,
        };
        Ok(Self(if added_all { start } else { start | added.0 }))
    }

    /// The capability of that name alone.
    ///
    /// # Errors
    /// A name that no kernel knows.
    pub fn named(name: &str) -> Result<Self, UnknownCapability> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        match NAMES.iter().position(|known| *known == bare) {
            Some(number) => Ok(Self(1 << number)),
            None => Err(UnknownCapability(name.to_owned())),
        }
    }

    /// Whether every one of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names in this set, without `CAP_`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(number, _)| self.0 >> number & 1 == 1).map(|(_, name)| *name)
    }

    fn parse_list(names: &[String]) -> Result<(bool, Self), UnknownCapability> {
        let mut set = Self::EMPTY;
        let mut all = false;
        for name in names {
            if name.eq_ignore_ascii_case("all") {
                all = true;
            } else {
                set.0 |= Self::named(name)?.0;
            }
        }
        Ok((all, set))
    }
}

impl Default for CapSet {
    fn default() -> Self {
        Self::docker()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adjusted(add: &[&str], drop: &[&str]) -> u64 {
        let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        CapSet::adjusted(&owned(add), &owned(drop)).unwrap().0
    }

    #[test]
    fn docker_has_fourteen() {
        let names: Vec<_> = CapSet::docker().names().collect();
        assert_eq!(names.len(), 14);
        assert!(names.contains(&"SYS_CHROOT") && !names.contains(&"SYS_ADMIN"));
    }

    #[test]
    fn all_is_a_start_that_the_other_side_corrects() {
        assert_eq!(adjusted(&[], &[]), 0xa804_25fb);
        assert_eq!(adjusted(&[], &["ALL"]), 0);
        assert_eq!(adjusted(&["chown"], &["all"]), 1);
        assert_eq!(adjusted(&["ALL"], &["CAP_CHOWN"]), CapSet::ALL.0 & !1);
        assert_eq!(adjusted(&["sys_ptrace"], &["KILL"]), (0xa804_25fb | 1 << 19) & !(1 << 5));
    }

    #[test]
    fn unknown_is_an_error() {
        assert_eq!(CapSet::named("CAP_NOPE"), Err(UnknownCapability("CAP_NOPE".to_owned())));
    }
}
