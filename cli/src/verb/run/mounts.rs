//! `-v`, `--mount` and `--tmpfs`.

use std::path::{Path, PathBuf};

use runtime::container::{Mount, Source};

use crate::duration::parse_size;
use crate::error::{Error, Result, While};
use crate::keyed::Keyed;

/// docker's mode of a tmpfs.
const TMPFS_MODE: u32 = 0o1777;

/// One `-v`. `None`: a volume without a name, which is a folder of the container's own.
pub(in crate::verb) fn volume(written: &str) -> Result<Option<Mount>> {
    let mut parts = written.split(':');
    let (first, target, options) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if parts.next().is_some() {
        return Err(Error::usage(format!("--volume {written}: too many colons; expected HOST:INSIDE[:ro]")));
    }
    let Some(target) = target else {
        absolute_target(first, "--volume", written)?;
        return Ok(None);
    };
    absolute_target(target, "--volume", written)?;
    let mut readonly = false;
    for option in options.unwrap_or_default().split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "readonly" => readonly = true,
            // SELinux labels and mount propagation are as they are; these ask for nothing more.
            "rw" | "z" | "Z" | "rprivate" | "private" | "cached" | "delegated" | "consistent" => {}
            "rshared" | "shared" | "rslave" | "slave" | "U" | "O" | "nocopy" => {
                return Err(Error::later(&format!("`{option}` of --volume"), ""));
            }
            other => return Err(Error::usage(format!("--volume {written}: unknown option `{other}`"))),
        }
    }
    let path = host_path(first, written)?;
    if !path.exists() {
        // As docker does: what is not there becomes a folder.
        std::fs::create_dir_all(&path).during(format!("--volume {written}: create {}", path.display()))?;
    }
    Ok(Some(bind(path, target, readonly)))
}

fn bind(path: PathBuf, target: &str, readonly: bool) -> Mount {
    Mount { target: target.to_owned(), source: Source::Path { path, recursive: true }, readonly }
}

/// A path of the host; a bare word would be a volume's name.
fn host_path(written: &str, whole: &str) -> Result<PathBuf> {
    let is_path = written.starts_with('/')
        || written == "."
        || written == ".."
        || written.starts_with("./")
        || written.starts_with("../");
    if written.starts_with("~/") {
        return Err(Error::usage(format!(
            "--volume {whole}: `~` is the shell's to expand; write \"$HOME{}\"",
            &written[1..]
        )));
    }
    if !is_path {
        return Err(Error::later(
            &format!("--volume {whole}: a volume with a name"),
            &format!("a folder beside you is written ./{written}"),
        ));
    }
    Ok(std::path::absolute(written)?)
}

fn absolute_target(target: &str, option: &str, whole: &str) -> Result {
    if target.starts_with('/') && !target.trim_matches('/').is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!("{option} {whole}: `{target}` is not an absolute path inside the container")))
}

/// One `--tmpfs`: `PATH[:size=64m,mode=1777,ro]`.
pub(super) fn tmpfs(written: &str) -> Result<Mount> {
    let (target, options) = written.split_once(':').unwrap_or((written, ""));
    absolute_target(target, "--tmpfs", written)?;
    let mut mount =
        Mount { target: target.to_owned(), source: Source::Tmpfs { size: None, mode: TMPFS_MODE }, readonly: false };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", size)) => mount.source = with_size(&mount.source, Some(size_of(size, written)?)),
            Some(("mode", mode)) => mount.source = with_mode(&mount.source, mode_of(mode, written)?),
            None if option == "ro" => mount.readonly = true,
            None if ["rw", "exec", "noexec", "nosuid", "suid", "nodev", "dev", "noatime", "atime", "nr_inodes"]
                .contains(&option) => {}
            _ => return Err(Error::usage(format!("--tmpfs {written}: unknown option `{option}`"))),
        }
    }
    Ok(mount)
}

fn with_size(source: &Source, size: Option<u64>) -> Source {
    match source {
        Source::Tmpfs { mode, .. } => Source::Tmpfs { size, mode: *mode },
        other => other.clone(),
    }
}

fn with_mode(source: &Source, mode: u32) -> Source {
    match source {
        Source::Tmpfs { size, .. } => Source::Tmpfs { size: *size, mode },
        other => other.clone(),
    }
}

fn size_of(text: &str, whole: &str) -> Result<u64> {
    parse_size(text).ok_or_else(|| Error::usage(format!("{whole}: `{text}` is not a size such as 64m")))
}

fn mode_of(text: &str, whole: &str) -> Result<u32> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| Error::usage(format!("{whole}: `{text}` is not an octal mode")))
}

const MOUNT_KEYS: [&str; 8] =
    ["type", "source", "target", "readonly", "bind-propagation", "tmpfs-size", "tmpfs-mode", "consistency"];

/// One `--mount`.
pub(super) fn mount(written: &str) -> Result<Mount> {
    let what = format!("--mount {written}");
    let mut keys = Keyed::parse(written)?;
    let kind = keys.take(&["type"]).unwrap_or_else(|| "volume".to_owned());
    let source = keys.take(&["source", "src"]);
    let Some(target) = keys.take(&["target", "dst", "destination"]) else {
        return Err(Error::usage(format!("{what}: target= is missing")));
    };
    absolute_target(&target, "--mount", written)?;
    let readonly = keys.take_switch(&["readonly", "ro"])?.unwrap_or(false);
    keys.take(&["consistency"]);
    let mount = match kind.as_str() {
        "bind" => {
            let source = source.ok_or_else(|| Error::usage(format!("{what}: source= is missing")))?;
            keys.take(&["bind-propagation"]);
            let path = std::path::absolute(Path::new(&source))?;
            if !path.exists() {
                return Err(Error::failed(format!("{what}: {} does not exist", path.display()))
                    .hint("`-v` would make it a folder"));
            }
            bind(path, &target, readonly)
        }
        "tmpfs" => {
            let size = keys.take(&["tmpfs-size"]).map(|size| size_of(&size, &what)).transpose()?;
            let mode = keys.take(&["tmpfs-mode"]).map(|mode| mode_of(&mode, &what)).transpose()?;
            Mount { target, source: Source::Tmpfs { size, mode: mode.unwrap_or(TMPFS_MODE) }, readonly }
        }
        "volume" | "image" => {
            return Err(Error::later(&format!("{what}: type={kind}"), "type=bind mounts a folder of the host"));
        }
        other => {
            return Err(Error::usage(format!("{what}: unknown type `{other}`")).hint("the types are bind and tmpfs"));
        }
    };
    keys.finish(&what, &MOUNT_KEYS)?;
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        let mount = volume("/tmp:/in:ro").unwrap().unwrap();
        assert_eq!(
            mount,
            Mount {
                target: "/in".to_owned(),
                source: Source::Path { path: "/tmp".into(), recursive: true },
                readonly: true
            }
        );
        assert!(volume("/data").unwrap().is_none());
        for bad in ["/a:b", "name:/x", "/a:/b:wat", "/a:/", "a:b:c:d"] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory() {
        let expected =
            |size, mode, readonly| Mount { target: "/t".to_owned(), source: Source::Tmpfs { size, mode }, readonly };
        assert_eq!(tmpfs("/t").unwrap(), expected(None, 0o1777, false));
        assert_eq!(tmpfs("/t:size=64m,mode=700,ro").unwrap(), expected(Some(64 << 20), 0o700, true));
        assert_eq!(mount("type=tmpfs,dst=/t,tmpfs-size=1k").unwrap(), expected(Some(1024), 0o1777, false));
        for bad in ["t", "/t:size=x", "/t:wat"] {
            assert!(tmpfs(bad).is_err(), "{bad}");
        }
        for bad in ["type=bind,dst=/x", "type=volume,src=a,dst=/x", "type=bind,src=/tmp,dst=/x,wat=1", "src=/tmp"] {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}
