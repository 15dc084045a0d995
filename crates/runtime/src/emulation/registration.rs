//! What is registered in `binfmt_misc`. Format: Linux, Documentation/admin-guide/binfmt-misc.rst.

use std::fs;
use std::path::{Path, PathBuf};

use super::processor::Processor;

/// An interpreter that the kernel starts programs of some processor with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) interpreter: PathBuf,
    /// Whether the kernel holds its file open (flag F): then a container need not have it.
    pub(super) holds_open: bool,
}

/// The enabled registration that a processor's programs are started by, among the files of `dir`.
pub(super) fn find(dir: &Path, processor: &Processor) -> Option<Entry> {
    if fs::read_to_string(dir.join("status")).ok()?.trim() != "enabled" {
        return None;
    }
    let files = fs::read_dir(dir).ok()?.flatten();
    let names = files.filter(|file| file.file_name() != "status" && file.file_name() != "register");
    names.filter_map(|file| fs::read_to_string(file.path()).ok()).find_map(|text| parse(&text, processor))
}

/// Reads a registration as the kernel shows it; `None` where it is for something else.
fn parse(text: &str, processor: &Processor) -> Option<Entry> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if text.lines().next()?.trim() != "enabled" {
        return None;
    }
    let magic = hex(field("magic ")?)?;
    let mask = match field("mask ") {
        Some(mask) => hex(mask)?,
        None => vec![0xff; magic.len()],
    };
    let offset: usize = field("offset ").unwrap_or("0").parse().ok()?;
    let header = processor.magic();
    let seen = header.get(offset..offset + magic.len())?;
    let same = |((byte, magic), mask): ((&u8, &u8), &u8)| byte & mask == magic & mask;
    if magic.is_empty() || mask.len() != magic.len() || !seen.iter().zip(&magic).zip(&mask).all(same) {
        return None;
    }
    // A rule for all programs is not one for these.
    let counted: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    if counted < 32 {
        return None;
    }
    let interpreter = PathBuf::from(field("interpreter ")?);
    Some(Entry { interpreter, holds_open: field("flags:").is_some_and(|flags| flags.contains('F')) })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM64: &str = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn a_registration_is_known_by_what_it_matches() {
        let arm64 = Processor::of("arm64").unwrap();
        let entry = Entry { interpreter: "/usr/bin/qemu-aarch64-static".into(), holds_open: true };
        assert_eq!(parse(ARM64, arm64), Some(entry.clone()));
        let by_path = ARM64.replace("OCF", "OC");
        assert_eq!(parse(&by_path, arm64), Some(Entry { holds_open: false, ..entry }));
        assert_eq!(parse(ARM64, Processor::of("arm").unwrap()), None);
        for broken in [
            ARM64.replace("enabled", "disabled"),
            ARM64.replace("magic 7f", "magic 7"),
            ARM64.replace("offset 0", "offset 9"),
            "enabled\ninterpreter /usr/bin/jar\nflags: \nextension .jar\n".to_owned(),
            "enabled\ninterpreter /x\nflags: F\noffset 0\nmagic 7f45\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(parse(&broken, arm64), None, "{broken}");
        }
    }

    #[test]
    fn a_folder_of_registrations_is_searched() {
        let dir = tempfile::tempdir().unwrap();
        let arm64 = Processor::of("arm64").unwrap();
        assert_eq!(find(dir.path(), arm64), None);
        fs::write(dir.path().join("status"), "enabled\n").unwrap();
        fs::write(dir.path().join("qemu-aarch64"), ARM64).unwrap();
        assert!(find(dir.path(), arm64).is_some());
        fs::write(dir.path().join("status"), "disabled\n").unwrap();
        assert_eq!(find(dir.path(), arm64), None);
    }
}
