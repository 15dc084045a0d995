//! Where the kernel shows control groups, and in which ones this process is.

use std::path::{Path, PathBuf};

use super::settings::Version;

/// One hierarchy as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    /// What the older version's hierarchy controls; empty for the newer one.
    pub(super) controllers: Vec<String>,
    /// Where it is mounted.
    pub(super) mount: PathBuf,
    /// Our own group, below the mount.
    pub(super) own: PathBuf,
}

/// All of them, from `/proc/self/mountinfo` and `/proc/self/cgroup`.
pub(super) fn hierarchies() -> Vec<Hierarchy> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
}

fn parse(mountinfo: &str, membership: &str) -> Vec<Hierarchy> {
    let mut all: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let front: Vec<&str> = front.split(' ').collect();
        let back: Vec<&str> = back.split(' ').collect();
        let (&[_, _, _, root, mount, ..], &[kind, _, options, ..]) = (front.as_slice(), back.as_slice()) else {
            continue;
        };
        let version = match kind {
            "cgroup2" => Version::Two,
            "cgroup" => Version::One,
            _ => continue,
        };
        let controllers: Vec<String> = match version {
            Version::Two => Vec::new(),
            Version::One => options.split(',').map(str::to_owned).collect(),
        };
        let Some(path) = own(membership, version, &controllers) else { continue };
        // Inside a container the mount shows a part of the hierarchy only.
        let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
        let mount = PathBuf::from(unescape(mount));
        let own = join(&mount, below);
        let hierarchy = Hierarchy { version, controllers, mount, own };
        // What was mounted last at a place is what is seen there.
        all.retain(|known| known.mount != hierarchy.mount);
        all.push(hierarchy);
    }
    all
}

/// The line of `/proc/self/cgroup` that is about a hierarchy.
fn own<'a>(membership: &'a str, version: Version, controllers: &[String]) -> Option<&'a str> {
    membership.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (names, path) = rest.split_once(':')?;
        let is_it = match version {
            Version::Two => names.is_empty(),
            Version::One => !names.is_empty() && names.split(',').all(|name| controllers.iter().any(|c| c == name)),
        };
        is_it.then_some(path)
    })
}

/// A path of a group below a mount; what leads up stays out.
pub(super) fn join(mount: &Path, below: &str) -> PathBuf {
    let parts = below.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    parts.fold(mount.to_path_buf(), |path, part| path.join(part))
}

/// Blanks and their like are octal there.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_side_by_side_and_a_part_of_one() {
        let mountinfo = "31 24 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
            32 31 0:28 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
            33 31 0:29 /a/b /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
            34 31 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let membership = "9:memory:/x\n8:cpu,cpuacct:/a/b/c\n0::/user.slice/me\n";
        let shown: Vec<String> = parse(mountinfo, membership)
            .iter()
            .map(|found| format!("{:?} {}", found.version, found.own.display()))
            .collect();
        assert_eq!(
            shown,
            ["One /sys/fs/cgroup/memory/x", "One /sys/fs/cgroup/cpu/c", "Two /sys/fs/cgroup/unified/user.slice/me"]
        );
        assert_eq!(join(Path::new("/m"), "/../a/./b"), Path::new("/m/a/b"));
    }
}
