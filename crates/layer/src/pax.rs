//! PAX records: `<length> <key>=<value>\n`, POSIX.1-2001, pax, "Extended Header".

use std::collections::BTreeMap;

/// The prefix of an extended attribute's key, as star, GNU tar and every container tool write it.
pub(crate) const XATTR: &[u8] = b"SCHILY.xattr.";

/// Why an extended header cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaxError {
    /// The lengths don't add up, or there is no `=`.
    #[error("an extended header has a malformed record")]
    Malformed,
    /// A value that doesn't fit its key.
    #[error("an extended header has an invalid {0}")]
    Value(&'static str),
}

/// What the records of one extended header say about the member that follows.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mtime: Option<i64>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) sparse: SparseRecords,
}

/// GNU's sparse keys, of its three PAX forms.
#[derive(Debug, Default)]
pub(crate) struct SparseRecords {
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    /// `GNU.sparse.size` and `GNU.sparse.realsize`.
    pub(crate) size: Option<u64>,
    pub(crate) blocks: Option<u64>,
    /// Form 0.0 repeats offset and numbytes; form 0.1 lists them: either way, numbers in pairs.
    pub(crate) map: Vec<u64>,
}

impl SparseRecords {
    pub(crate) fn is_empty(&self) -> bool {
        self.major.is_none() && self.size.is_none() && self.blocks.is_none() && self.map.is_empty()
    }
}

/// Splits the next record off `bytes`.
pub(crate) fn next_record<'a>(bytes: &mut &'a [u8]) -> Result<(&'a [u8], &'a [u8]), PaxError> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or(PaxError::Malformed)?;
    let length = decimal(&bytes[..space]).and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|length| *length > space + 1 && *length <= bytes.len()).ok_or(PaxError::Malformed)?;
    let (record, rest) = bytes.split_at(length);
    let record = record[space + 1..].strip_suffix(b"\n").ok_or(PaxError::Malformed)?;
    let equals = record.iter().position(|byte| *byte == b'=').ok_or(PaxError::Malformed)?;
    *bytes = rest;
    if equals == 0 {
        return Err(PaxError::Malformed);
    }
    Ok((&record[..equals], &record[equals + 1..]))
}

impl Records {
    /// Reads an extended header for one member.
    pub(crate) fn parse(mut bytes: &[u8], max_runs: usize) -> Result<Records, PaxError> {
        let mut records = Records::default();
        while !bytes.is_empty() {
            let (key, value) = next_record(&mut bytes)?;
            records.take(key, value, max_runs)?;
        }
        Ok(records)
    }

    /// An empty value takes back what an earlier (global) header said, which here is nothing.
    fn take(&mut self, key: &[u8], value: &[u8], max_runs: usize) -> Result<(), PaxError> {
        match key {
            b"path" => self.path = text(value, "path")?,
            b"linkpath" => self.link = text(value, "link")?,
            b"size" => self.size = optional(value, decimal, "size")?,
            b"uid" => self.uid = optional(value, decimal_id, "uid")?,
            b"gid" => self.gid = optional(value, decimal_id, "gid")?,
            b"mtime" => self.mtime = optional(value, seconds, "time")?,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    self.xattrs.insert(decode_key(name)?, value.to_vec());
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(key, value, max_runs)?;
                }
            }
        }
        Ok(())
    }
}

impl SparseRecords {
    fn take(&mut self, key: &[u8], value: &[u8], max_runs: usize) -> Result<(), PaxError> {
        let number = || decimal(value).ok_or(PaxError::Value("sparse map"));
        match key {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"name" => self.name = text(value, "path")?,
            b"size" | b"realsize" => self.size = Some(number()?),
            b"numblocks" => self.blocks = Some(number()?),
            b"offset" | b"numbytes" => {
                // They must alternate, or a run would get another's length.
                if (key == b"offset") != self.map.len().is_multiple_of(2) {
                    return Err(PaxError::Value("sparse map"));
                }
                self.map.push(number()?);
            }
            b"map" => {
                self.map.clear();
                for part in value.split(|byte| *byte == b',') {
                    self.map.push(decimal(part).ok_or(PaxError::Value("sparse map"))?);
                    if self.map.len() > max_runs.saturating_mul(2) {
                        break;
                    }
                }
            }
            _ => {}
        }
        if self.map.len() > max_runs.saturating_mul(2) {
            return Err(PaxError::Value("sparse map"));
        }
        Ok(())
    }
}

/// Whether a record of a *global* header would change where following members lie or how long they are. Tools disagree
/// on those (some apply them, docker ignores them), so that one archive could show two contents.
pub(crate) fn is_dangerous_globally(key: &[u8]) -> bool {
    matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.")
}

fn text(value: &[u8], what: &'static str) -> Result<Option<Vec<u8>>, PaxError> {
    if value.contains(&0) {
        return Err(PaxError::Value(what));
    }
    Ok(if value.is_empty() { None } else { Some(value.to_vec()) })
}

fn optional<T>(value: &[u8], parse: fn(&[u8]) -> Option<T>, what: &'static str) -> Result<Option<T>, PaxError> {
    if value.is_empty() {
        return Ok(None);
    }
    parse(value).map(Some).ok_or(PaxError::Value(what))
}

/// Digits only: no sign, no spaces; at most what an `i64` holds, as file sizes are.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    let value = bytes.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })?;
    i64::try_from(value).ok().map(|_| value)
}

fn decimal_id(bytes: &[u8]) -> Option<u32> {
    decimal(bytes).and_then(|id| u32::try_from(id).ok())
}

/// A time such as `-12.5`: whole seconds, rounded down.
fn seconds(bytes: &[u8]) -> Option<i64> {
    let (negative, rest) = match bytes.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    let mut parts = rest.splitn(2, |byte| *byte == b'.');
    let whole = decimal(parts.next()?).and_then(|whole| i64::try_from(whole).ok())?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    match negative {
        false => Some(whole),
        true if fraction.iter().all(|digit| *digit == b'0') => Some(-whole),
        true => (-whole).checked_sub(1),
    }
}

/// Extended headers being written: records in the order they are pushed.
#[derive(Debug, Default)]
pub(crate) struct Builder(pub(crate) Vec<u8>);

impl Builder {
    /// Adds a record. Its length counts its own digits.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        let body = key.len() + value.len() + 3;
        let mut length = body + digits(body);
        if body + digits(length) != length {
            length = body + digits(length);
        }
        self.0.extend_from_slice(length.to_string().as_bytes());
        self.0.push(b' ');
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// An attribute's name as a key: `=` would end it, so it is written `%3D`, and `%` as `%25`, as GNU tar does.
pub(crate) fn encode_key(name: &[u8]) -> Vec<u8> {
    let mut key = XATTR.to_vec();
    for byte in name {
        match byte {
            b'=' => key.extend_from_slice(b"%3D"),
            b'%' => key.extend_from_slice(b"%25"),
            _ => key.push(*byte),
        }
    }
    key
}

fn decode_key(key: &[u8]) -> Result<Vec<u8>, PaxError> {
    // The kernel's own limit for a name; it has no NUL, and there is always something in it.
    const LONGEST: usize = 255;
    let mut name = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some((byte, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(b"%3D") {
            name.push(b'=');
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix(b"%25") {
            name.push(b'%');
            rest = tail;
        } else {
            name.push(*byte);
            rest = tail;
        }
    }
    if name.is_empty() || name.len() > LONGEST || name.contains(&0) {
        return Err(PaxError::Value("extended attribute"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_themselves() {
        for size in (0..20).chain(80..120).chain(970..1020).chain(9_970..10_020) {
            let value = vec![b'v'; size];
            let mut builder = Builder::default();
            builder.push(b"path", &value);
            let mut bytes = &builder.0[..];
            assert_eq!(next_record(&mut bytes), Ok((&b"path"[..], &value[..])));
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in [
            &b"5 a=b\n"[..],
            b"7 a=b\n",
            b"6 a=b ",
            b"6 ab  \n",
            b" a=b\n",
            b"-6 a=b\n",
            b"0 a=b\n",
            b"99999999999999999999999 a=b\n",
            b"5 =b\n",
            b"2 ",
            b"6",
        ] {
            assert!(Records::parse(bytes, 8).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn values_are_checked() {
        let parse = |key: &[u8], value: &[u8]| {
            let mut builder = Builder::default();
            builder.push(key, value);
            Records::parse(&builder.0, 2)
        };
        assert_eq!(parse(b"mtime", b"-1.5").unwrap().mtime, Some(-2));
        assert_eq!(parse(b"mtime", b"-1.000").unwrap().mtime, Some(-1));
        assert_eq!(parse(b"mtime", b"12.999999999").unwrap().mtime, Some(12));
        assert_eq!(parse(b"size", b"8589934592").unwrap().size, Some(8_589_934_592));
        assert_eq!(parse(b"size", b"").unwrap().size, None);
        assert_eq!(parse(b"uid", b"4294967295").unwrap().uid, Some(u32::MAX));
        for (key, value) in [
            (&b"size"[..], &b"-1"[..]),
            (b"size", b"9223372036854775808"),
            (b"size", b" 1"),
            (b"uid", b"4294967296"),
            (b"mtime", b"1.x"),
            (b"mtime", b"now"),
            (b"path", b"a\0b"),
            (b"SCHILY.xattr.", b"x"),
            (b"GNU.sparse.map", b"0,1,2,3,4,5"),
            (b"GNU.sparse.map", b"0,x"),
            (b"GNU.sparse.numbytes", b"1"),
        ] {
            assert!(parse(key, value).is_err(), "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn attribute_names_survive() {
        for name in [&b"user.a=b"[..], b"user.100%", b"user.%3D", b"user.\xff"] {
            let mut builder = Builder::default();
            builder.push(&encode_key(name), b"\0=\n");
            let records = Records::parse(&builder.0, 0).unwrap();
            assert_eq!(records.xattrs.get(name).unwrap(), b"\0=\n");
        }
    }
}
