//! Which users there are inside: `--userns`, `--uidmap`, `--gidmap`.

use containers::config::Users;
use sys::ns::IdMap;

use crate::error::{Error, Result};

/// How many ids `auto` takes where nobody says: what podman takes at least; images name few above.
const AUTO_SIZE: u32 = 1024;
/// The most ids an image may name: beyond, there is nobody.
const MAX_SIZE: u32 = 65_536;

/// Which users there are.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// Which users there are: keep-id[:uid=N,gid=N], nomap, auto[:size=N], host or container:NAME
    #[arg(long, value_name = "MODE")]
    userns: Option<String>,
    /// Map users: INSIDE:OUTSIDE:COUNT, where 0 outside is you and 1… are your subordinate ids
    #[arg(long, value_name = "MAP", value_delimiter = ',')]
    uidmap: Vec<String>,
    /// The same for groups; without, as users
    #[arg(long, value_name = "MAP", value_delimiter = ',')]
    gidmap: Vec<String>,
    /// Map the users that /etc/subuid gives this name (as root)
    #[arg(long, value_name = "NAME")]
    subuidname: Option<String>,
    /// Map the groups that /etc/subgid gives this name (as root)
    #[arg(long, value_name = "NAME")]
    subgidname: Option<String>,
}

impl Options {
    pub(super) fn settle(&self) -> Result<Users> {
        let mapped = !self.uidmap.is_empty() || !self.gidmap.is_empty();
        let named = self.subuidname.is_some() || self.subgidname.is_some();
        if self.userns.is_some() && (mapped || named) {
            return Err(Error::usage("--userns and --uidmap, --gidmap or --subuidname: one or the other"));
        }
        if mapped && named {
            return Err(Error::usage("--subuidname and --uidmap: one or the other"));
        }
        if mapped {
            return self.maps();
        }
        if named {
            return self.subordinate();
        }
        let Some(written) = &self.userns else { return Ok(Users::Rung) };
        let (mode, rest) = written.split_once(':').unwrap_or((written, ""));
        let wrong = || {
            Error::usage(format!(
                "--userns {written}: expected keep-id[:uid=N,gid=N], nomap, auto[:size=N], host or container:NAME"
            ))
        };
        match (mode, rest) {
            ("" | "host" | "private", "") => Ok(Users::Rung),
            ("nomap", "") => Ok(Users::NoMap),
            ("container", name) if !name.is_empty() => Ok(Users::Container(name.to_owned())),
            ("keep-id", rest) => {
                let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
                let [uid, gid] = numbers(rest, ["uid", "gid"], [uid, gid]).ok_or_else(wrong)?;
                Ok(Users::KeepId { uid, gid })
            }
            ("auto", rest) => match numbers(rest, ["size"], [AUTO_SIZE]).ok_or_else(wrong)? {
                [size @ 1..=MAX_SIZE] => Ok(Users::Auto { start: 0, size }),
                _ => Err(Error::usage(format!("--userns {written}: a size is between 1 and {MAX_SIZE}"))),
            },
            _ => Err(wrong()),
        }
    }

    /// Who runs the program where the image names nobody: with keep-id it is the caller.
    pub(super) fn user(&self) -> Result<Option<String>> {
        Ok(match self.settle()? {
            Users::KeepId { uid, gid } => Some(format!("{uid}:{gid}")),
            _ => None,
        })
    }

    fn maps(&self) -> Result<Users> {
        let parse =
            |option: &str, written: &[String]| written.iter().map(|row| map(option, row)).collect::<Result<Vec<_>>>();
        let (uids, gids) = (parse("--uidmap", &self.uidmap)?, parse("--gidmap", &self.gidmap)?);
        Ok(match (uids.is_empty(), gids.is_empty()) {
            (true, _) => Users::Maps { uids: gids.clone(), gids },
            (_, true) => Users::Maps { gids: uids.clone(), uids },
            _ => Users::Maps { uids, gids },
        })
    }

    /// From 0 on, the range of a name.
    fn subordinate(&self) -> Result<Users> {
        if !rustix::process::geteuid().is_root() {
            return Err(
                Error::usage("--subuidname: only root may map the ids of others").hint("yours are mapped without it")
            );
        }
        let users = self.subuidname.as_ref().or(self.subgidname.as_ref());
        let groups = self.subgidname.as_ref().or(self.subuidname.as_ref());
        let range = |file: &str, name: Option<&String>| {
            let name = name.map(String::as_str).unwrap_or_default();
            let text = std::fs::read_to_string(file).unwrap_or_default();
            sys::ns::subordinate_range(&text, Some(name), u32::MAX)
                .map(|range| vec![IdMap { inside: 0, outside: range.start, count: range.count }])
                .ok_or_else(|| Error::usage(format!("--subuidname {name}: {file} has no line for it")))
        };
        Ok(Users::Maps { uids: range("/etc/subuid", users)?, gids: range("/etc/subgid", groups)? })
    }
}

/// `name=N,name=N`: each once at most, none other.
fn numbers<const N: usize>(text: &str, names: [&str; N], mut values: [u32; N]) -> Option<[u32; N]> {
    for field in text.split(',').filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=')?;
        let at = names.iter().position(|known| *known == name)?;
        values[at] = value.parse().ok().filter(|id| i32::try_from(*id).is_ok())?;
    }
    Some(values)
}

/// `INSIDE:OUTSIDE:COUNT`; without a count it is one.
fn map(option: &str, written: &str) -> Result<IdMap> {
    let wrong = || Error::usage(format!("{option} {written}: expected INSIDE:OUTSIDE:COUNT"));
    let fields: Option<Vec<u32>> = written.split(':').map(|field| field.parse().ok()).collect();
    match fields.ok_or_else(wrong)?.as_slice() {
        [inside, outside] => Ok(IdMap { inside: *inside, outside: *outside, count: 1 }),
        [inside, outside, count] if *count > 0 => Ok(IdMap { inside: *inside, outside: *outside, count: *count }),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mode: &str) -> Result<Users> {
        Options { userns: Some(mode.to_owned()), ..Options::default() }.settle()
    }

    #[test]
    fn modes_as_podman_writes_them() {
        assert_eq!(of("host").unwrap(), Users::Rung);
        assert_eq!(of("keep-id:uid=5,gid=6").unwrap(), Users::KeepId { uid: 5, gid: 6 });
        assert_eq!(of("auto:size=5000").unwrap(), Users::Auto { start: 0, size: 5000 });
        assert_eq!(of("container:x").unwrap(), Users::Container("x".to_owned()));
        for wrong in ["keep-id:x=1", "auto:size=0", "auto:size=70000", "container:", "ns:/x", "keep-id:uid=-1", "what"]
        {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn maps_serve_both_kinds() {
        let maps = |uidmap: &[&str], gidmap: &[&str]| {
            let list = |list: &[&str]| list.iter().map(|row| (*row).to_owned()).collect();
            Options { uidmap: list(uidmap), gidmap: list(gidmap), ..Options::default() }.settle()
        };
        let row = IdMap { inside: 0, outside: 1, count: 10 };
        assert_eq!(maps(&["0:1:10"], &[]).unwrap(), Users::Maps { uids: vec![row], gids: vec![row] });
        assert!(maps(&["0:1:0"], &[]).is_err() && maps(&["a:1:2"], &[]).is_err() && maps(&["0"], &[]).is_err());
    }
}
