//! Which system calls a container may make.

mod compile;
mod custom;
mod profile;
mod table;

use serde::{Deserialize, Serialize};
use sys::seccomp::Instruction;

pub(crate) use custom::settled;
pub(crate) use profile::{Rule, rules};

use super::caps::CapSet;
use super::error::StartError;

/// The filter of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// docker's default profile.
    Default,
    /// None.
    Unconfined,
    /// A profile in docker's JSON form, as text.
    Custom(String),
}

impl Seccomp {
    /// The filter as a program, for a container with these capabilities; `None` for none.
    ///
    /// # Errors
    /// A custom profile that can't be read.
    pub fn program(&self, caps: CapSet) -> Result<Option<Vec<Instruction>>, StartError> {
        match self {
            Self::Default => Ok(Some(profile::default_program(caps))),
            Self::Unconfined => Ok(None),
            Self::Custom(text) => custom::custom_program(text, caps).map(Some).map_err(StartError::Invalid),
        }
    }
}
