//! Who each process in the container is.
//!
//! Nobody tells the monitor of a fork, and parents end before their children are met. So what a process is travels with
//! it: the monitor marks a process whose credentials change with their number ([`sys::mark`]), and the kernel hands the
//! mark to whatever it forks or executes.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;

use super::credentials::Credentials;
use super::owner::{Owner, XATTR};

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
/// CAP_SETGID and CAP_SETUID.
const SET_IDS: u64 = 1 << 6 | 1 << 7;
/// How many different identities to number; a container that wants more can't change them any further.
const MOST: usize = 1 << 20;

/// All identities that there have been.
#[derive(Debug)]
pub(super) struct Processes {
    /// By number. The first is root's, which an unmarked process has.
    identities: Vec<Identity>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    credentials: Credentials,
    /// The file that a process with them executed when it got them: with another one it has executed since.
    program: Option<(u64, u64)>,
}

impl Processes {
    /// All of them root, in these groups.
    pub(super) fn new(groups: Vec<u32>) -> Self {
        Self { identities: vec![Identity { credentials: Credentials::root(groups), program: None }] }
    }

    /// Who the process of a thread is. ESRCH where it has ended.
    pub(super) fn credentials(&mut self, thread: u32) -> Result<&Credentials, Errno> {
        let number = self.number(thread)?;
        Ok(&self.identities[number].credentials)
    }

    /// Changes who the process of a thread is.
    pub(super) fn change<T>(
        &mut self,
        thread: u32,
        change: impl FnOnce(&mut Credentials) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let number = self.number(thread)?;
        let mut credentials = self.identities[number].credentials.clone();
        // What was kept may have been dropped since, and the kernel knows.
        credentials.kept_capabilities &= may_set_ids(thread);
        let result = change(&mut credentials)?;
        if credentials != self.identities[number].credentials {
            self.mark(thread, credentials)?;
        }
        Ok(result)
    }

    fn number(&mut self, thread: u32) -> Result<usize, Errno> {
        if self.identities.len() == 1 {
            // Nobody ever changed: most containers' whole life.
            return Ok(0);
        }
        let mark = sys::mark::read(thread).map_err(|error| error.errno())?.unwrap_or_default();
        let number = usize::try_from(mark).ok().filter(|number| *number < self.identities.len()).unwrap_or_default();
        let Identity { credentials, program } = &self.identities[number];
        if credentials.executes_as_root() {
            return Ok(number);
        }
        let now = program_of(thread);
        if now.is_none() || now == *program {
            return Ok(number);
        }
        let (user, group) = set_ids_of(thread);
        let mut credentials = credentials.clone();
        credentials.execute(user, group);
        self.mark(thread, credentials)
    }

    /// Numbers an identity, and has the process of a thread carry the number.
    fn mark(&mut self, thread: u32, credentials: Credentials) -> Result<usize, Errno> {
        let identity = Identity { program: program_of(thread), credentials };
        let number = match self.identities.iter().position(|known| *known == identity) {
            Some(number) => number,
            None if self.identities.len() >= MOST => return Err(Errno::AGAIN),
            None => {
                self.identities.push(identity);
                self.identities.len() - 1
            }
        };
        let mark = u32::try_from(number).map_err(|_| Errno::AGAIN)?;
        sys::mark::write(thread, mark).map_err(|error| error.errno())?;
        Ok(number)
    }
}

/// Whether a thread has CAP_SETUID and CAP_SETGID in earnest.
fn may_set_ids(thread: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or_default();
    set & SET_IDS == SET_IDS
}

fn program_of(thread: u32) -> Option<(u64, u64)> {
    let file = fs::metadata(format!("/proc/{thread}/exe")).ok()?;
    Some((file.dev(), file.ino()))
}

/// The owners that executing the file of a thread gives the effective ids of.
fn set_ids_of(thread: u32) -> (Option<u32>, Option<u32>) {
    let path = format!("/proc/{thread}/exe");
    let Ok(file) = fs::metadata(&path) else { return (None, None) };
    let mut value = [0; 32];
    let recorded =
        rustix::fs::getxattr(&path, XATTR, &mut value).ok().and_then(|length| Owner::decode(&value[..length]));
    let owner = recorded.unwrap_or(Owner::ROOT);
    let user = (file.mode() & SET_USER != 0).then_some(owner.uid);
    (user, (file.mode() & SET_GROUP != 0).then_some(owner.gid))
}

#[cfg(test)]
mod tests {
    use super::super::credentials::Kind;
    use super::*;

    #[test]
    fn a_process_is_what_it_was_made_and_so_are_its_children() {
        let child = sys::fork::child(|| {
            let own = std::process::id();
            let mut processes = Processes::new(vec![0]);
            processes.change(own, |who| who.set(Kind::User, 7)).unwrap();
            assert_eq!(processes.change(own, |who| who.set(Kind::User, 0)), Err(Errno::PERM));
            let grandchild = sys::fork::child(move || {
                let effective = processes.credentials(std::process::id()).unwrap().user.effective;
                u8::from(effective != 7)
            });
            grandchild.unwrap().wait().unwrap()
        });
        assert_eq!(child.unwrap().wait().unwrap(), 0);
    }
}
