//! Messages of D-Bus: the few kinds of values that we send, and of answers what we must know.

use super::SystemdError;

/// What a message begins with, before its variable fields.
pub(super) const FIXED: usize = 16;
/// No message to us is near it; the specification allows 128 MiB.
pub(super) const MAX_MESSAGE: usize = 1 << 20;

const METHOD_CALL: u8 = 1;
const ERROR: u8 = 3;
const METHOD_RETURN: u8 = 2;

/// Header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Values that are properties of units.
pub(super) enum Value<'a> {
    Text(&'a str),
    Numbers(Vec<u32>),
    Flag(bool),
}

/// A call of the manager, or of the bus.
pub(super) struct Call {
    destination: &'static str,
    path: &'static str,
    interface: &'static str,
    member: &'static str,
    signature: &'static str,
    body: Buffer,
}

/// Little-endian, each value at a multiple of its size.
#[derive(Default)]
struct Buffer(Vec<u8>);

impl Buffer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    /// An array: its length in bytes, the padding before its first element, which does not count, its elements.
    fn array(&mut self, alignment: usize, fill: impl FnOnce(&mut Self)) {
        self.u32(0);
        let at = self.0.len() - 4;
        self.align(alignment);
        let begin = self.0.len();
        fill(self);
        let length = u32::try_from(self.0.len() - begin).unwrap_or(u32::MAX);
        self.0[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn numbers(&mut self, numbers: &[u32]) {
        self.array(4, |array| numbers.iter().for_each(|number| array.u32(*number)));
    }

    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Text(text) => {
                self.signature("s");
                self.string(text);
            }
            Value::Numbers(numbers) => {
                self.signature("au");
                self.numbers(numbers);
            }
            Value::Flag(flag) => {
                self.signature("b");
                self.u32(u32::from(*flag));
            }
        }
    }

    fn field(&mut self, code: u8, kind: &str, text: &str) {
        self.align(8);
        self.0.push(code);
        self.signature(kind);
        if kind == "g" { self.signature(text) } else { self.string(text) }
    }
}

impl Call {
    /// A method of the service manager's.
    pub(super) fn new(member: &'static str, signature: &'static str) -> Self {
        Self {
            destination: "org.freedesktop.systemd1",
            path: "/org/freedesktop/systemd1",
            interface: "org.freedesktop.systemd1.Manager",
            member,
            signature,
            body: Buffer::default(),
        }
    }

    /// What a bus wants to hear first.
    pub(super) fn hello() -> Self {
        Self {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            ..Self::new("Hello", "")
        }
    }

    pub(super) fn string(&mut self, text: &str) {
        self.body.string(text);
    }

    pub(super) fn numbers(&mut self, numbers: &[u32]) {
        self.body.numbers(numbers);
    }

    /// `a(sv)`.
    pub(super) fn properties(&mut self, properties: &[(&str, Value<'_>)]) {
        self.body.array(8, |array| {
            for (name, value) in properties {
                array.align(8);
                array.string(name);
                array.value(value);
            }
        });
    }

    /// `a(sa(sv))`, without any.
    pub(super) fn no_units(&mut self) {
        self.body.array(8, |_| {});
    }

    /// The whole message.
    pub(super) fn message(&self, serial: u32) -> Vec<u8> {
        let mut all = Buffer(vec![b'l', METHOD_CALL, 0, 1]);
        all.u32(u32::try_from(self.body.0.len()).unwrap_or(u32::MAX));
        all.u32(serial);
        all.array(8, |fields| {
            fields.field(PATH, "o", self.path);
            fields.field(DESTINATION, "s", self.destination);
            fields.field(INTERFACE, "s", self.interface);
            fields.field(MEMBER, "s", self.member);
            if !self.signature.is_empty() {
                fields.field(SIGNATURE, "g", self.signature);
            }
        });
        all.align(8);
        all.0.extend_from_slice(&self.body.0);
        all.0
    }
}

/// How long a message is, by its first [`FIXED`] bytes.
pub(super) fn length(fixed: &[u8; FIXED]) -> Result<usize, SystemdError> {
    let wrong = |why: &str| SystemdError::Answer(why.to_owned());
    if fixed[0] != b'l' {
        return Err(wrong("a message that is not little-endian"));
    }
    let number = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]) as usize;
    let (body, fields) = (number(4), number(12));
    if body > MAX_MESSAGE || fields > MAX_MESSAGE {
        return Err(wrong("a message without end"));
    }
    Ok(FIXED + fields.next_multiple_of(8) + body)
}

/// What a whole message is to who waits for the answer to `serial`: `None` where it is another one.
pub(super) fn answer(message: &[u8], serial: u32) -> Option<Result<(), SystemdError>> {
    let kind = *message.get(1)?;
    let mut reader = Reader { bytes: message, at: 12 };
    let end = FIXED + reader.u32()? as usize;
    let (mut to, mut name) = (None, None);
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        match (code, reader.signature()?) {
            (REPLY_SERIAL, "u") => to = Some(reader.u32()?),
            (ERROR_NAME, "s") => name = Some(reader.string()?.to_owned()),
            (_, "s" | "o") => drop(reader.string()?),
            (_, "g") => drop(reader.signature()?),
            (_, "u") => drop(reader.u32()?),
            _ => return None,
        }
    }
    if to != Some(serial) {
        return None;
    }
    match kind {
        METHOD_RETURN => Some(Ok(())),
        ERROR => {
            reader.at = end.next_multiple_of(8);
            let message = reader.string().unwrap_or_default().to_owned();
            Some(Err(SystemdError::Refused { name: name.unwrap_or_default(), message }))
        }
        _ => None,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        let text = std::str::from_utf8(self.take(length)?).ok();
        self.take(1)?;
        text
    }

    fn signature(&mut self) -> Option<&'a str> {
        let length = usize::from(self.byte()?);
        let text = std::str::from_utf8(self.take(length)?).ok();
        self.take(1)?;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `busctl capture` shows a call: the fixed part, the fields, the body, each padded.
    #[test]
    fn a_call_is_laid_out_as_specified() {
        let mut call = Call::new("AttachProcessesToUnit", "ssau");
        call.string("u");
        call.string("");
        call.numbers(&[7]);
        let message = call.message(3);
        assert_eq!(&message[..4], b"l\x01\x00\x01");
        assert_eq!(length(message[..FIXED].try_into().unwrap()).unwrap(), message.len());
        let body = [1, 0, 0, 0, b'u', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0];
        assert_eq!(&message[message.len() - body.len()..], body);
    }

    fn said(kind: u8, to: u32, name: Option<&str>, text: &str) -> Vec<u8> {
        let mut body = Buffer::default();
        body.string(text);
        let mut all = Buffer(vec![b'l', kind, 0, 1]);
        all.u32(body.0.len() as u32);
        all.u32(9);
        all.array(8, |fields| {
            fields.field(SIGNATURE, "g", "s");
            fields.align(8);
            fields.0.push(REPLY_SERIAL);
            fields.signature("u");
            fields.u32(to);
            if let Some(name) = name {
                fields.field(ERROR_NAME, "s", name);
            }
        });
        all.align(8);
        all.0.extend_from_slice(&body.0);
        all.0
    }

    #[test]
    fn answers_are_told_from_signals_and_refusals() {
        assert!(matches!(answer(&said(METHOD_RETURN, 3, None, "/job"), 3), Some(Ok(()))));
        assert!(answer(&said(METHOD_RETURN, 4, None, "/job"), 3).is_none());
        assert!(answer(&said(4, 3, None, "a signal"), 3).is_none());
        let refused = answer(&said(ERROR, 3, Some("org.x"), "no"), 3).unwrap().unwrap_err();
        assert_eq!(refused.to_string(), "the service manager refused: no (org.x)");
        let whole = said(ERROR, 3, Some("org.x"), "no");
        for cut in 0..whole.len() {
            // Nothing is read that is not there.
            let _ = answer(&whole[..cut], 3);
        }
        let endless = [b'l', 2, 0, 1, 255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255];
        assert!(length(&endless).is_err());
    }
}
