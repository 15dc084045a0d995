//! The options of docker's `local` driver: what of mount(8) a volume can be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use runtime::container::{Flags, Memory};

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Where its content is.
    pub content: Content,
    /// Whether it refuses writes.
    pub readonly: bool,
    /// What else it refuses.
    pub flags: Flags,
}

/// Where the content of a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Content {
    /// In its folder.
    #[default]
    Folder,
    /// In a folder of the host.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// Whether with all mounts below.
        recursive: bool,
    },
    /// In memory, one for each container that mounts it.
    Memory(Memory),
}

impl Known {
    /// Reads `type`, `device` and `o`.
    ///
    /// # Errors
    /// In words, what is not to be had.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, String> {
        for key in options.keys() {
            if !["type", "device", "o"].contains(&key.as_str()) {
                return Err(format!("unknown option `{key}`; there are type, device and o"));
            }
        }
        let get = |key: &str| options.get(key).map_or("", String::as_str);
        let words: Vec<&str> = get("o").split(',').filter(|word| !word.is_empty()).collect();
        let (kind, device) = (get("type"), get("device"));
        let is_bind = words.iter().any(|word| ["bind", "rbind"].contains(word));
        let mut known = Self::default();
        match kind {
            "tmpfs" => known.content = Content::Memory(Memory { mode: 0o755, ..Memory::default() }),
            "" | "none" | "bind" if is_bind || kind == "bind" => {
                if !device.starts_with('/') {
                    return Err(format!("device={device}: a bind needs the absolute path of a folder"));
                }
                known.content = Content::Bind { path: device.into(), recursive: !words.contains(&"bind") };
            }
            "" if device.is_empty() => {}
            other => {
                return Err(format!(
                    "type={other}: there are tmpfs and none (with o=bind); mount it on the host, and bind that folder"
                ));
            }
        }
        for word in words {
            known.word(word)?;
        }
        if let Content::Memory(memory) = &mut known.content {
            memory.flags = known.flags;
        }
        Ok(known)
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        match word.split_once('=').unwrap_or((word, "")) {
            ("ro", _) => self.readonly = true,
            ("noexec", _) => self.flags.noexec = true,
            ("nosuid", _) => self.flags.nosuid = true,
            ("noatime", _) => self.flags.noatime = true,
            ("rw" | "exec" | "suid" | "nodev" | "bind" | "rbind" | "copy", _) => {}
            (key @ ("size" | "mode" | "uid" | "gid" | "nr_inodes"), value) => return self.memory(key, value),
            _ => return Err(format!("unknown word `{word}` in o=")),
        }
        Ok(())
    }

    fn memory(&mut self, key: &str, value: &str) -> Result<(), String> {
        let Content::Memory(memory) = &mut self.content else {
            return Err(format!("o={key}: only type=tmpfs has it"));
        };
        let wrong = || format!("o={key}={value} is not what {key} may be");
        let number = || value.parse::<u32>().map_err(|_| wrong());
        match key {
            "size" => memory.size = Some(size(value).ok_or_else(wrong)?),
            "mode" => memory.mode = u32::from_str_radix(value, 8).map_err(|_| wrong())?,
            "uid" => memory.owner.0 = number()?,
            "gid" => memory.owner.1 = number()?,
            _ => memory.inodes = Some(value.parse().map_err(|_| wrong())?),
        }
        Ok(())
    }
}

/// `64m`, as mount(8) writes sizes of tmpfs.
fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.to_ascii_lowercase() {
        lower if lower.ends_with('k') => (lower.len() - 1, 1 << 10),
        lower if lower.ends_with('m') => (lower.len() - 1, 1 << 20),
        lower if lower.ends_with('g') => (lower.len() - 1, 1 << 30),
        lower => (lower.len(), 1),
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(pairs: &[(&str, &str)]) -> Result<Known, String> {
        Known::parse(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn what_mount_would_say() {
        assert_eq!(known(&[]).unwrap(), Known::default());
        let tmpfs = known(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=64m,uid=5,noexec,ro")]).unwrap();
        let Content::Memory(memory) = tmpfs.content else { panic!("{tmpfs:?}") };
        assert_eq!(
            (memory.size, memory.owner, memory.flags.noexec, tmpfs.readonly),
            (Some(64 << 20), (5, 0), true, true)
        );
        let bind = known(&[("type", "none"), ("device", "/srv"), ("o", "bind")]).unwrap();
        assert_eq!(bind.content, Content::Bind { path: "/srv".into(), recursive: false });
        for wrong in [
            &[("type", "nfs"), ("device", ":/x")][..],
            &[("o", "size=5")],
            &[("type", "tmpfs"), ("o", "size=x")],
            &[("o", "bind"), ("device", "rel")],
            &[("wat", "")],
        ] {
            assert!(known(wrong).is_err(), "{wrong:?}");
        }
    }
}
