//! The htpasswd file: a line `name:hash` for each caller, `#` for comments.
//!
//! Hashes are bcrypt (`$2y$`, `$2a$`, `$2b$`) or argon2 in PHC form (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`). What
//! is quick to compute is quick to guess: `{SHA}`, `$apr1$`, crypt and clear text are refused.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use ring::digest;

/// The largest file: 100,000 names.
pub(crate) const LARGEST: u64 = 16 << 20;
/// The longest name, and the longest password.
pub(crate) const LONGEST_NAME: usize = 255;
/// Longer ones are no passwords; bcrypt sees 72 bytes of them anyway.
pub(crate) const LONGEST_PASSWORD: usize = 1024;
/// bcrypt's cost doubles with each step: 4 is its least, 16 takes 3 s.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=16;
/// argon2's memory in KiB: a check may not take more than 256 MiB.
const MOST_ARGON2_MEMORY: u32 = 256 << 10;
/// argon2's passes.
const MOST_ARGON2_PASSES: u32 = 64;
/// argon2's lanes; we compute them one after another.
const MOST_ARGON2_LANES: u32 = 16;

/// Why a password cannot be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not 1 to 255 bytes, or with a colon or a control character in it.
    #[error("a name has 1 to {LONGEST_NAME} bytes, without colons and control characters")]
    Name,
    /// Empty, or too long.
    #[error("a password has 1 to {LONGEST_PASSWORD} bytes (bcrypt: 72)")]
    Password,
    /// The hash function failed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// One caller's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hash {
    Bcrypt(String),
    Argon2(Box<PasswordHash>),
}

/// The file's content.
#[derive(Debug)]
pub struct Htpasswd {
    entries: HashMap<String, Hash>,
    /// What unknown names are checked against, so that they take as long as known ones: each name always the same.
    decoys: Vec<Hash>,
    chooser: RandomState,
    /// Tells one state of the file from another.
    pub(crate) generation: u64,
}

impl Htpasswd {
    /// Reads the file's bytes.
    ///
    /// # Errors
    /// `LINE: what is wrong`.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let chooser = RandomState::new();
        let mut entries = HashMap::new();
        let mut decoys = Vec::new();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let wrong = |reason: &str| format!("{}: {reason}", at + 1);
            let line = std::str::from_utf8(line).map_err(|_| wrong("it is not UTF-8"))?.trim_end_matches('\r');
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line.split_once(':').ok_or_else(|| wrong("a line is `name:hash`"))?;
            if !is_name(name) {
                return Err(wrong(&Error::Name.to_string()));
            }
            let hash = Hash::parse(hash).map_err(|reason| wrong(&reason))?;
            if decoys.len() < MOST_DECOYS {
                decoys.push(hash.clone());
            }
            if entries.insert(name.to_owned(), hash).is_some() {
                return Err(wrong("this name stands in the file twice"));
            }
        }
        if decoys.is_empty() {
            decoys.push(Hash::parse(SOME_HASH)?);
        }
        let generation = chooser.hash_one(bytes);
        Ok(Self { entries, decoys, chooser, generation })
    }

    /// Checks a password. Takes as long for names that are not there.
    pub fn verify(&self, name: &str, password: &[u8]) -> bool {
        let (hash, known) = match self.entries.get(name) {
            Some(hash) => (hash, true),
            None => (&self.decoys[self.decoy(name)], false),
        };
        hash.verify(password) & known
    }

    /// What stands for a caller's password without telling it: changes when the line does. `None` for unknown names.
    pub(crate) fn fingerprint(&self, name: &str) -> Option<String> {
        let hash = match self.entries.get(name)? {
            Hash::Bcrypt(text) => text.clone(),
            Hash::Argon2(hash) => hash.to_string(),
        };
        Some(super::jwt::encode(&digest::digest(&digest::SHA256, hash.as_bytes()).as_ref()[..16]))
    }

    fn decoy(&self, name: &str) -> usize {
        usize::try_from(self.chooser.hash_one(name)).unwrap_or(usize::MAX) % self.decoys.len()
    }
}

/// Enough to look like the file's mixture of hashes.
const MOST_DECOYS: usize = 64;

/// argon2id of a password that nobody has, at the default cost.
const SOME_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$7sGpR4H5Yj3hmfTJDT8CvJ2lA3LLTVS1vHBeyTcbbJ0";

impl Hash {
    fn parse(text: &str) -> Result<Self, String> {
        if ["$2y$", "$2a$", "$2b$"].iter().any(|start| text.starts_with(start)) {
            let cost = text.get(4..6).and_then(|cost| cost.parse().ok()).unwrap_or_default();
            let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
            if text.len() != 60 || text.as_bytes()[6] != b'$' || !text.bytes().skip(7).all(base64) {
                return Err("the bcrypt hash is malformed".to_owned());
            }
            if !BCRYPT_COSTS.contains(&cost) {
                return Err(format!("the bcrypt cost {cost} is not between 4 and 16"));
            }
            return Ok(Self::Bcrypt(text.to_owned()));
        }
        if text.starts_with("$argon2") {
            let hash = PasswordHash::new(text).map_err(|error| format!("the argon2 hash is malformed: {error}"))?;
            let parameters = argon2::Params::try_from(&hash).map_err(|error| format!("argon2: {error}"))?;
            argon2::Algorithm::try_from(hash.algorithm.as_str()).map_err(|error| format!("argon2: {error}"))?;
            if hash.salt.is_none() || hash.hash.is_none() {
                return Err("the argon2 hash is malformed: it lacks its salt or itself".to_owned());
            }
            if parameters.m_cost() > MOST_ARGON2_MEMORY
                || parameters.t_cost() > MOST_ARGON2_PASSES
                || parameters.p_cost() > MOST_ARGON2_LANES
            {
                return Err("the argon2 hash costs more than m=262144,t=64,p=16".to_owned());
            }
            return Ok(Self::Argon2(Box::new(hash)));
        }
        Err("only bcrypt and argon2 hashes are safe; `estiba registry htpasswd NAME` makes a line".to_owned())
    }

    fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
            Self::Argon2(hash) => Argon2::default().verify_password(password, hash.as_ref()).is_ok(),
        }
    }
}

/// How a new line's password is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// argon2id, 19 MiB, two passes: 20 ms.
    Argon2,
    /// bcrypt at this cost, for programs that know no argon2.
    Bcrypt(u32),
}

/// Makes a line of the file, without its end.
///
/// # Errors
/// When the name or the password cannot stand there.
pub fn line(name: &str, password: &str, kind: Kind) -> Result<String, Error> {
    if !is_name(name) {
        return Err(Error::Name);
    }
    let longest = if matches!(kind, Kind::Bcrypt(_)) { 72 } else { LONGEST_PASSWORD };
    if password.is_empty() || password.len() > longest || password.contains('\0') {
        return Err(Error::Password);
    }
    let hash = match kind {
        Kind::Argon2 => Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()),
        Kind::Bcrypt(cost) => {
            if !BCRYPT_COSTS.contains(&cost) {
                return Err(Error::Hash(format!("the cost {cost} is not between 4 and 16")));
            }
            let parts = bcrypt::hash_with_result(password, cost).map_err(|error| Error::Hash(error.to_string()))?;
            Ok(parts.format_for_version(bcrypt::Version::TwoY))
        }
    };
    hash.map(|hash| format!("{name}:{hash}")).map_err(|error| Error::Hash(error.to_string()))
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(':') && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `htpasswd -nbB -C 5`, Apache 2.4.
    const ALICE: &str = "alice:$2y$05$ZOhHob1FBQPoBYq1u.0jGejScIxl3hW/oqBiVbQTXjbH0ZEhtdcF6";

    #[test]
    fn every_kind_is_checked() {
        let argon2 = line("bob", "sécret", Kind::Argon2).unwrap();
        let bcrypt = line("carol", "secret", Kind::Bcrypt(4)).unwrap();
        let as_2a = bcrypt.replace("carol:$2y$", "dave:$2a$");
        let as_2b = bcrypt.replace("carol:$2y$", "erin:$2b$");
        let text = format!("# people\n\n{argon2}\r\n{bcrypt}\n{as_2a}\n{as_2b}\n");
        let file = Htpasswd::parse(text.as_bytes()).unwrap();
        let cases = [
            ("bob", "sécret", true),
            ("bob", "secret", false),
            ("bob", "", false),
            ("carol", "secret", true),
            ("carol", "secret ", false),
            ("dave", "secret", true),
            ("erin", "secret", true),
            ("nobody", "secret", false),
            ("", "", false),
        ];
        for (name, password, expected) in cases {
            assert_eq!(file.verify(name, password.as_bytes()), expected, "{name} {password}");
        }
    }

    #[test]
    fn wrong_lines_are_named() {
        let twice = format!("{ALICE}\n{ALICE}\n");
        let cases = [
            ("alice", "1: a line is"),
            ("\n\nalice:{SHA}xxxx", "3: only bcrypt and argon2"),
            ("alice:$apr1$abc$def", "1: only bcrypt"),
            ("alice:secret", "1: only bcrypt"),
            ("alice:$2y$05$short", "1: the bcrypt hash is malformed"),
            ("alice:$2y$31$C1AJtHrqVGWgxYZhDc.d/OSMVN8L.pDhnjg5ZJUMd0lsTSILuXZ5S", "1: the bcrypt cost 31"),
            ("alice:$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "1: the argon2 hash costs"),
            ("alice:$argon2id$v=19$m=19456,t=2,p=1", "1: the argon2 hash is malformed"),
            ("alice:$argon2x$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "1: argon2"),
            (":$2y$05$C1AJtHrqVGWgxYZhDc.d/OSMVN8L.pDhnjg5ZJUMd0lsTSILuXZ5S", "1: a name has"),
            ("al\u{1b}ice:$2y$05$C1AJtHrqVGWgxYZhDc.d/OSMVN8L.pDhnjg5ZJUMd0lsTSILuXZ5S", "1: a name has"),
            (twice.as_str(), "2: this name stands in the file twice"),
        ];
        for (text, expected) in cases {
            let error = Htpasswd::parse(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        assert!(Htpasswd::parse(b"\xff:x").is_err());
    }

    #[test]
    fn unknown_names_meet_hashes_of_the_same_kind() {
        let text = format!("{}\n", line("carol", "secret", Kind::Bcrypt(4)).unwrap());
        let file = Htpasswd::parse(text.as_bytes()).unwrap();
        assert!(matches!(file.decoys[file.decoy("nobody")], Hash::Bcrypt(_)));
        assert!(!file.verify("nobody", b"secret"), "even where the decoy's password is right");
        let empty = Htpasswd::parse(b"").unwrap();
        assert!(!empty.verify("nobody", b"secret"));
    }

    #[test]
    fn fingerprints_follow_the_password() {
        let read = |line: &str| Htpasswd::parse(line.as_bytes()).unwrap().fingerprint("alice");
        let (one, two) = (read(ALICE), read(&line("alice", "x", Kind::Bcrypt(4)).unwrap()));
        assert!(one.is_some() && two.is_some());
        assert_ne!(one, two);
        assert_eq!(Htpasswd::parse(b"").unwrap().fingerprint("alice"), None);
    }

    #[test]
    fn lines_are_refused_that_could_not_be_read() {
        assert_eq!(line("a:b", "x", Kind::Argon2), Err(Error::Name));
        assert_eq!(line("a\nb", "x", Kind::Argon2), Err(Error::Name));
        assert_eq!(line("a", "", Kind::Argon2), Err(Error::Password));
        assert_eq!(line("a", &"x".repeat(73), Kind::Bcrypt(4)), Err(Error::Password));
    }

    const SEEDS: &[&str] = &[
        ALICE,
        "# a\n\nbob:$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$7sGpR4H5Yj3hmfTJDT8CvJ2lA3LLTVS1vHBeyTcbbJ0\r\n",
    ];

    proptest::proptest! {
        #[test]
        fn what_is_nearly_right_is_read_or_refused_by_line(text in crate::auth::mutation::mutated(SEEDS)) {
            if let Err(reason) = Htpasswd::parse(text.as_bytes()) {
                let line = reason.split_once(':').and_then(|(line, _)| line.parse::<usize>().ok());
                proptest::prop_assert!(line.is_some_and(|line| line >= 1), "{reason}");
            }
        }
    }
}
