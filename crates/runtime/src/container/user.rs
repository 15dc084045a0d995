//! Who a container runs as: names resolved in the image's own files, as docker does.

use rustix::io::Errno;
use sys::Root;

use super::error::StartError;

/// The most that is read of an image's passwd or group file.
const FILE_LIMIT: u64 = 4 << 20;

/// A user, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups, the primary one among them.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

impl User {
    /// Resolves `spec` (`user[:group]`, each a name or a number) and `extra` groups in the passwd and group files of `root`.
    ///
    /// A file that is none, or that may not be read, is as if it were not there: numbers need neither, and a name that is looked for
    /// there is not found.
    pub(crate) fn resolve(root: &Root, spec: &str, extra: &[String]) -> Result<Self, StartError> {
        let passwd = read(root, "etc/passwd")?;
        let group = read(root, "etc/group")?;
        resolve(&passwd, &group, spec, extra)
    }
}

fn read(root: &Root, path: &str) -> Result<String, StartError> {
    use std::io::Read;
    let mut text = Vec::new();
    match root.open_regular(path) {
        Ok(file) => {
            let read = file.take(FILE_LIMIT).read_to_end(&mut text);
            read.map_err(|error| sys::Error::from_io("read", path, &error))?;
        }
        Err(error)
            if matches!(
                error.errno(),
                Errno::NOENT | Errno::NOTDIR | Errno::INVAL | Errno::LOOP | Errno::ACCESS | Errno::NXIO
            ) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn resolve(passwd: &str, group: &str, spec: &str, extra: &[String]) -> Result<User, StartError> {
    let (user, explicit_group) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (spec, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = id(user)?;
    let entry = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (&name, uid, gid) = (fields.first()?, fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        let found = if number.is_some() { number == Some(uid) } else { name == user };
        found.then(|| (name.to_owned(), uid, gid, fields.get(5).copied().unwrap_or_default().to_owned()))
    });
    let (name, uid, mut gid, home) = match (entry, number) {
        (Some(entry), _) => entry,
        (None, Some(uid)) => (String::new(), uid, 0, String::new()),
        (None, None) => return Err(no_such("user", user, "/etc/passwd")),
    };
    let mut groups = Vec::new();
    match explicit_group {
        Some(wanted) => gid = group_id(group, wanted)?,
        None => groups = memberships(group, &name),
    }
    for wanted in extra {
        groups.push(group_id(group, wanted)?);
    }
    groups.insert(0, gid);
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|gid| seen.insert(*gid));
    let home = if home.is_empty() { "/".to_owned() } else { home };
    Ok(User { uid, gid, groups, home })
}

/// A number as an id; `None` for a name. A number that no id can have is an error.
fn id(text: &str) -> Result<Option<u32>, StartError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if i32::try_from(id).is_ok() => Ok(Some(id)),
        _ => Err(StartError::Invalid(format!("id {text} is not between 0 and {}", i32::MAX))),
    }
}

fn group_id(group: &str, wanted: &str) -> Result<u32, StartError> {
    if let Some(gid) = id(wanted)? {
        return Ok(gid);
    }
    let found = group.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == wanted).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    found.ok_or_else(|| no_such("group", wanted, "/etc/group"))
}

fn memberships(group: &str, name: &str) -> Vec<u32> {
    let member = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let gid = fields.next()?.parse().ok()?;
        fields.next()?.split(',').any(|member| !member.is_empty() && member == name).then_some(gid)
    };
    group.lines().filter_map(member).collect()
}

fn no_such(what: &str, name: &str, file: &str) -> StartError {
    StartError::NoSuchUser { what: what.to_owned(), name: name.to_owned(), file: file.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# note\napp:x:1000:1001::/srv/app:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:app,root\nwheel:x:10:app\nempty:x:60:\n";

    fn user(spec: &str) -> Result<(u32, u32, Vec<u32>, String), StartError> {
        resolve(PASSWD, GROUP, spec, &[]).map(|user| (user.uid, user.gid, user.groups, user.home))
    }

    #[test]
    fn as_docker_resolves() {
        assert_eq!(user("").unwrap(), (0, 0, vec![0, 50], "/root".into()));
        assert_eq!(user("app").unwrap(), (1000, 1001, vec![1001, 50, 10], "/srv/app".into()));
        assert_eq!(user("1000").unwrap(), (1000, 1001, vec![1001, 50, 10], "/srv/app".into()));
        assert_eq!(user("app:staff").unwrap(), (1000, 50, vec![50], "/srv/app".into()));
        assert_eq!(user("77").unwrap(), (77, 0, vec![0], "/".into()));
        assert_eq!(user("77:88").unwrap(), (77, 88, vec![88], "/".into()));
        assert_eq!(user(":10").unwrap().1, 10);
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(
            user("nobody").unwrap_err().to_string(),
            "unable to find user \"nobody\": no such entry in the image's /etc/passwd"
        );
        assert!(user("app:nope").unwrap_err().to_string().contains("group \"nope\""));
        assert!(user("4294967296").is_err());
        assert!(user("2147483648").is_err());
    }
}
