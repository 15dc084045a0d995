//! Questions and answers of the domain name system (RFC 1035), as far as a server needs them that knows addresses of its own and
//! hands everything else on unread.

use std::net::IpAddr;

/// An address.
pub(super) const A: u16 = 1;
/// An IPv6 address.
pub(super) const AAAA: u16 = 28;
/// The name of an address.
pub(super) const PTR: u16 = 12;
/// Whatever there is.
const ANY: u16 = 255;
/// The internet's names: no other class is known here.
const INTERNET: u16 = 1;

/// The bytes of a header.
pub(super) const HEADER: usize = 12;
/// What a datagram holds where nobody agreed on more.
const DATAGRAM: usize = 512;
/// The longest name, its dots included.
const NAME_LIMIT: usize = 254;
/// How long an answer of ours is believed: containers come and go.
const TTL: u32 = 1;
/// Points at the name in the question.
const SAME_NAME: u16 = 0xc000 | 12;

/// How a question went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Outcome {
    /// Answered, even if by nothing.
    Fine = 0,
    /// Not understood.
    Malformed = 1,
    /// Nobody answered us.
    Failed = 2,
    /// There is no such name.
    NoName = 3,
    /// A kind of question that we have no answer to.
    Unknown = 4,
    /// Who asks is to ask somebody else.
    Refused = 5,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// Its number.
    pub(super) id: u16,
    /// The name, in small letters, without the last dot.
    pub(super) name: String,
    /// What is asked of it.
    pub(super) kind: u16,
    /// Where its bytes end.
    end: usize,
}

/// What a packet is that comes from a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A question.
    Question(Question),
    /// Something else, to which there is an answer.
    Other(Outcome),
    /// Nothing that is answered: too short, or itself an answer.
    Nothing,
}

/// Reads a question.
pub(super) fn read(packet: &[u8]) -> Read {
    let (Some(id), Some(flags)) = (short(packet, 0), short(packet, 2)) else { return Read::Nothing };
    if packet.len() < HEADER || flags & 0x8000 != 0 {
        return Read::Nothing;
    }
    if flags & 0x7800 != 0 {
        return Read::Other(Outcome::Unknown);
    }
    let parse = || {
        let (name, at) = name(packet, HEADER)?;
        let (kind, class) = (short(packet, at)?, short(packet, at + 2)?);
        let one = short(packet, 4) == Some(1) && (class == INTERNET || class == ANY);
        one.then_some(Question { id, name, kind, end: at + 4 })
    };
    parse().map_or(Read::Other(Outcome::Malformed), Read::Question)
}

/// The number of a packet.
pub(super) fn id(packet: &[u8]) -> Option<u16> {
    short(packet, 0)
}

/// Whether a packet is an answer.
pub(super) fn is_answer(packet: &[u8]) -> bool {
    packet.len() >= HEADER && packet[2] & 0x80 != 0
}

/// Gives a packet another number.
pub(super) fn renumber(packet: &mut [u8], id: u16) {
    packet[..2].copy_from_slice(&id.to_be_bytes());
}

/// An answer without records to whatever this is.
pub(super) fn outcome(packet: &[u8], outcome: Outcome) -> Vec<u8> {
    let end = match read(packet) {
        Read::Question(question) => question.end,
        _ => HEADER,
    };
    head(packet, end, outcome, 0)
}

/// The answer: those of the addresses that are asked for.
pub(super) fn addresses(packet: &[u8], question: &Question, addresses: &[IpAddr], datagram: bool) -> Vec<u8> {
    let wanted = addresses.iter().filter(|address| match question.kind {
        A => address.is_ipv4(),
        AAAA => address.is_ipv6(),
        kind => kind == ANY,
    });
    let records: Vec<Vec<u8>> = wanted
        .map(|address| match address {
            IpAddr::V4(v4) => record(A, &v4.octets()),
            IpAddr::V6(v6) => record(AAAA, &v6.octets()),
        })
        .collect();
    records_of(packet, question, &records, datagram)
}

/// The answer: a name.
pub(super) fn pointer(packet: &[u8], question: &Question, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty() && label.len() < 64) {
        // Checked just now.
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    records_of(packet, question, &[record(PTR, &bytes)], true)
}

/// The address that the name of a question for a name stands for.
pub(super) fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let mut parts: Vec<&str> = octets.split('.').collect();
        parts.reverse();
        return parts.join(".").parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let digits: Vec<&str> = name.strip_suffix(".ip6.arpa")?.split('.').collect();
    let text: String = digits.iter().rev().copied().collect();
    let fine = digits.len() == 32 && digits.iter().all(|digit| digit.len() == 1);
    u128::from_str_radix(&text, 16).ok().filter(|_| fine).map(|value| IpAddr::V6(value.into()))
}

fn records_of(packet: &[u8], question: &Question, records: &[Vec<u8>], datagram: bool) -> Vec<u8> {
    let room = if datagram { DATAGRAM - question.end.min(DATAGRAM) } else { usize::from(u16::MAX) - question.end };
    let mut used = 0;
    let fitting = records.iter().take_while(|record| {
        used += record.len();
        used <= room
    });
    let fitting: Vec<&Vec<u8>> = fitting.collect();
    let mut answer = head(packet, question.end, Outcome::Fine, fitting.len());
    if fitting.len() < records.len() {
        // Cut: who wants all asks again by TCP.
        answer[2] |= 0x02;
    }
    fitting.into_iter().for_each(|record| answer.extend_from_slice(record));
    answer
}

/// The header of an answer, and the question again.
fn head(packet: &[u8], end: usize, outcome: Outcome, answers: usize) -> Vec<u8> {
    let mut answer = packet[..end].to_vec();
    // An answer, of who should know; what was asked for recursion is kept.
    answer[2] = 0x80 | 0x04 | (packet[2] & 0x79);
    answer[3] = 0x80 | outcome as u8;
    let questions = u16::from(end > HEADER);
    answer[4..6].copy_from_slice(&questions.to_be_bytes());
    answer[6..8].copy_from_slice(&u16::try_from(answers).unwrap_or_default().to_be_bytes());
    answer[8..12].fill(0);
    answer
}

fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12 + data.len());
    for value in [SAME_NAME, kind, INTERNET] {
        bytes.extend_from_slice(&value.to_be_bytes());
    }
    bytes.extend_from_slice(&TTL.to_be_bytes());
    bytes.extend_from_slice(&u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// A name at `at`, and where it ends. A question has nothing to point back at, so a pointer is malformed.
fn name(packet: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        let label = packet.get(at..at + length).filter(|_| length < 64)?;
        if name.len() + length > NAME_LIMIT {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        // What is not ASCII, or has a dot in it, is no name of ours; it is handed on as it came.
        name.extend(label.iter().map(|byte| match byte {
            b'.' => '\u{fffd}',
            byte if byte.is_ascii() => char::from(byte.to_ascii_lowercase()),
            _ => '\u{fffd}',
        }));
        at += length;
    }
}

fn short(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A question of RFC 1035.
    pub(crate) fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.').filter(|label| !label.is_empty()) {
            packet.push(u8::try_from(label.len()).unwrap());
            packet.extend_from_slice(label.as_bytes());
        }
        packet.push(0);
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&1_u16.to_be_bytes());
        packet
    }

    #[test]
    fn questions_are_read() {
        let packet = question("Web.Front", A);
        let Read::Question(read) = read(&packet) else { panic!() };
        assert_eq!((read.id, read.name.as_str(), read.kind, read.end), (0x1234, "web.front", A, packet.len()));
    }

    #[test]
    fn what_is_no_question_harms_nobody() {
        let whole = question("web", A);
        for cut in 0..HEADER {
            assert_eq!(read(&whole[..cut]), Read::Nothing);
        }
        for cut in HEADER..whole.len() {
            assert_eq!(read(&whole[..cut]), Read::Other(Outcome::Malformed), "{cut}");
            outcome(&whole[..cut], Outcome::Malformed);
        }
        let mut answer = whole.clone();
        answer[2] |= 0x80;
        assert_eq!(read(&answer), Read::Nothing);
        let mut pointer = whole.clone();
        pointer[HEADER] = 0xc0;
        assert_eq!(read(&pointer), Read::Other(Outcome::Malformed));
        let mut update = whole.clone();
        update[2] |= 5 << 3;
        assert_eq!(read(&update), Read::Other(Outcome::Unknown));
        let mut many = whole;
        many[5] = 2;
        assert_eq!(read(&many), Read::Other(Outcome::Malformed));
        assert_eq!(read(&question(&"a.".repeat(200), A)), Read::Other(Outcome::Malformed));
    }

    #[test]
    fn answers_have_what_was_asked() {
        let packet = question("web", A);
        let Read::Question(asked) = read(&packet) else { panic!() };
        let all: Vec<IpAddr> = vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let answer = addresses(&packet, &asked, &all, true);
        assert_eq!(
            (id(&answer), is_answer(&answer), answer[3] & 15, &answer[6..8]),
            (Some(0x1234), true, 0, &[0, 1][..])
        );
        assert_eq!(&answer[answer.len() - 4..], &[10, 0, 0, 2]);
        // More than a datagram holds is cut, and says so.
        let many: Vec<IpAddr> = (0..60).map(|n| IpAddr::V4([10, 0, 0, n].into())).collect();
        let cut = addresses(&packet, &asked, &many, true);
        assert!(cut.len() <= DATAGRAM && cut[2] & 2 == 2);
        assert_eq!(addresses(&packet, &asked, &many, false)[6..8], [0, 60]);
        assert_eq!(outcome(&packet, Outcome::NoName)[3] & 15, 3);
    }

    #[test]
    fn names_of_addresses() {
        assert_eq!(reversed("2.0.89.10.in-addr.arpa"), Some("10.89.0.2".parse().unwrap()));
        let six = format!("2.{}0.0.d.f.ip6.arpa", "0.".repeat(27));
        assert_eq!(reversed(&six), Some("fd00::2".parse().unwrap()));
        for bad in ["", "x.in-addr.arpa", "1.2.3.in-addr.arpa", "1.2.ip6.arpa", "web"] {
            assert_eq!(reversed(bad), None, "{bad}");
        }
    }
}
