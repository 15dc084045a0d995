//! The static busybox that every small root file system here is made of.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where this repository keeps its corpora and scripts.
#[must_use]
pub fn testdata() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Finds or fetches a static busybox; where there is none, the running test is reported as skipped.
///
/// `testdata/base/busybox.sh` does the work: `$ESTIBA_BUSYBOX`, an installed `busybox-static`, or
/// the package from the system's own apt sources, kept in the cache folder.
#[must_use]
pub fn busybox() -> Option<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(path) => Some(path.clone()),
        Err(why) => {
            crate::skip(&format!("no static busybox: {why}"));
            None
        }
    }
}

/// A static busybox for another processor, by Debian's name of it; where there is none, the running test is reported as
/// skipped.
#[must_use]
pub fn foreign_busybox(architecture: &str) -> Option<PathBuf> {
    let found = by_script("foreign.sh", &["busybox", architecture]);
    found.map_err(|why| crate::skip(&format!("no busybox for {architecture}: {why}"))).ok()
}

/// A static emulator, by qemu's name of the processor: an installed one, or Debian's, in a folder that is on no PATH. Where
/// there is none, the running test is reported as skipped.
#[must_use]
pub fn qemu(architecture: &str) -> Option<PathBuf> {
    let found = by_script("foreign.sh", &["qemu", architecture]);
    found.map_err(|why| crate::skip(&format!("no static qemu for {architecture}: {why}"))).ok()
}

fn find() -> Result<PathBuf, String> {
    by_script("busybox.sh", &["--binary"])
}

/// The path that a script of `base/` prints.
fn by_script(script: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    let script = testdata().join("base").join(script);
    let output = Command::new("sh").arg(&script).args(arguments).output().map_err(|error| format!("sh: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().last().unwrap_or("the script failed").to_owned());
    }
    let path = String::from_utf8_lossy(&output.stdout);
    Ok(PathBuf::from(path.trim_end_matches('\n')))
}

/// The folders of [`write_rootfs`], with their modes.
pub(crate) const FOLDERS: [(&str, u32); 9] = [
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
];

/// The files of `/etc`.
pub(crate) const FILES: [(&str, &str); 2] = [
    ("etc/group", "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\napp:x:1000:\n"),
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\n\
         www-data:x:33:33:www-data:/var/www:/bin/false\napp:x:1000:1000:app:/:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
];

/// The applets that `/bin` gets as links to busybox.
pub(crate) const APPLETS: &str = "[ ash awk base64 basename cat chgrp chmod chown chroot cmp cp cut \
    date dd df diff dirname du echo egrep env expr false find getopt grep gunzip gzip head hexdump \
    hostname id install kill link ln logname ls md5sum mkdir mkfifo mknod mktemp more mount mv nc \
    nproc od paste pgrep pidof printenv printf ps pwd readlink realpath reset rev rm rmdir sed seq \
    setsid sh sha256sum sha512sum sleep sort split stat stty su sync tail tar tee test time timeout \
    touch tr true truncate tty umount uname uniq unlink unzip vi watch wc wget which whoami xargs \
    xxd yes zcat";

/// Lays a busybox root file system into `dir` as it stands on a disk: `/bin/busybox`, its applets
/// as links, `/etc/passwd` and `/etc/group` with `root`, `www-data`, `app` (1000) and `nobody`.
///
/// Owners are whoever calls.
///
/// # Errors
/// The first file that cannot be made.
pub fn write_rootfs(busybox: &Path, dir: &Path) -> io::Result<()> {
    for (name, mode) in FOLDERS {
        fs::create_dir_all(dir.join(name))?;
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode))?;
    }
    fs::copy(busybox, dir.join("bin/busybox"))?;
    fs::set_permissions(dir.join("bin/busybox"), fs::Permissions::from_mode(0o755))?;
    for applet in APPLETS.split_whitespace() {
        symlink("busybox", dir.join("bin").join(applet))?;
    }
    for (name, text) in FILES {
        fs::write(dir.join(name), text)?;
    }
    Ok(())
}
