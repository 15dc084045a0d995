//! `--security-opt`: how far programs in containers are confined.

use runtime::container::Seccomp;

use crate::error::{Error, Result, While};

/// The longest seccomp profile that is read: docker's own is 14 KiB.
const MAX_PROFILE: u64 = 4 << 20;

/// SELinux's label for containers, whose parts `label=` replaces.
const LABEL: [(&str, &str); 4] = [("user", "system_u"), ("role", "system_r"), ("type", "container_t"), ("level", "s0")];

/// What the options say together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// Whether set-user-id programs gain nothing.
    pub(crate) no_new_privs: bool,
    /// The filter of system calls, where one was named.
    pub(crate) seccomp: Option<Seccomp>,
    /// Paths that are hidden.
    pub(crate) masked: Vec<String>,
    /// Usual paths that are not, or `ALL`.
    pub(crate) unmasked: Vec<String>,
    /// Settings of `/proc`.
    pub(crate) proc_options: Vec<(String, String)>,
    /// The AppArmor profile.
    pub(crate) profile: Option<String>,
    /// The SELinux label.
    pub(crate) label: Option<String>,
    /// Whether landlock is left out.
    pub(crate) no_landlock: bool,
}

/// Reads all `--security-opt` of a container.
pub(crate) fn parse(options: &[String]) -> Result<Confinement> {
    let mut all = Confinement::default();
    let mut label = Vec::new();
    for written in options {
        let (key, value) = written.split_once(['=', ':']).unwrap_or((written, "true"));
        match (key, value) {
            ("no-new-privileges", value) => all.no_new_privs = value != "false",
            ("seccomp", "unconfined") => all.seccomp = Some(Seccomp::Unconfined),
            ("seccomp", "builtin" | "default") => all.seccomp = Some(Seccomp::Default),
            ("seccomp", path) => all.seccomp = Some(Seccomp::Custom(profile(path, written)?)),
            ("apparmor", "unconfined" | "true") => all.profile = None,
            ("apparmor", name) => all.profile = Some(plain(name, written)?),
            ("label", "disable" | "true") => label.clear(),
            ("label", part) => label.push((part.to_owned(), written)),
            ("mask", paths) => all.masked.extend(absolute(paths, written)?),
            ("unmask", "all" | "ALL") => all.unmasked.push("ALL".to_owned()),
            ("unmask", paths) => all.unmasked.extend(absolute(paths, written)?),
            ("systempaths", "unconfined") => all.unmasked.push("ALL".to_owned()),
            ("proc-opts", options) => all.proc_options.extend(proc_options(options, written)?),
            ("landlock", value) => all.no_landlock = matches!(value, "off" | "false" | "disable" | "unconfined"),
            ("credentialspec" | "writable-cgroups" | "systempaths", _) => {
                return Err(Error::usage(format!("--security-opt {written}: estiba has nothing of that kind")));
            }
            _ => return Err(unknown(written)),
        }
    }
    all.label = selinux(&label)?;
    Ok(all)
}

fn unknown(written: &str) -> Error {
    Error::usage(format!("--security-opt {written}: unknown")).hint(
        "there are seccomp=unconfined|FILE, no-new-privileges, apparmor=PROFILE, label=type:TYPE, mask=PATH, \
         unmask=PATH|ALL, systempaths=unconfined, proc-opts=hidepid=2 and landlock=off",
    )
}

/// docker's profile in JSON, read and looked at before anything is made.
fn profile(path: &str, written: &str) -> Result<String> {
    let metadata = std::fs::metadata(path).during(format!("--security-opt {written}"))?;
    if !metadata.is_file() || metadata.len() > MAX_PROFILE {
        return Err(Error::usage(format!("--security-opt {written}: no file of at most {MAX_PROFILE} bytes")));
    }
    let text = std::fs::read_to_string(path).during(format!("--security-opt {written}"))?;
    let seccomp = Seccomp::Custom(text.clone());
    seccomp
        .program(runtime::container::CapSet::docker())
        .map_err(|error| Error::usage(format!("--security-opt {written}: {error}")))?;
    Ok(text)
}

fn plain(name: &str, written: &str) -> Result<String> {
    if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
        return Err(Error::usage(format!("--security-opt {written}: not a name")));
    }
    Ok(name.to_owned())
}

/// Paths between colons.
fn absolute(paths: &str, written: &str) -> Result<Vec<String>> {
    let each = |path: &str| {
        if path.starts_with('/') && !path.split('/').any(|part| part == "..") {
            Ok(path.to_owned())
        } else {
            Err(Error::usage(format!("--security-opt {written}: `{path}` is no absolute path")))
        }
    };
    paths.split(':').map(each).collect()
}

fn proc_options(options: &str, written: &str) -> Result<Vec<(String, String)>> {
    let each = |option: &str| match option.split_once('=') {
        Some((name @ ("hidepid" | "gid" | "subset"), value)) if !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err(Error::usage(format!("--security-opt {written}: `{option}` is none of hidepid=, gid=, subset="))),
    };
    options.split(',').map(each).collect()
}

/// The label with the parts that were named; none where none was.
fn selinux(parts: &[(String, &String)]) -> Result<Option<String>> {
    if parts.is_empty() {
        return Ok(None);
    }
    let mut label = LABEL.map(|(name, value)| (name, value.to_owned()));
    for (part, written) in parts {
        let (name, value) = part.split_once(':').unwrap_or((part, ""));
        match label.iter_mut().find(|(known, _)| *known == name) {
            Some((_, own)) if !value.is_empty() => *own = plain(value, written)?,
            // What a file is labelled with is the mount's: `:z`.
            _ if name == "filetype" || name == "nested" => {}
            _ => return Err(unknown(written)),
        }
    }
    Ok(Some(label.map(|(_, value)| value).join(":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[&str]) -> Confinement {
        parse(&options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_docker_and_podman_write_is_read() {
        assert!(of(&["no-new-privileges"]).no_new_privs && !of(&["no-new-privileges:false"]).no_new_privs);
        assert_eq!(of(&["mask=/a:/b", "unmask=ALL"]).masked, ["/a", "/b"]);
        assert_eq!(of(&["systempaths=unconfined"]).unmasked, ["ALL"]);
        assert_eq!(of(&["proc-opts=hidepid=2,gid=5"]).proc_options.len(), 2);
        assert_eq!(of(&["apparmor=docker-default"]).profile.as_deref(), Some("docker-default"));
        assert_eq!(
            of(&["label=type:svirt_t", "label=level:s0:c1,c2"]).label.as_deref(),
            Some("system_u:system_r:svirt_t:s0:c1,c2")
        );
        assert_eq!(of(&["label=type:x_t", "label=disable"]).label, None);
        assert!(of(&["landlock=off"]).no_landlock);
    }

    #[test]
    fn what_nobody_means_is_refused() {
        for wrong in [
            "what",
            "mask=relative",
            "mask=/a/../b",
            "proc-opts=x",
            "label=colour:red",
            "seccomp=/no/such",
            "seccomp=/dev/zero",
        ] {
            assert!(parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
