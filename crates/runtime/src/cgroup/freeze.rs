//! Standing still: `pause` and `unpause`.

use std::time::{Duration, Instant};

use super::group::{Group, GroupError};
use super::settings::Version;

/// How long processes have to stop. One that waits inside the kernel, for a disk or a FUSE server, cannot at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

impl Group {
    /// Stops all its processes; returns when all stand still.
    ///
    /// # Errors
    /// Where there is no freezer, or they do not stop in time: then they go on.
    pub fn freeze(&self) -> Result<(), GroupError> {
        let path = self.set_frozen(true)?;
        let begun = Instant::now();
        while !self.is_frozen() {
            if begun.elapsed() > PATIENCE {
                let _ = self.thaw();
                return Err(GroupError::NotFrozen(path));
            }
            std::thread::sleep(PAUSE);
            if self.version() == Version::One {
                // A process that was born meanwhile is seen only by the next write.
                let _ = self.set_frozen(true);
            }
        }
        Ok(())
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// Where there is no freezer.
    pub fn thaw(&self) -> Result<(), GroupError> {
        self.set_frozen(false).map(drop)
    }

    /// Whether all its processes stand still.
    pub fn is_frozen(&self) -> bool {
        match self.version() {
            Version::Two => super::usage::value(&self.read("cgroup.events").unwrap_or_default(), "frozen") == Some(1),
            Version::One => self.read("freezer.state").is_some_and(|state| state.trim() == "FROZEN"),
        }
    }

    fn set_frozen(&self, frozen: bool) -> Result<std::path::PathBuf, GroupError> {
        let (name, word) = match (self.version(), frozen) {
            (Version::Two, true) => ("cgroup.freeze", "1"),
            (Version::Two, false) => ("cgroup.freeze", "0"),
            (Version::One, true) => ("freezer.state", "FROZEN"),
            (Version::One, false) => ("freezer.state", "THAWED"),
        };
        let path = self.file(name).ok_or(GroupError::None)?;
        match std::fs::write(&path, word) {
            Ok(()) => Ok(path),
            Err(why) => Err(GroupError::Refused { call: format!("write {word} to"), path, why }),
        }
    }
}
