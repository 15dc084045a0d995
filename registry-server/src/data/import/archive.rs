//! A tar of a layout, read where it lies: names first, bytes when they are asked for.
//!
//! Only plain files count, by their last entry of a name. Long names (GNU's and PAX's) and sizes beyond 8 GiB (PAX) are known,
//! since `blobs/sha512/<hex>` does not fit into the header alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::super::intake::Source;
use super::super::{Error, Result};

const BLOCK: u64 = 512;
/// Longest name or PAX header that is read: ours have 150 characters.
const EXTENSION_LIMIT: u64 = 64 << 10;
/// Entries of one archive.
const MOST: usize = 1_000_000;

/// Where each file of an archive lies.
pub(super) struct Archive {
    file: File,
    path: PathBuf,
    files: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    /// Reads the names of a tar.
    pub(super) fn open_at(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let files = index(&file).map_err(|why| Error::Malformed { what: path.display().to_string(), why })?;
        Ok(Self { file, path: path.to_path_buf(), files })
    }

    /// A file of the archive.
    pub(super) fn open(&self, name: &str) -> Result<Option<Source>> {
        let Some((start, size)) = self.files.get(name).copied() else { return Ok(None) };
        let file = self.file.try_clone().map_err(Error::io("dup", &self.path))?;
        Ok(Some(Source { file, start, size, whole: false }))
    }
}

/// What an entry before another says of it.
#[derive(Default)]
struct Extension {
    name: Option<String>,
    size: Option<u64>,
}

fn index(file: &File) -> Result<BTreeMap<String, (u64, u64)>, String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let (mut files, mut at, mut extension) = (BTreeMap::new(), 0_u64, Extension::default());
    let mut seen = 0;
    while at + BLOCK <= length {
        let mut header = Header::new_old();
        file.read_exact_at(header.as_mut_bytes(), at).map_err(|error| error.to_string())?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            break;
        }
        check(&header, at)?;
        let size = extension.size.take().map_or_else(|| header.entry_size().map_err(|error| error.to_string()), Ok)?;
        let start = at + BLOCK;
        let end = start.checked_add(size).filter(|end| *end <= length).ok_or("it is cut off")?;
        match header.entry_type() {
            EntryType::GNULongName => {
                let bytes = read(file, start, size)?;
                extension.name = Some(
                    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned(),
                );
            }
            EntryType::XHeader => extension = pax(&read(file, start, size)?),
            EntryType::XGlobalHeader | EntryType::GNULongLink => {}
            kind => {
                let name = match extension.name.take() {
                    Some(name) => name,
                    None => String::from_utf8_lossy(&header.path_bytes()).into_owned(),
                };
                extension = Extension::default();
                if kind == EntryType::Regular || kind == EntryType::Continuous {
                    files.insert(name.trim_start_matches("./").to_owned(), (start, size));
                }
            }
        }
        seen += 1;
        if seen > MOST {
            return Err(format!("it has more than {MOST} entries"));
        }
        at = end.div_ceil(BLOCK) * BLOCK;
    }
    Ok(files)
}

/// Refuses what is no header; names what people often hand in instead.
fn check(header: &Header, at: u64) -> Result<(), String> {
    let bytes = header.as_bytes();
    let sum = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    if header.cksum().is_ok_and(|stated| stated == sum) {
        return Ok(());
    }
    let compressed = at == 0
        && (bytes.starts_with(&[0x1f, 0x8b])
            || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
            || bytes.starts_with(b"\xfd7zXZ"));
    Err(if compressed {
        "it is compressed: decompress it first".to_owned()
    } else {
        format!("it is no tar, or damaged at byte {at}")
    })
}

fn read(file: &File, start: u64, size: u64) -> Result<Vec<u8>, String> {
    if size > EXTENSION_LIMIT {
        return Err("a name in it is too long".to_owned());
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    file.read_exact_at(&mut bytes, start).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The records of a PAX header that matter: `LENGTH KEY=VALUE\n` each.
fn pax(bytes: &[u8]) -> Extension {
    let mut extension = Extension::default();
    let mut rest = bytes;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse::<usize>().ok());
        let Some(record) = length.filter(|length| *length > space).and_then(|length| rest.get(space + 1..length))
        else {
            break;
        };
        rest = &rest[space + 1 + record.len()..];
        let Ok(text) = std::str::from_utf8(record) else { continue };
        match text.trim_end_matches('\n').split_once('=') {
            Some(("path", path)) => extension.name = Some(path.to_owned()),
            Some(("size", size)) => extension.size = size.parse().ok(),
            _ => {}
        }
    }
    extension
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn archive(bytes: &[u8]) -> Result<Archive> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Archive::open_at(file.path())
    }

    #[test]
    fn files_are_found_by_short_and_long_names() {
        let long = format!("blobs/sha512/{}", "a".repeat(128));
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in [("./index.json", "{}"), (long.as_str(), "long"), ("index.json", "last")] {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        let archive = archive(&builder.into_inner().unwrap()).unwrap();
        let read = |name: &str| archive.open(name).unwrap().map(|source| source.plain(100).unwrap());
        assert_eq!(read("index.json").as_deref(), Some(b"last".as_slice()));
        assert_eq!(read(&long).as_deref(), Some(b"long".as_slice()));
        assert_eq!(read("absent"), None);
    }

    #[test]
    fn pax_records() {
        let extension = pax(b"18 path=some/path\n12 size=123\n9 a=bcde\n");
        assert_eq!((extension.name.as_deref(), extension.size), (Some("some/path"), Some(123)));
        for bad in [&b"999999 path=x\n"[..], b"0 path=x\n", b"x y\n", b" ", b"3 \xff\n", b"99999999999999999999 a=b\n"]
        {
            let extension = pax(bad);
            assert!(extension.name.is_none() && extension.size.is_none());
        }
    }

    #[test]
    fn what_is_no_tar_is_told() {
        for (bytes, expected) in [([&[0x1f, 0x8b], &[0; 600][..]].concat(), "compressed"), (vec![b'x'; 600], "no tar")]
        {
            let error = archive(&bytes).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let mut header = Header::new_gnu();
        header.set_path("index.json").unwrap();
        header.set_size(1 << 40);
        header.set_cksum();
        let error = archive(header.as_bytes()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
        assert!(archive(b"").unwrap().open("index.json").unwrap().is_none());
    }
}
