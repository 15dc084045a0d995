//! Ranges of bytes, as asked for and as answered.
//! Grammar: RFC 9110, sections 14.1.2 and 14.4.

/// Bytes of a blob: `start` to `end`, inclusive; without `end` to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end: Option<u64>,
}

impl ByteRange {
    /// The value of `Range`.
    pub fn header(&self) -> String {
        match self.end {
            Some(end) => format!("bytes={}-{end}", self.start),
            None => format!("bytes={}-", self.start),
        }
    }
}

/// What a `206` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end: u64,
    /// The size of the whole; `None` for `*`.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Reads `bytes 0-499/1000` or `bytes 0-499/*`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let (range, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
        let (start, end) = range.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let whole = start <= end && total.is_none_or(|total| end < total);
        whole.then_some(Self { start, end, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let of = |start, end, total| Some(ContentRange { start, end, total });
        for (text, expected) in [
            ("bytes 0-499/1000", of(0, 499, Some(1000))),
            ("bytes 500-999/*", of(500, 999, None)),
            ("bytes 0-0/1", of(0, 0, Some(1))),
            ("bytes 5-4/10", None),
            ("bytes 0-10/10", None),
            ("bytes */10", None),
            ("bytes 0-499", None),
            ("0-499/1000", None),
            ("bytes +0-4/9", None),
            ("bytes 0-18446744073709551616/*", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
        assert_eq!(ByteRange { start: 3, end: None }.header(), "bytes=3-");
        assert_eq!(ByteRange { start: 3, end: Some(9) }.header(), "bytes=3-9");
    }
}
