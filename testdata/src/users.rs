//! Ordinary users: one with subordinate ids, one without.
//!
//! Root makes both when they are missing; nobody else can, and is told so by a skip.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

/// A user that a test may run commands as.
#[derive(Debug, Clone)]
pub struct User {
    /// The name in `/etc/passwd`.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
}

/// Whether this process is the machine's root.
#[must_use]
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

impl User {
    /// `estiba-sub`, who has 65,536 subordinate user and group ids.
    #[must_use]
    pub fn subordinate() -> Option<User> {
        if !Path::new("/usr/bin/newuidmap").exists() {
            crate::skip("no newuidmap (package uidmap): nobody can use subordinate ids");
            return None;
        }
        User::find_or_make("estiba-sub", true)
    }

    /// `estiba-plain`, who has a single id and nothing else.
    #[must_use]
    pub fn plain() -> Option<User> {
        User::find_or_make("estiba-plain", false)
    }

    fn find_or_make(name: &str, subordinate: bool) -> Option<User> {
        if !is_root() {
            crate::skip(&format!("only root can run a command as {name}"));
            return None;
        }
        // useradd locks the files it edits and fails when another thread holds them.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _held = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(user) = lookup(name) {
            return Some(user);
        }
        make(name, subordinate);
        let user = lookup(name);
        if user.is_none() {
            crate::skip(&format!("the user {name} could not be made"));
        }
        user
    }

    /// A command that runs as this user with a clean environment and no capability, in `/`.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={}", self.uid))
            .arg(format!("--regid={}", self.gid))
            .args(["--clear-groups", "--inh-caps=-all", "--reset-env", "--"])
            .arg(program)
            .current_dir("/");
        command
    }

    /// A folder that this user owns and can reach, gone when dropped.
    ///
    /// # Errors
    /// The folder cannot be made or given away.
    pub fn temp_dir(&self) -> io::Result<TempDir> {
        let dir = tempfile::Builder::new().prefix("estiba-test-").tempdir_in(reachable())?;
        self.own(dir.path())?;
        Ok(dir)
    }

    /// Gives one path to this user.
    ///
    /// # Errors
    /// The caller may not.
    pub fn own(&self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
    }

    /// Copies a file, such as the binary under test, to where this user can run it.
    ///
    /// # Errors
    /// The copy fails.
    pub fn install(&self, file: &Path, into: &Path) -> io::Result<PathBuf> {
        let name = file.file_name().unwrap_or_else(|| OsStr::new("file"));
        let to = into.join(name);
        // Not by ourselves: a process that another thread forks meanwhile would have the copy open for
        // writing, and until it executes something, nobody could execute the copy.
        let copied = Command::new("cp").arg(file).arg(&to).status()?;
        if !copied.success() {
            return Err(io::Error::other(format!("cp {}", file.display())));
        }
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
        Ok(to)
    }
}

/// `$TMPDIR` may lie below a folder that others cannot enter.
fn reachable() -> PathBuf {
    let wanted = std::env::temp_dir();
    let open = wanted.ancestors().all(|dir| fs::metadata(dir).is_ok_and(|own| own.mode() & 0o001 != 0));
    if open { wanted } else { PathBuf::from("/var/tmp") }
}

fn lookup(name: &str) -> Option<User> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let fields: Vec<&str> = line.split(':').collect();
    Some(User { name: name.to_owned(), uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
}

/// Tries again while another process edits the same files; the caller looks at the outcome.
fn make(name: &str, subordinate: bool) {
    let script = testdata_script();
    let ids = if subordinate { "subordinate" } else { "plain" };
    let _ = Command::new("sh").arg(script).arg(name).arg(ids).output();
}

fn testdata_script() -> PathBuf {
    crate::testdata().join("user.sh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_run_as_an_ordinary_user() {
        let Some(user) = User::plain() else { return };
        let output = user.command("sh").args(["-c", "id -u; grep ^CapEff /proc/self/status"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("{}\nCapEff:\t0000000000000000\n", user.uid));
        let subordinate = fs::read_to_string("/etc/subuid").unwrap_or_default();
        assert!(!subordinate.contains("estiba-plain"));
    }

    #[test]
    fn a_temp_dir_belongs_to_its_user() {
        let Some(user) = User::subordinate() else {
            return;
        };
        let dir = user.temp_dir().unwrap();
        let made = user.command("touch").arg(dir.path().join("x")).status().unwrap();
        assert!(made.success());
        let subordinate = fs::read_to_string("/etc/subuid").unwrap_or_default();
        assert!(subordinate.contains("estiba-sub:"));
    }
}
