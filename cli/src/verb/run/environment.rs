//! The variables of a container: the image's, then `--env-file`, then `--env`.

use std::path::Path;

use crate::error::{Error, Result, While};

/// The longest file of variables that is read.
const MAX_FILE: u64 = 4 << 20;

/// Variables in order; setting one again replaces it in its place.
#[derive(Debug, Default)]
pub(in crate::verb) struct Environment {
    pub(in crate::verb) variables: Vec<(String, String)>,
}

impl Environment {
    /// Sets one.
    pub(in crate::verb) fn set(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Sets `NAME=value`, or `NAME` from our own environment where it is there.
    pub(in crate::verb) fn set_written(&mut self, written: &str) -> Result {
        match written.split_once('=') {
            Some(("", _)) => Err(Error::usage(format!("--env {written}: the name is missing"))),
            Some((name, value)) => {
                self.set(name, value);
                Ok(())
            }
            None => {
                if let Some(value) = std::env::var_os(written) {
                    self.set(written, &value.to_string_lossy());
                }
                Ok(())
            }
        }
    }

    /// Sets every line of a file: `NAME=value`, `NAME`, `# comment`. Nothing is quoted or expanded.
    pub(in crate::verb) fn read_file(&mut self, path: &Path) -> Result {
        let what = format!("--env-file {}", path.display());
        let size = std::fs::metadata(path).during(&what)?.len();
        if size > MAX_FILE {
            return Err(Error::usage(format!("{what}: {size} bytes are more than the {MAX_FILE} that are read")));
        }
        let text = std::fs::read_to_string(path).during(&what)?;
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let name = line.split('=').next().unwrap_or_default();
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(Error::usage(format!("{what}:{}: `{name}` is not a name", number + 1)));
            }
            self.set_written(line).during(&what)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_values_win_in_place() {
        let mut environment = Environment::default();
        for written in ["A=1", "B=2", "A=3=4", "SURELY_NOT_SET_ANYWHERE"] {
            environment.set_written(written).unwrap();
        }
        assert_eq!(environment.variables, [("A".to_owned(), "3=4".to_owned()), ("B".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn files_are_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("env");
        std::fs::write(&path, "# x\n\n  A=a b\nB=\"q\"\n").unwrap();
        let mut environment = Environment::default();
        environment.read_file(&path).unwrap();
        assert_eq!(environment.variables, [("A".to_owned(), "a b".to_owned()), ("B".to_owned(), "\"q\"".to_owned())]);
        std::fs::write(&path, "A B=1\n").unwrap();
        assert!(environment.read_file(&path).unwrap_err().message().contains(":1: `A B`"));
    }
}
