//! Netlink messages: a header, a family's own header, then attributes (netlink(7)).

/// What makes a message a request.
pub(super) const REQUEST: u16 = 0x01;
/// Asks for an answer when it is done.
pub(super) const ACK: u16 = 0x04;
/// Asks for all of a kind.
pub(super) const DUMP: u16 = 0x300;
/// Makes what is not there.
pub(super) const CREATE: u16 = 0x400;
/// Refuses what is there already.
pub(super) const EXCLUSIVE: u16 = 0x200;

/// The bytes of `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// Says that an attribute holds attributes.
const NESTED: u16 = 0x8000;
/// The bits of an attribute's kind that are its number.
const KIND: u16 = 0x3fff;

/// A message that is being written.
#[derive(Debug, Clone)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of this kind, behind whose header comes `family`, the header of its family.
    pub(super) fn new(kind: u16, flags: u16, family: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes.extend_from_slice(family);
        let mut message = Self { bytes };
        message.pad();
        message
    }

    /// An attribute.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(start);
        self
    }

    /// A number in the machine's order.
    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// A number in the network's order, as nf_tables has all of its numbers.
    pub(super) fn big(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Text, ended by a zero.
    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Attributes within an attribute.
    pub(super) fn nest(mut self, kind: u16, inner: impl FnOnce(Self) -> Self) -> Self {
        let start = self.open(kind | NESTED);
        let mut message = inner(self);
        message.close(start);
        message
    }

    /// Plain bytes: the header that some attributes begin with.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// The whole, with its length and number.
    pub(super) fn finish(mut self, sequence: u32, flags: u16) -> Vec<u8> {
        let flags = flags | u16::from_ne_bytes([self.bytes[6], self.bytes[7]]);
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The attributes in `bytes`, by kind; what is cut short ends them.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = bytes.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & KIND;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A number in the machine's order.
pub(super) fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// Text up to its zero.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let message = Message::new(16, ACK, &[1, 0, 0, 0])
            .text(3, "br0")
            .nest(18, |inner| inner.text(1, "bridge").number(2, 7))
            .finish(9, 0);
        assert_eq!(message.len() % 4, 0);
        assert_eq!(u32::from_ne_bytes(message[..4].try_into().unwrap()) as usize, message.len());
        let found: Vec<_> = attributes(&message[HEADER + 4..]).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, text(found[0].1).as_str()), (3, "br0"));
        let inner: Vec<_> = attributes(found[1].1).collect();
        assert_eq!((found[1].0, number(inner[1].1)), (18, Some(7)));
    }

    #[test]
    fn what_is_cut_short_ends() {
        for bytes in [&[][..], &[8, 0][..], &[8, 0, 1, 0, 5][..], &[0, 0, 0, 0][..], &[3, 0, 1, 0][..]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
    }
}
