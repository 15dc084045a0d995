//! Go's modules: what the linker leaves in programs, as `go version -m` reads it.

use std::io;

use crate::bounded::{damaged, number, words};
use crate::elf::Elf;
use crate::{Ecosystem, Package};

/// What the description begins with.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The section that holds it.
const SECTION: &[u8] = b".go.buildinfo";
/// Its head.
const HEAD: usize = 32;
/// It stands at a multiple of this.
const ALIGN: usize = 16;
/// How far it is looked for in a program without sections; it stands at the very beginning of the data.
const MAX_LOOK: u64 = 1 << 20;
/// The description; a program of three thousand modules has half a MiB.
const MAX_TEXT: usize = 8 << 20;

/// The modules in a program; none where Go did not make it.
pub(crate) fn packages(elf: &mut Elf<'_>, path: &str) -> io::Result<Vec<Package>> {
    let Some((address, size)) = elf.data(SECTION) else { return Ok(Vec::new()) };
    let look = usize::try_from(size.min(MAX_LOOK)).unwrap_or(0);
    // A program whose data lies nowhere is not one of Go's.
    let Ok(data) = elf.bytes(address, look) else { return Ok(Vec::new()) };
    let found = data.windows(MAGIC.len()).step_by(ALIGN).position(|window| window == MAGIC);
    let Some(start) = found.map(|at| at * ALIGN) else { return Ok(Vec::new()) };
    let head = data.get(start..start + HEAD).ok_or_else(|| damaged("Go's description is cut off"))?.to_vec();
    let (version, modules) = match head[15] & 2 {
        0 => by_address(elf, &head)?,
        _ => inline(elf, address + start as u64 + HEAD as u64)?,
    };
    Ok(listed(&version, &modules, path))
}

/// Since Go 1.18 the two strings follow the head, each after its length.
fn inline(elf: &mut Elf<'_>, address: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (version, next) = counted(elf, address)?;
    let (modules, _) = counted(elf, next)?;
    Ok((version, modules))
}

fn counted(elf: &mut Elf<'_>, address: u64) -> io::Result<(Vec<u8>, u64)> {
    let head = elf.bytes(address, 10)?;
    let mut length = 0u64;
    let mut used = None;
    for (at, byte) in head.iter().enumerate().take(9) {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            used = Some(at as u64 + 1);
            break;
        }
    }
    let start = address + used.ok_or_else(|| damaged("a length without end"))?;
    Ok((exactly(elf, start, length)?, start.saturating_add(length)))
}

fn exactly(elf: &mut Elf<'_>, address: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_TEXT);
    let length = length.ok_or_else(|| damaged("Go's description is too long"))?;
    if length == 0 {
        return Ok(Vec::new());
    }
    let bytes = elf.bytes(address, length)?;
    if bytes.len() < length { Err(damaged("Go's description is cut off")) } else { Ok(bytes) }
}

/// Before, the head had the addresses of two strings.
fn by_address(elf: &mut Elf<'_>, head: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let width = usize::from(head[14]);
    if width != elf.width() {
        return Err(damaged("Go's description is of another width"));
    }
    let little = head[15] & 1 == 0;
    let mut string = |at: usize| -> io::Result<Vec<u8>> {
        let header = number(head, at, width, little)?;
        let header = elf.bytes(header, 2 * width)?;
        let (address, length) = (number(&header, 0, width, little)?, number(&header, width, width, little)?);
        exactly(elf, address, length)
    };
    Ok((string(16)?, string(16 + width)?))
}

/// The modules that the lines name, and the standard library.
fn listed(version: &[u8], modules: &[u8], path: &str) -> Vec<Package> {
    let mut all = Vec::new();
    let version = String::from_utf8_lossy(version);
    if let Some(number) = version.strip_prefix("go").and_then(|rest| words(rest.split(' ').next()?.as_bytes())) {
        all.push(Package { version: number, ..Package::new(Ecosystem::Go, "stdlib".to_owned(), path) });
    }
    // Sixteen bytes on either side let the linker find the lines.
    let lines = match modules.len() >= 33 && modules[modules.len() - 17] == b'\n' {
        true => &modules[16..modules.len() - 16],
        false => &[],
    };
    for line in lines.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b'\t').collect();
        let (kind, name, version) = match fields[..] {
            [kind, name, version, ..] => (kind, words(name), words(version)),
            [kind, name] => (kind, words(name), None),
            _ => continue,
        };
        let Some(name) = name else { continue };
        if kind == b"=>" {
            // What stands in for the module before it is what the program has.
            all.pop();
        } else if kind != b"mod" && kind != b"dep" {
            continue;
        }
        all.push(Package { version: version.unwrap_or_default(), ..Package::new(Ecosystem::Go, name, path) });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_what_replaces_them() {
        let lines = b"0123456789abcdefpath\tcmd\nmod\tm.org/a\t(devel)\t\ndep\tm.org/b\tv1.0.0\th1:x=\ndep\tm.org/c\tv1.0.0\n=>\tm.org/d\tv2.0.0\th1:y=\nbuild\t-compiler=gc\n0123456789abcdef";
        let rows: Vec<_> = listed(b"go1.22.1 X:y", lines, "p")
            .into_iter()
            .map(|one| format!("{} {}", one.name, one.version))
            .collect();
        assert_eq!(rows, ["stdlib 1.22.1", "m.org/a (devel)", "m.org/b v1.0.0", "m.org/d v2.0.0"]);
        assert!(listed(b"devel", b"short", "p").is_empty());
    }
}
