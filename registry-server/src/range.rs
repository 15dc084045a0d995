//! Ranges of bytes on the wire: those that a client asks for, and those that it says it sends.

use std::ops::Range;

/// What a `Range` header asks for, of content of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range, one of another unit, several of them, or one that breaks the grammar (RFC 9110, section 14.2).
    Whole,
    /// These bytes; never empty, never past the end.
    Slice(Range<u64>),
    /// 416: it begins beyond the end, or ends before it begins.
    Unsatisfiable,
}

/// Reads a `Range` header (RFC 9110, section 14.1.2) for content of `size` bytes.
pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((unit, set)) = header.and_then(|header| header.split_once('=')) else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return Wanted::Whole };
    let (start, end) = match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => return Wanted::Unsatisfiable,
        (Some(first), Some(last)) => (first, last.saturating_add(1).min(size)),
        (Some(first), None) if last.is_empty() => (first, size),
        (None, Some(count)) if first.is_empty() => (size.saturating_sub(count), size),
        _ => return Wanted::Whole,
    };
    if start < end { Wanted::Slice(start..end) } else { Wanted::Unsatisfiable }
}

/// Reads the `Content-Range` of a chunk: `FIRST-LAST`, both counted from 0 and included, and no unit
/// (distribution-spec, "Pushing a blob in chunks"). `None` where it is anything else.
pub fn sent(header: &str) -> Option<Range<u64>> {
    let (first, last) = header.split_once('-')?;
    let (first, last) = (digits(first)?, digits(last)?);
    (first <= last).then_some(first..last.checked_add(1)?)
}

/// Digits and nothing else (`u64` itself would take a `+`), of no more than 64 bits.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Digits; what is beyond 64 bits is beyond any content.
fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().unwrap_or(u64::MAX))
}

/// The value of a `Range` header of an upload that holds `offset` bytes. After none it is `0-0` as well, since
/// there is no range without a byte and clients want one that they can parse.
pub fn held(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_of_a_hundred_bytes() {
        use Wanted::{Slice, Unsatisfiable, Whole};
        for (header, expected) in [
            ("bytes=0-0", Slice(0..1)),
            ("bytes=0-99", Slice(0..100)),
            ("bytes=50-149", Slice(50..100)),
            ("bytes=50-", Slice(50..100)),
            ("bytes=-10", Slice(90..100)),
            ("bytes=-1000", Slice(0..100)),
            ("Bytes = 1-2", Slice(1..3)),
            ("bytes=0-18446744073709551615", Slice(0..100)),
            ("bytes=0-99999999999999999999999", Slice(0..100)),
            ("bytes=100-", Unsatisfiable),
            ("bytes=100-200", Unsatisfiable),
            ("bytes=50-0", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=0-1,5-6", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1--2", Whole),
            ("bytes=0x1-2", Whole),
            ("items=0-1", Whole),
            ("", Whole),
        ] {
            assert_eq!(wanted(Some(header), 100), expected, "{header}");
        }
        assert_eq!(wanted(None, 100), Whole);
        for header in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(wanted(Some(header), 0), Unsatisfiable, "{header} of nothing");
        }
    }

    #[test]
    fn chunks() {
        for (header, expected) in [
            ("0-0", Some(0..1)),
            ("10-19", Some(10..20)),
            ("0-18446744073709551614", Some(0..u64::MAX)),
            ("0-18446744073709551615", None),
            ("99999999999999999999-99999999999999999999", None),
            ("bytes 0-9/10", None),
            ("bytes=0-9", None),
            ("0-9/10", None),
            ("9-0", None),
            ("-9", None),
            ("9-", None),
            ("-", None),
            ("", None),
            ("+0-9", None),
            ("0--9", None),
            (" 0-9", None),
            ("٠-٩", None),
        ] {
            assert_eq!(sent(header), expected, "{header}");
        }
        assert_eq!((held(0).as_str(), held(1).as_str(), held(10).as_str()), ("0-0", "0-0", "0-9"));
    }

    proptest! {
        #[test]
        fn a_slice_lies_within(header in "(bytes=)?[0-9]{0,21}[-,]?[0-9]{0,21}", size: u64) {
            if let Wanted::Slice(range) = wanted(Some(&header), size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
