//! How SSH writes things: RFC 4251, section 5.

/// A reader of such bytes. Everything gives `None` where the bytes end too early.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// A positive number of any size, without leading zeros.
    pub(super) fn integer(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(&bytes[zeros..])
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }
}

/// Adds a string.
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Adds a positive number: without leading zeros, but for one that keeps it positive.
pub(super) fn integer(out: &mut Vec<u8>, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    let mut positive = Vec::with_capacity(bytes.len() + 1);
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        positive.push(0);
    }
    positive.extend_from_slice(bytes);
    string(out, &positive);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_positive_and_short() {
        let written = |bytes: &[u8]| {
            let mut out = Vec::new();
            integer(&mut out, bytes);
            out
        };
        assert_eq!(written(&[0, 0, 0x7f]), [0, 0, 0, 1, 0x7f]);
        assert_eq!(written(&[0x80]), [0, 0, 0, 2, 0, 0x80]);
        assert_eq!(Reader(&written(&[0x80])).integer(), Some(&[0x80][..]));
        assert_eq!(Reader(&[0, 0, 0, 9, 1]).string(), None);
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff]).string(), None);
    }
}
