//! `-v`: `[HOST-PATH|NAME:]INSIDE[:OPTIONS]`.

use std::path::{Path, PathBuf};

use containers::config::{Mount, MountSource};
use containers::id::check_name;
use runtime::container::Propagation;

use super::{Asked, absolute_target, bind, flag, plain, propagation};
use crate::error::{Error, Result, While};

/// One `-v`.
pub(in crate::verb::run) fn volume(written: &str) -> Result<Asked> {
    let what = format!("--volume {written}");
    let mut parts = written.split(':');
    let (first, target, options) = (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
    if parts.next().is_some() {
        return Err(Error::usage(format!("{what}: too many colons; expected HOST:INSIDE[:ro]")));
    }
    let Some(target) = target else {
        absolute_target(first, &what)?;
        return Asked::anonymous(first);
    };
    absolute_target(target, &what)?;
    let mut mount = plain(target, source(first, &what)?);
    for word in options.split(',').filter(|word| !word.is_empty()) {
        option(&mut mount, word, &what)?;
    }
    if let MountSource::Bind { path, .. } | MountSource::Overlay { path } = &mount.source
        && !path.exists()
    {
        // As docker does: what is not there becomes a folder.
        std::fs::create_dir_all(path).during(format!("{what}: create {}", path.display()))?;
    }
    Ok(mount.into())
}

fn source(first: &str, what: &str) -> Result<MountSource> {
    if first.starts_with("~/") {
        return Err(Error::usage(format!("{what}: `~` is the shell's to expand; write \"$HOME{}\"", &first[1..])));
    }
    if is_path(first) {
        return Ok(bind(std::path::absolute(first)?));
    }
    check_name(first).map_err(|_| {
        Error::usage(format!("{what}: `{first}` cannot name a volume: letters, digits and `_.-`, at least two"))
            .hint(format!("a folder beside you is written ./{first}"))
    })?;
    Ok(MountSource::Volume { name: first.to_owned(), anonymous: false, subpath: String::new(), nocopy: false })
}

/// A path of the host; a bare word is a volume's name.
fn is_path(written: &str) -> bool {
    written.starts_with('/')
        || written == "."
        || written == ".."
        || written.starts_with("./")
        || written.starts_with("../")
}

fn option(mount: &mut Mount, word: &str, what: &str) -> Result {
    if flag(word, &mut mount.flags) {
        return Ok(());
    }
    let only_binds = || Error::usage(format!("{what}: `{word}` is for folders of the host, not for volumes"));
    if let Some(asked) = propagation(word) {
        return match &mut mount.source {
            MountSource::Bind { propagation, .. } => {
                *propagation = asked;
                Ok(())
            }
            // A volume has no mounts of the host's below it.
            _ if asked == Propagation::Private => Ok(()),
            _ => Err(only_binds()),
        };
    }
    match (word, &mut mount.source) {
        ("ro" | "readonly", _) => mount.readonly = true,
        // SELinux labels are as they are; these ask for nothing more.
        ("rw" | "z" | "Z" | "cached" | "delegated" | "consistent" | "rbind" | "copy", _) => {}
        ("U", _) => mount.own = true,
        ("bind", MountSource::Bind { recursive, .. }) => *recursive = false,
        ("nocopy", MountSource::Volume { nocopy, .. }) => *nocopy = true,
        ("nocopy", _) => {}
        ("O", MountSource::Bind { path, .. }) => {
            let path = PathBuf::from(Path::new(path));
            if mount.own {
                return Err(Error::usage(format!("{what}: with `O` the folder stays as it is, so `U` cannot be had")));
            }
            mount.source = MountSource::Overlay { path };
        }
        ("O" | "bind", _) => return Err(only_binds()),
        ("idmap", _) => {
            return Err(Error::usage(format!("{what}: mounts of other ids are not to be had"))
                .hint("`U` gives the folder to the container's user"));
        }
        _ => return Err(Error::usage(format!("{what}: unknown option `{word}`"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        let mount = volume("/tmp:/in:ro,noexec,rslave,U").unwrap().mount;
        assert_eq!((mount.target.as_str(), mount.readonly, mount.flags.noexec, mount.own), ("/in", true, true, true));
        let expected =
            MountSource::Bind { path: "/tmp".into(), recursive: true, propagation: Propagation::Slave, shallow: false };
        assert_eq!(mount.source, expected);
        assert_eq!(volume("/tmp:/in:O").unwrap().mount.source, MountSource::Overlay { path: "/tmp".into() });
        let named = volume("data:/in:nocopy").unwrap().mount;
        assert_eq!(
            (named.volume(), named.source.clone()),
            (Some("data"), {
                let name = "data".to_owned();
                MountSource::Volume { name, anonymous: false, subpath: String::new(), nocopy: true }
            })
        );
        let own = volume("/data").unwrap().mount;
        assert!(matches!(own.source, MountSource::Volume { anonymous: true, .. }) && own.target == "/data");
    }

    #[test]
    fn what_cannot_be_is_said() {
        for bad in [
            "/a:b",
            "n:/x",
            "/a:/b:wat",
            "/a:/",
            "a:b:c:d",
            "data:/x:rshared",
            "data:/x:O",
            "..x:/d",
            "/a:/..",
            "~/x:/d",
        ] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }
}
