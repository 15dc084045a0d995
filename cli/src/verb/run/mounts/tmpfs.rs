//! `--tmpfs`: `PATH[:size=64m,mode=1777,…]`.

use containers::config::MountSource;
use runtime::container::{Flags, Memory};

use super::{Asked, absolute_target, flag, mode_of, number_of, plain, propagation, size_of};
use crate::error::{Error, Result};

/// What docker's folders in memory refuse unless asked.
pub(in crate::verb::run) const REFUSED: Flags = Flags { noexec: true, nosuid: true, dev: false, noatime: false };

/// One `--tmpfs`.
pub(in crate::verb::run) fn tmpfs(written: &str) -> Result<Asked> {
    let what = format!("--tmpfs {written}");
    let (target, options) = written.split_once(':').unwrap_or((written, ""));
    absolute_target(target, &what)?;
    let mut memory = Memory { flags: REFUSED, ..Memory::default() };
    let mut readonly = false;
    for word in options.split(',').filter(|word| !word.is_empty()) {
        if flag(word, &mut memory.flags) || propagation(word).is_some() {
            continue;
        }
        match word.split_once('=').unwrap_or((word, "")) {
            ("size", size) => memory.size = Some(size_of(size, &what)?),
            ("mode", mode) => memory.mode = mode_of(mode, &what)?,
            ("uid", id) => memory.owner.0 = number_of(id, &what)?,
            ("gid", id) => memory.owner.1 = number_of(id, &what)?,
            ("nr_inodes", count) => memory.inodes = Some(size_of(count, &what)?),
            ("ro", "") => readonly = true,
            ("rw" | "notmpcopyup", "") => {}
            ("tmpcopyup", "") => memory.fill = true,
            _ => return Err(Error::usage(format!("{what}: unknown option `{word}`"))),
        }
    }
    let mut mount = plain(target, MountSource::Memory(memory));
    mount.readonly = readonly;
    Ok(mount.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_memory() {
        let made = tmpfs("/t:size=2m,mode=700,uid=5,exec,ro,tmpcopyup").unwrap().mount;
        let MountSource::Memory(memory) = made.source else { panic!() };
        assert_eq!((memory.size, memory.mode, memory.owner, memory.fill), (Some(2 << 20), 0o700, (5, 0), true));
        assert!(!memory.flags.noexec && memory.flags.nosuid && made.readonly);
        let MountSource::Memory(plain) = tmpfs("/t").unwrap().mount.source else { panic!() };
        assert_eq!((plain.mode, plain.size, plain.flags), (0o1777, None, REFUSED));
        for bad in ["t", "/t:size=x", "/t:mode=9", "/t:what", "/t:uid=-1", "/"] {
            assert!(tmpfs(bad).is_err(), "{bad}");
        }
    }
}
