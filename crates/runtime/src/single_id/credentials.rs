//! A process' identity, and how calls change it: the rules of credentials(7), without a kernel.

use rustix::io::Errno;

/// The id that means "leave it as it is".
pub(super) const KEEP: u32 = u32::MAX;
/// The kernel's limit of supplementary groups.
pub(super) const MAX_GROUPS: usize = 65_536;

/// The three ids of one kind, and the one that file access goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) real: u32,
    pub(super) effective: u32,
    pub(super) saved: u32,
    pub(super) fs: u32,
}

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: Ids,
    pub(super) group: Ids,
    pub(super) groups: Vec<u32>,
    /// PR_SET_KEEPCAPS: whether the next step from root to another user takes no capabilities away.
    pub(super) keeps_capabilities: bool,
    /// Whether such a step was made.
    pub(super) kept_capabilities: bool,
}

/// Which of the two kinds of ids a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
}

impl Ids {
    fn all(id: u32) -> Self {
        Self { real: id, effective: id, saved: id, fs: id }
    }

    fn set_effective(&mut self, id: u32) {
        self.effective = id;
        self.fs = id;
    }

    fn has(&self, id: u32) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }
}

impl Credentials {
    /// Root's, in these groups, which the kernel would keep sorted.
    pub(super) fn root(mut groups: Vec<u32>) -> Self {
        groups.sort_unstable();
        let (user, group) = (Ids::all(0), Ids::all(0));
        Self { user, group, groups, keeps_capabilities: false, kept_capabilities: false }
    }

    /// Whether it has CAP_SETUID, CAP_SETGID and CAP_CHOWN: with effective id 0 a process has what it had, without it
    /// nothing, unless it asked to keep them (capabilities(7), "effect of user ID changes").
    pub(super) fn is_privileged(&self) -> bool {
        self.user.effective == 0 || self.kept_capabilities
    }

    /// Whether executing a file makes no difference to it, set-user-id files of others than root aside.
    pub(super) fn executes_as_root(&self) -> bool {
        self.user == Ids::all(0) && !self.keeps_capabilities
    }

    /// What a change of user ids does to capabilities.
    fn user_changed(&mut self, before: Ids) {
        if before.has(0) && !self.user.has(0) {
            self.kept_capabilities = self.keeps_capabilities;
        }
    }

    pub(super) fn ids(&self, kind: Kind) -> &Ids {
        match kind {
            Kind::User => &self.user,
            Kind::Group => &self.group,
        }
    }

    fn ids_mut(&mut self, kind: Kind) -> &mut Ids {
        match kind {
            Kind::User => &mut self.user,
            Kind::Group => &mut self.group,
        }
    }

    /// setuid, setgid.
    pub(super) fn set(&mut self, kind: Kind, id: u32) -> Result<(), Errno> {
        if id == KEEP {
            return Err(Errno::INVAL);
        }
        let (privileged, user) = (self.is_privileged(), self.user);
        let ids = self.ids_mut(kind);
        if privileged {
            *ids = Ids::all(id);
        } else if id == ids.real || id == ids.saved {
            ids.set_effective(id);
        } else {
            return Err(Errno::PERM);
        }
        self.user_changed(user);
        Ok(())
    }

    /// setreuid, setregid.
    pub(super) fn set_real_effective(&mut self, kind: Kind, real: u32, effective: u32) -> Result<(), Errno> {
        let (privileged, user) = (self.is_privileged(), self.user);
        let ids = self.ids_mut(kind);
        let old = *ids;
        if real != KEEP && !privileged && real != old.real && real != old.effective {
            return Err(Errno::PERM);
        }
        if effective != KEEP && !privileged && !old.has(effective) {
            return Err(Errno::PERM);
        }
        if real != KEEP {
            ids.real = real;
        }
        if effective != KEEP {
            ids.effective = effective;
        }
        if real != KEEP || (effective != KEEP && effective != old.real) {
            ids.saved = ids.effective;
        }
        ids.fs = ids.effective;
        self.user_changed(user);
        Ok(())
    }

    /// setresuid, setresgid: real, effective, saved.
    pub(super) fn set_three(&mut self, kind: Kind, three: [u32; 3]) -> Result<(), Errno> {
        let (privileged, user) = (self.is_privileged(), self.user);
        let ids = self.ids_mut(kind);
        let allowed = |id: u32| id == KEEP || privileged || ids.has(id);
        if !three.iter().all(|id| allowed(*id)) {
            return Err(Errno::PERM);
        }
        let [real, effective, saved] = three;
        if real != KEEP {
            ids.real = real;
        }
        if effective != KEEP {
            ids.effective = effective;
        }
        if saved != KEEP {
            ids.saved = saved;
        }
        ids.fs = ids.effective;
        self.user_changed(user);
        Ok(())
    }

    /// setfsuid, setfsgid: gives the id it was, whether it changed or not.
    pub(super) fn set_fs(&mut self, kind: Kind, id: u32) -> u32 {
        let privileged = self.is_privileged();
        let ids = self.ids_mut(kind);
        let before = ids.fs;
        if id != KEEP && (privileged || ids.has(id) || id == before) {
            ids.fs = id;
        }
        before
    }

    /// setgroups.
    pub(super) fn set_groups(&mut self, mut groups: Vec<u32>) -> Result<(), Errno> {
        if !self.is_privileged() {
            return Err(Errno::PERM);
        }
        if groups.contains(&KEEP) {
            return Err(Errno::INVAL);
        }
        // The kernel keeps them sorted, and getgroups shows it.
        groups.sort_unstable();
        self.groups = groups;
        Ok(())
    }

    /// What executing a file does; `set_user` and `set_group` are its owners where it has the set-id bits.
    pub(super) fn execute(&mut self, set_user: Option<u32>, set_group: Option<u32>) {
        for (ids, set) in [(&mut self.user, set_user), (&mut self.group, set_group)] {
            if let Some(id) = set {
                ids.effective = id;
            }
            ids.saved = ids.effective;
            ids.fs = ids.effective;
        }
        self.keeps_capabilities = false;
        self.kept_capabilities = false;
    }

    /// Whether it may give a file that `owner` has (user, group) to (user, group); [`KEEP`] leaves one.
    pub(super) fn may_chown(&self, owner: (u32, u32), to: (u32, u32)) -> bool {
        if self.is_privileged() {
            return true;
        }
        let own = self.user.fs == owner.0;
        let user = to.0 == KEEP || (own && to.0 == owner.0);
        let member = to.1 == self.group.fs || self.groups.contains(&to.1);
        let group = to.1 == KEEP || (own && (member || to.1 == owner.1));
        user && group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three(credentials: &Credentials) -> [u32; 3] {
        [credentials.user.real, credentials.user.effective, credentials.user.saved]
    }

    /// What apt does before it fetches, and what it then checks.
    #[test]
    fn apt_drops_its_privileges() {
        let mut apt = Credentials::root(vec![0]);
        apt.set_groups(vec![65_534]).unwrap();
        apt.set_three(Kind::Group, [65_534; 3]).unwrap();
        apt.set_three(Kind::User, [42; 3]).unwrap();
        assert_eq!(three(&apt), [42, 42, 42]);
        assert_eq!(apt.groups, [65_534]);
        for kind in [Kind::User, Kind::Group] {
            assert_eq!(apt.set(kind, 0), Err(Errno::PERM));
            assert_eq!(apt.set_three(kind, [KEEP, 0, KEEP]), Err(Errno::PERM));
            assert_eq!(apt.set_real_effective(kind, KEEP, 0), Err(Errno::PERM));
            assert_eq!(apt.set_real_effective(kind, 0, KEEP), Err(Errno::PERM));
        }
        assert_eq!(apt.set_groups(vec![0]), Err(Errno::PERM));
        assert_eq!(apt.set(Kind::User, 42), Ok(()));
    }

    #[test]
    fn a_saved_id_is_a_way_back() {
        let mut daemon = Credentials::root(vec![0]);
        daemon.set_three(Kind::User, [KEEP, 33, KEEP]).unwrap();
        assert!(!daemon.is_privileged());
        assert_eq!(daemon.user.fs, 33);
        daemon.set(Kind::User, 0).unwrap();
        // Not privileged at that moment, so only the effective id went back.
        assert_eq!(three(&daemon), [0, 0, 0]);
        daemon.set_real_effective(Kind::User, 33, 34).unwrap();
        assert_eq!(three(&daemon), [33, 34, 34]);
        assert_eq!(daemon.set(Kind::User, 0), Err(Errno::PERM));
        daemon.set_real_effective(Kind::User, 34, 33).unwrap();
        assert_eq!(three(&daemon), [34, 33, 33]);
    }

    #[test]
    fn setreuid_keeps_the_saved_id_only_when_it_goes_back_to_the_real_one() {
        let mut one = Credentials::root(vec![0]);
        one.set_three(Kind::User, [5, 6, 7]).unwrap();
        one.set_real_effective(Kind::User, KEEP, 5).unwrap();
        assert_eq!(three(&one), [5, 5, 7]);
        one.set_real_effective(Kind::User, KEEP, 7).unwrap();
        assert_eq!(three(&one), [5, 7, 7]);
    }

    #[test]
    fn executing_a_set_user_id_file_gives_its_owner() {
        let mut user = Credentials::root(vec![0]);
        user.set_three(Kind::User, [1000; 3]).unwrap();
        user.execute(None, None);
        assert_eq!(three(&user), [1000, 1000, 1000]);
        user.execute(Some(0), None);
        assert_eq!(three(&user), [1000, 0, 0]);
        assert_eq!(user.set(Kind::User, 0), Ok(()));
        assert_eq!(three(&user), [0, 0, 0]);
    }

    /// What setpriv does: the user first, the group with the capabilities it kept.
    #[test]
    fn capabilities_kept_outlive_the_user_until_something_is_executed() {
        let mut one = Credentials::root(vec![0]);
        one.keeps_capabilities = true;
        one.set_three(Kind::User, [33; 3]).unwrap();
        one.set_three(Kind::Group, [33; 3]).unwrap();
        one.set_groups(vec![]).unwrap();
        one.execute(None, None);
        assert_eq!(one.set(Kind::User, 0), Err(Errno::PERM));
        assert_eq!(one.set_groups(vec![0]), Err(Errno::PERM));
    }

    #[test]
    fn bad_ids_and_file_system_ids() {
        let mut one = Credentials::root(vec![0]);
        assert_eq!(one.set(Kind::User, KEEP), Err(Errno::INVAL));
        assert_eq!(one.set_groups(vec![1, KEEP]), Err(Errno::INVAL));
        assert_eq!(one.set_fs(Kind::User, 9), 0);
        assert_eq!(one.set_fs(Kind::User, KEEP), 9);
        one.set(Kind::User, 9).unwrap();
        assert_eq!(one.set_fs(Kind::User, 1), 9);
        assert_eq!(one.user.fs, 9);
    }

    #[test]
    fn only_root_gives_files_away() {
        let mut one = Credentials::root(vec![0]);
        assert!(one.may_chown((0, 0), (33, 33)));
        one.set_groups(vec![4, 5]).unwrap();
        one.set(Kind::Group, 33).unwrap();
        one.set(Kind::User, 33).unwrap();
        assert!(!one.may_chown((0, 0), (33, 33)));
        assert!(!one.may_chown((33, 33), (34, KEEP)));
        assert!(one.may_chown((33, 33), (33, 5)));
        assert!(!one.may_chown((33, 33), (KEEP, 6)));
        assert!(one.may_chown((0, 0), (KEEP, KEEP)));
    }
}
