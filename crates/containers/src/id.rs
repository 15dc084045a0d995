//! Ids and names.

use serde::{Deserialize, Serialize};

/// How many digits of an id are shown.
pub const SHORT: usize = 12;
/// How many digits it has.
const DIGITS: usize = 64;

/// 64 hexadecimal digits that name a container for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// What cannot be an id or a name.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// An id is 64 lower-case hexadecimal digits.
    #[error("{0:?} is not the id of a container")]
    Id(String),
    /// docker's rule.
    #[error(
        "{0:?} cannot name a container: a name is letters, digits and `_.-`, at least two, the first a letter or digit"
    )]
    Name(String),
    /// The kernel gave no random bytes.
    #[error("getrandom: {0}")]
    Random(rustix::io::Errno),
}

impl ContainerId {
    /// A new one.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn random() -> Result<Self, NameError> {
        let mut bytes = [0; DIGITS / 2];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(NameError::Random)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, as lists show them.
    pub fn short(&self) -> &str {
        &self.0[..SHORT]
    }
}

impl TryFrom<String> for ContainerId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == DIGITS && text.bytes().all(digit) { Ok(Self(text)) } else { Err(NameError::Id(text)) }
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// docker's rule for names of containers, volumes and networks.
///
/// # Errors
/// [`NameError::Name`].
pub fn check_name(name: &str) -> Result<(), NameError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    // A file name holds no more.
    if first && (2..=255).contains(&name.len()) && name.bytes().all(word) {
        Ok(())
    } else {
        Err(NameError::Name(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dockers() {
        for good in ["a1", "web_1.x-y", "0a"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-a", ".a", "a/b", "a b", "a\n", "ä1", &"a".repeat(256)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        let id = ContainerId::random().unwrap();
        assert_eq!(ContainerId::try_from(id.to_string()).unwrap(), id);
        assert!(ContainerId::try_from("../x".to_owned()).is_err());
    }
}
