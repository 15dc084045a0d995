//! What this machine says of itself, and what its refusals mean.

use std::fs;

use rustix::io::Errno;
use sys::ns::{self, IdKind, IdRange};

use super::attempt::Failure;
use super::enter::{CAP_SETGID, CAP_SETUID};
use super::{Blocked, Rung};

/// May mount.
const CAP_SYS_ADMIN: u32 = 21;
/// May change its root directory.
const CAP_SYS_CHROOT: u32 = 18;
/// How many ids an image may expect: 0 to 65535.
const FULL: u32 = 65_536;
/// Where useradd begins to hand out subordinate ids.
const FIRST_SUBORDINATE: u32 = 100_000;

/// What decides which rungs are worth a try.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    uid: u32,
    name: Option<String>,
    sub_uids: String,
    sub_gids: String,
    uid_map: String,
    has_helpers: bool,
    no_new_privs: bool,
    sys_admin: bool,
    sys_chroot: bool,
    set_ids: bool,
    unprivileged_userns_clone: Option<String>,
    apparmor_restricts: Option<String>,
}

impl Machine {
    pub(super) fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let flag = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let uid = rustix::process::geteuid().as_raw();
        let status = read("/proc/self/status");
        let nnp = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"));
        Self {
            uid,
            name: ns::user_name(&read("/etc/passwd"), uid).map(str::to_owned),
            sub_uids: read(IdKind::User.subordinate_file()),
            sub_gids: read(IdKind::Group.subordinate_file()),
            uid_map: read("/proc/self/uid_map"),
            has_helpers: [IdKind::User, IdKind::Group].into_iter().all(|kind| ns::find_helper(kind).is_some()),
            no_new_privs: nnp.is_some_and(|value| value.trim() == "1"),
            sys_admin: ns::has_capability(CAP_SYS_ADMIN),
            sys_chroot: ns::has_capability(CAP_SYS_CHROOT),
            set_ids: ns::has_capability(CAP_SETUID) && ns::has_capability(CAP_SETGID),
            unprivileged_userns_clone: flag("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: flag("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        }
    }

    /// The rungs to try, best first; in place of one that needs no trying, what blocks it.
    pub(super) fn candidates(&self) -> Vec<Result<Rung, Blocked>> {
        let mut candidates = Vec::new();
        if self.uid == 0 {
            candidates.push(self.root());
        }
        candidates.push(self.subordinate_ids());
        candidates.push(Ok(Rung::SingleId));
        if self.uid == 0 && self.sys_chroot {
            candidates.push(Ok(Rung::Chroot));
        }
        candidates
    }

    fn root(&self) -> Result<Rung, Blocked> {
        if !self.sys_admin {
            return Err(blocked(
                &Rung::Root,
                "root has no CAP_SYS_ADMIN here, as in a container",
                "start the container around us with --privileged, or with --cap-add SYS_ADMIN",
            ));
        }
        if self.mapped_ids() < FULL {
            let why = format!("only {} user ids are mapped here", self.mapped_ids());
            return Err(blocked(&Rung::Root, &why, "map at least 65536 ids into the user namespace around us"));
        }
        Ok(Rung::Root)
    }

    fn subordinate_ids(&self) -> Result<Rung, Blocked> {
        if self.set_ids && self.mapped_ids() > 1 {
            // We may map whatever we have; newuidmap isn't needed.
            let range = IdRange { start: 1, count: self.mapped_ids().min(FULL) - 1 };
            return Ok(Rung::SubordinateIds { uid: range, gid: range });
        }
        let any = Rung::SubordinateIds { uid: IdRange { start: 0, count: 0 }, gid: IdRange { start: 0, count: 0 } };
        if self.no_new_privs {
            return Err(blocked(
                &any,
                "no_new_privs is set, so newuidmap gains no privilege",
                "start without it (Kubernetes: allowPrivilegeEscalation: true; docker: drop no-new-privileges)",
            ));
        }
        let name = self.name.as_deref();
        let ranges = (
            ns::subordinate_range(&self.sub_uids, name, self.uid),
            ns::subordinate_range(&self.sub_gids, name, self.uid),
        );
        let (Some(uid), Some(gid)) = ranges else {
            return Err(blocked(&any, &self.missing_line(ranges.0.is_none()), &self.usermod()));
        };
        if !self.has_helpers {
            let fix = "install newuidmap and newgidmap (Debian, Ubuntu: apt install uidmap; others: shadow-utils)";
            return Err(blocked(&any, "newuidmap and newgidmap are not installed", fix));
        }
        Ok(Rung::SubordinateIds { uid, gid })
    }

    fn user(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    fn missing_line(&self, uid: bool) -> String {
        let kind = if uid { IdKind::User } else { IdKind::Group };
        format!("{} has no line for {}", kind.subordinate_file(), self.user())
    }

    /// The command that gives the user a range that nobody has.
    fn usermod(&self) -> String {
        let start = first_free(&self.sub_uids).max(first_free(&self.sub_gids));
        let range = format!("{start}-{}", start + FULL - 1);
        format!("sudo usermod --add-subuids {range} --add-subgids {range} {}", self.user())
    }

    /// How many user ids there are from 0 without a gap.
    fn mapped_ids(&self) -> u32 {
        let mut rows: Vec<(u64, u64)> = self.uid_map.lines().filter_map(map_row).collect();
        rows.sort_unstable();
        let end =
            rows.into_iter().fold(0, |end, (start, count)| if start <= end { end.max(start + count) } else { end });
        u32::try_from(end).unwrap_or(u32::MAX)
    }

    /// What a failure means, and what would help.
    pub(super) fn explain(&self, rung: &Rung, failure: &Failure) -> Blocked {
        match failure {
            Failure::Said(said) => blocked(rung, said, self.fix_for_words(said)),
            Failure::NoMounts(said) => {
                let why = format!("mounts are refused in a new namespace ({said})");
                blocked(rung, &why, self.fix_for_lsm())
            }
            Failure::Call { errno, said, .. } => {
                let (why, fix) = self.meaning(Errno::from_raw_os_error(*errno));
                blocked(rung, &format!("{why} ({said})"), fix)
            }
        }
    }

    fn meaning(&self, errno: Errno) -> (&'static str, &'static str) {
        match errno {
            Errno::PERM if self.unprivileged_userns_clone.as_deref() == Some("0") => (
                "user namespaces are switched off for ordinary users",
                "sudo sysctl -w kernel.unprivileged_userns_clone=1",
            ),
            Errno::PERM if self.apparmor_restricts.as_deref() == Some("1") => self.lsm(),
            Errno::PERM => (
                "a seccomp filter or a chroot forbids user namespaces",
                "in a container: start it with --security-opt seccomp=unconfined; in a chroot: leave it",
            ),
            Errno::NOSPC => ("no user namespace is left to make", "sudo sysctl -w user.max_user_namespaces=15000"),
            Errno::USERS => ("user namespaces are nested too deeply", "start from a namespace further out"),
            Errno::ACCESS => self.lsm(),
            Errno::INVAL | Errno::NOSYS => {
                ("the kernel has no user namespaces", "use a kernel built with CONFIG_USER_NS")
            }
            _ => ("the kernel refuses", "see the error in parentheses"),
        }
    }

    fn lsm(&self) -> (&'static str, &'static str) {
        ("a security module (AppArmor, SELinux) forbids user namespaces", self.fix_for_lsm())
    }

    fn fix_for_lsm(&self) -> &'static str {
        if self.apparmor_restricts.as_deref() == Some("1") {
            "install an AppArmor profile with `userns,` for estiba, \
             or sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        } else {
            "allow user namespaces and mounts to this program in the security module's policy"
        }
    }

    fn fix_for_words(&self, said: &str) -> &'static str {
        if said.contains("newuidmap") || said.contains("newgidmap") {
            "check that newuidmap and newgidmap are set-user-id root, and that /etc/subuid and /etc/subgid agree"
        } else {
            "see the error"
        }
    }
}

fn blocked(rung: &Rung, why: &str, fix: &str) -> Blocked {
    Blocked { rung: rung.name().to_owned(), why: why.to_owned(), fix: fix.to_owned() }
}

/// Inside start and count of a line of `/proc/self/uid_map`.
fn map_row(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let inside = fields.next()?.parse().ok()?;
    let count = fields.nth(1)?.parse().ok()?;
    Some((inside, count))
}

/// The first id after all ranges in `text` (of `/etc/subuid`).
fn first_free(text: &str) -> u32 {
    let ends = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':').skip(1);
        let start: u32 = fields.next()?.parse().ok()?;
        start.checked_add(fields.next()?.parse().ok()?)
    });
    ends.max().unwrap_or_default().clamp(FIRST_SUBORDINATE, u32::MAX - FULL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::enter::Step;

    fn user() -> Machine {
        Machine {
            uid: 1001,
            name: Some("ann".to_owned()),
            sub_uids: "bob:100000:65536\n".to_owned(),
            sub_gids: "bob:100000:65536\nann:5:1\n".to_owned(),
            uid_map: "         0          0 4294967295\n".to_owned(),
            has_helpers: true,
            ..Machine::default()
        }
    }

    #[test]
    fn a_user_without_ids_is_told_the_command() {
        let first = user().candidates().remove(0).unwrap_err();
        assert_eq!(first.rung, "subordinate-ids");
        assert_eq!(first.why, "/etc/subuid has no line for ann");
        assert_eq!(first.fix, "sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ann");
    }

    #[test]
    fn a_user_with_ids_climbs_onto_them_unless_something_is_missing() {
        let mut machine = user();
        machine.sub_uids.push_str("ann:200000:65536\n");
        machine.sub_gids.push_str("ann:200000:65536\n");
        let range = IdRange { start: 200_000, count: 65_536 };
        assert_eq!(machine.candidates()[0], Ok(Rung::SubordinateIds { uid: range, gid: range }));
        machine.has_helpers = false;
        assert!(machine.candidates()[0].as_ref().unwrap_err().fix.contains("uidmap"));
        machine.no_new_privs = true;
        assert!(machine.candidates()[0].as_ref().unwrap_err().why.contains("no_new_privs"));
    }

    #[test]
    fn root_in_a_container_maps_what_it_has() {
        let mut machine = user();
        machine.uid = 0;
        machine.set_ids = true;
        machine.sys_chroot = true;
        machine.uid_map = "0 1000 1\n1 100000 65536\n".to_owned();
        let range = IdRange { start: 1, count: 65_535 };
        let candidates = machine.candidates();
        assert!(candidates[0].as_ref().unwrap_err().why.contains("CAP_SYS_ADMIN"));
        assert_eq!(candidates[1], Ok(Rung::SubordinateIds { uid: range, gid: range }));
        assert_eq!(candidates[3], Ok(Rung::Chroot));
        machine.sys_admin = true;
        assert_eq!(machine.candidates()[0], Ok(Rung::Root));
        machine.uid_map = "0 1000 1\n".to_owned();
        assert!(machine.candidates()[0].as_ref().unwrap_err().why.contains("only 1 user ids"));
    }

    #[test]
    fn error_numbers_have_their_meanings() {
        let explain = |machine: &Machine, errno: Errno| {
            let errno = errno.raw_os_error();
            let failure = Failure::Call { step: Step::Unshare, errno, said: "unshare: …".to_owned() };
            machine.explain(&Rung::SingleId, &failure).fix
        };
        let mut machine = user();
        assert!(explain(&machine, Errno::NOSPC).contains("max_user_namespaces"));
        assert!(explain(&machine, Errno::PERM).contains("seccomp=unconfined"));
        assert!(explain(&machine, Errno::ACCESS).contains("security module"));
        machine.apparmor_restricts = Some("1".to_owned());
        assert!(explain(&machine, Errno::ACCESS).contains("userns,"));
        machine.unprivileged_userns_clone = Some("0".to_owned());
        assert!(explain(&machine, Errno::PERM).contains("unprivileged_userns_clone=1"));
    }
}
