//! `--mount`: `type=…,source=…,target=…`.

use containers::config::{Mount, MountSource};
use containers::id::check_name;
use runtime::container::{Memory, Propagation};

use super::tmpfs::REFUSED;
use super::{Asked, absolute_target, existing, flag, mode_of, plain, propagation, size_of};
use crate::error::{Error, Result};
use crate::keyed::Keyed;

const KEYS: [&str; 22] = [
    "type",
    "source",
    "target",
    "readonly",
    "bind-propagation",
    "bind-nonrecursive",
    "bind-recursive",
    "tmpfs-size",
    "tmpfs-mode",
    "tmpcopyup",
    "volume-nocopy",
    "volume-subpath",
    "volume-driver",
    "volume-opt",
    "volume-label",
    "image-subpath",
    "consistency",
    "relabel",
    "chown",
    "rw",
    "noexec",
    "nosuid",
];

/// One `--mount`.
pub(in crate::verb::run) fn mount(written: &str) -> Result<Asked> {
    let what = format!("--mount {written}");
    let mut keys = Keyed::parse(written)?;
    let kind = keys.take(&["type"]).unwrap_or_else(|| "volume".to_owned());
    let source = keys.take(&["source", "src"]);
    let Some(target) = keys.take(&["target", "dst", "destination"]) else {
        return Err(Error::usage(format!("{what}: target= is missing")));
    };
    absolute_target(&target, &what)?;
    let missing = || Error::usage(format!("{what}: source= is missing"));
    let mut asked = match kind.as_str() {
        "bind" => bind(&mut keys, &target, &source.ok_or_else(missing)?, &what)?.into(),
        "volume" => volume(&mut keys, &target, source.as_deref(), &what)?,
        "tmpfs" | "ramfs" => memory(&mut keys, &target, &what)?.into(),
        "image" => image(&mut keys, &target, source.ok_or_else(missing)?)?.into(),
        "glob" | "npipe" | "cluster" | "devpts" => {
            return Err(Error::usage(format!("{what}: type={kind} is not to be had here"))
                .hint("the types are bind, volume, tmpfs and image"));
        }
        other => {
            return Err(Error::usage(format!("{what}: unknown type `{other}`"))
                .hint("the types are bind, volume, tmpfs and image"));
        }
    };
    common(&mut keys, &mut asked.mount)?;
    keys.finish(&what, &KEYS)?;
    Ok(asked)
}

/// What every type takes.
fn common(keys: &mut Keyed, mount: &mut Mount) -> Result {
    mount.readonly |= keys.take_switch(&["readonly", "ro"])?.unwrap_or(false);
    if keys.take_switch(&["rw", "readwrite"])? == Some(true) {
        mount.readonly = false;
    }
    mount.own |= keys.take_switch(&["chown", "u"])?.unwrap_or(false);
    keys.take(&["consistency"]);
    // SELinux labels are as they are.
    keys.take(&["relabel"]);
    let flags = match &mut mount.source {
        MountSource::Memory(memory) => &mut memory.flags,
        _ => &mut mount.flags,
    };
    for word in ["exec", "noexec", "suid", "nosuid", "dev", "nodev"] {
        if keys.take_switch(&[word])? == Some(true) {
            flag(word, flags);
        }
    }
    Ok(())
}

fn bind(keys: &mut Keyed, target: &str, source: &str, what: &str) -> Result<Mount> {
    let path = existing(source, what)?;
    let mut recursive = !keys.take_switch(&["bind-nonrecursive"])?.unwrap_or(false);
    let mut shallow = false;
    match keys.take(&["bind-recursive"]).as_deref() {
        // All mounts below are restricted with it: the kernels that this runs on can.
        None | Some("enabled" | "readonly" | "true") => {}
        Some("writable") => shallow = true,
        Some("disabled" | "false") => recursive = false,
        Some(other) => {
            return Err(Error::usage(format!("{what}: bind-recursive={other}"))
                .hint("there are enabled, disabled, writable and readonly"));
        }
    }
    let propagation = match keys.take(&["bind-propagation"]) {
        None => Propagation::Private,
        Some(word) => propagation(&word).ok_or_else(|| {
            Error::usage(format!("{what}: bind-propagation={word}"))
                .hint("there are rprivate, rslave, rshared, private, slave and shared")
        })?,
    };
    Ok(plain(target, MountSource::Bind { path, recursive, propagation, shallow }))
}

fn volume(keys: &mut Keyed, target: &str, source: Option<&str>, what: &str) -> Result<Asked> {
    let mut asked = match source.filter(|name| !name.is_empty()) {
        None => Asked::anonymous(target)?,
        Some(name) => {
            check_name(name).map_err(|_| {
                Error::usage(format!("{what}: `{name}` cannot name a volume"))
                    .hint("a folder of the host is mounted by type=bind")
            })?;
            let name = name.to_owned();
            let source = MountSource::Volume { name, anonymous: false, subpath: String::new(), nocopy: false };
            plain(target, source).into()
        }
    };
    if let MountSource::Volume { subpath, nocopy, .. } = &mut asked.mount.source {
        *nocopy = keys.take_switch(&["volume-nocopy", "nocopy"])?.unwrap_or(false);
        *subpath = keys.take(&["volume-subpath", "subpath"]).unwrap_or_default();
    }
    if let Some(driver) = keys.take(&["volume-driver"]) {
        check_driver(&driver, what)?;
    }
    for (key, into) in [("volume-opt", &mut asked.options), ("volume-label", &mut asked.labels)] {
        for (_, pair) in keys.take_all(|name| name == key) {
            let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
            into.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(asked)
}

/// There is one driver.
pub(in crate::verb) fn check_driver(driver: &str, what: &str) -> Result {
    if driver.is_empty() || driver == containers::volume::DRIVER {
        return Ok(());
    }
    Err(Error::usage(format!("{what}: there is no volume driver `{driver}`"))
        .hint("the driver is `local`; mount what another one would, and bind that folder"))
}

fn memory(keys: &mut Keyed, target: &str, what: &str) -> Result<Mount> {
    let mut memory = Memory { flags: REFUSED, ..Memory::default() };
    memory.size = keys.take(&["tmpfs-size"]).map(|size| size_of(&size, what)).transpose()?;
    if let Some(mode) = keys.take(&["tmpfs-mode"]) {
        memory.mode = mode_of(&mode, what)?;
    }
    memory.fill = keys.take_switch(&["tmpcopyup"])?.unwrap_or(false);
    keys.take(&["notmpcopyup"]);
    Ok(plain(target, MountSource::Memory(memory)))
}

/// A tree that refuses writes unless `rw=true` says that they go away with the container.
fn image(keys: &mut Keyed, target: &str, name: String) -> Result<Mount> {
    let subpath = keys.take(&["image-subpath", "subpath"]).unwrap_or_default();
    let mut mount = plain(target, MountSource::Image { name, manifest: None, layers: Vec::new(), subpath });
    mount.readonly = true;
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type() {
        let bound =
            mount("type=bind,src=/tmp,dst=/m,ro,bind-propagation=rshared,bind-recursive=writable").unwrap().mount;
        let expected =
            MountSource::Bind { path: "/tmp".into(), recursive: true, propagation: Propagation::Shared, shallow: true };
        assert_eq!((bound.source, bound.readonly), (expected, true));
        let named =
            mount("src=data,dst=/m,volume-nocopy,volume-subpath=a/b,\"volume-opt=o=size=5,ro\",volume-opt=type=tmpfs")
                .unwrap();
        assert_eq!(named.options.get("o").map(String::as_str), Some("size=5,ro"));
        let expected =
            MountSource::Volume { name: "data".to_owned(), anonymous: false, subpath: "a/b".to_owned(), nocopy: true };
        assert_eq!(named.mount.source, expected);
        let memory = mount("type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=755,exec").unwrap().mount;
        assert!(matches!(memory.source, MountSource::Memory(memory)
            if memory.size == Some(1 << 20) && memory.mode == 0o755 && !memory.flags.noexec));
        let image = mount("type=image,src=busybox,dst=/m,subpath=bin").unwrap().mount;
        assert!(image.readonly && matches!(image.source, MountSource::Image { subpath, .. } if subpath == "bin"));
        assert!(!mount("type=image,src=busybox,dst=/m,rw=true").unwrap().mount.readonly);
        assert!(matches!(mount("dst=/m").unwrap().mount.source, MountSource::Volume { anonymous: true, .. }));
    }

    #[test]
    fn what_cannot_be_is_said() {
        for bad in [
            "type=bind,dst=/m",
            "type=bind,src=/tmp",
            "type=bind,src=/not/there,dst=/m",
            "type=bind,src=/tmp,dst=m",
            "type=bind,src=/tmp,dst=/m,bind-propagation=x",
            "type=wat,dst=/m",
            "type=volume,src=/tmp,dst=/m",
            "type=volume,src=ab,dst=/m,volume-driver=nfs",
            "type=tmpfs,dst=/m,tmpfs-mode=9",
            "type=tmpfs,dst=/m,wat=1",
            "type=tmpfs,dst=/m,volume-nocopy",
        ] {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}
