//! `--log-driver` and `--log-opt`, checked.

use crate::config::Logging;

use super::LogError;
use super::series::MAX_FILES;

/// The size at which a file of our own driver ends.
const MAX_SIZE: u64 = 64 << 20;
/// How many files of our own driver there are: with [`MAX_SIZE`], what a container may take of the disk by talking.
const FILES: u32 = 5;
/// Smaller files would be rotated all the time.
const MIN_SIZE: u64 = 4 << 10;

/// Who keeps what a container says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// We, in our own format.
    Local,
    /// We, in docker's.
    JsonFile,
    /// The system's journal.
    Journald,
    /// Nobody.
    None,
    /// Nobody: the container has the very streams of who started it.
    Passthrough,
}

/// How it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// By whom.
    pub driver: Driver,
    /// The size at which a file ends; `None` is never.
    pub max_size: Option<u64>,
    /// How many files there are at most.
    pub max_file: u32,
    /// What the journal calls it, as a template; `None` is its short id.
    pub tag: Option<String>,
    /// Labels that `logs --details` shows.
    pub labels: Vec<String>,
    /// Variables that `logs --details` shows.
    pub env: Vec<String>,
}

/// Names, docker's and podman's, and what they mean here.
const DRIVERS: &[(&str, Driver)] = &[
    ("local", Driver::Local),
    ("k8s-file", Driver::Local),
    ("json-file", Driver::JsonFile),
    ("journald", Driver::Journald),
    ("none", Driver::None),
    ("passthrough", Driver::Passthrough),
];

impl Driver {
    /// Its name.
    pub fn name(self) -> &'static str {
        DRIVERS.iter().find(|(_, driver)| *driver == self).map_or("local", |(name, _)| name)
    }
}

impl Settings {
    /// What was asked, checked.
    ///
    /// # Errors
    /// [`LogError::Option`]: a driver or an option that there is not.
    pub fn of(asked: &Logging) -> Result<Self, LogError> {
        let name = asked.driver.as_deref().unwrap_or("local");
        let driver = DRIVERS.iter().find(|(known, _)| *known == name).map(|(_, driver)| *driver).ok_or_else(|| {
            let known: Vec<_> = DRIVERS.iter().map(|(name, _)| *name).collect();
            LogError::Option(format!("there is no log driver `{name}`: there are {}", known.join(", ")))
        })?;
        let (max_size, max_file) = match driver {
            // docker's default for its own format: one file without end.
            Driver::JsonFile => (None, 1),
            _ => (Some(MAX_SIZE), FILES),
        };
        let mut settings = Self { driver, max_size, max_file, tag: None, labels: Vec::new(), env: Vec::new() };
        for (key, value) in &asked.options {
            settings.set(key, value)?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), LogError> {
        let bad = |expected: &str| LogError::Option(format!("--log-opt {key}={value}: expected {expected}"));
        let words = || value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let files = matches!(self.driver, Driver::Local | Driver::JsonFile);
        match key {
            "max-size" if files && value == "-1" => self.max_size = None,
            "max-size" if files => {
                let size = store::room::parse_size(value).filter(|size| *size >= MIN_SIZE);
                self.max_size = Some(size.ok_or_else(|| bad("a size from 4k on, like 10m; -1 is without end"))?);
            }
            "max-file" if files => {
                let number = value.parse().ok().filter(|number| (1..=MAX_FILES).contains(number));
                self.max_file = number.ok_or_else(|| bad("a number from 1 to 1000"))?;
            }
            "compress" if files && value == "false" => {}
            "compress" if files => return Err(bad("false: logs are not compressed here")),
            // Writing waits for nothing but the disk: there is one way to do it.
            "mode" if matches!(value, "blocking" | "non-blocking") => {}
            "mode" => return Err(bad("blocking or non-blocking")),
            "max-buffer-size" => {}
            "tag" => self.tag = Some(value.to_owned()),
            "labels" => self.labels = words(),
            "env" => self.env = words(),
            _ => {
                let name = self.driver.name();
                return Err(LogError::Option(format!(
                    "the log driver `{name}` has no option `{key}`: there are max-size, max-file, mode, tag, labels, env"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(driver: Option<&str>, options: &[(&str, &str)]) -> Result<Settings, LogError> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::of(&Logging { driver: driver.map(str::to_owned), options })
    }

    #[test]
    fn what_is_asked() {
        let own = settings(None, &[]).unwrap();
        assert_eq!((own.driver, own.max_size, own.max_file), (Driver::Local, Some(64 << 20), 5));
        let json = settings(Some("json-file"), &[("max-size", "10m"), ("max-file", "3")]).unwrap();
        assert_eq!((json.driver, json.max_size, json.max_file), (Driver::JsonFile, Some(10 << 20), 3));
        assert_eq!(settings(Some("json-file"), &[]).unwrap().max_size, None);
        assert_eq!(settings(None, &[("labels", "a, b")]).unwrap().labels, ["a", "b"]);
        for (driver, key, value) in [
            ("syslog", "tag", "x"),
            ("local", "max-size", "x"),
            ("local", "max-size", "1"),
            ("local", "max-file", "0"),
            ("local", "nothing", "x"),
            ("none", "max-size", "1m"),
            ("local", "compress", "true"),
        ] {
            assert!(settings(Some(driver), &[(key, value)]).is_err(), "{driver} {key}={value}");
        }
    }
}
