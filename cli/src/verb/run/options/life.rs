//! `--rm`, `--restart`, `--stop-signal`, labels.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use containers::ContainerId;
use containers::config::{Life, Restart};
use oci::ContainerConfig;

use crate::error::{Error, Result, While};

/// The longest file of labels that is read.
const MAX_FILE: u64 = 4 << 20;

/// How it begins, ends and begins again.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Remove the container when it ends
    #[arg(long)]
    pub(in crate::verb) rm: bool,
    /// The container's name
    #[arg(long, value_name = "NAME")]
    pub(in crate::verb) name: Option<String>,
    /// Remove the container that has the name
    #[arg(long, requires = "name")]
    pub(in crate::verb) replace: bool,
    /// When it is started again: no, on-failure[:TIMES], always or unless-stopped
    #[arg(long, value_name = "POLICY", value_parser = restart)]
    restart: Option<Restart>,
    /// Label it: NAME=VALUE
    #[arg(short, long = "label", value_name = "NAME[=VALUE]")]
    labels: Vec<String>,
    /// Label it by the lines of a file
    #[arg(long = "label-file", value_name = "FILE")]
    label_files: Vec<PathBuf>,
    /// Annotate its OCI configuration: NAME=VALUE
    #[arg(long = "annotation", value_name = "NAME=VALUE")]
    annotations: Vec<String>,
    /// The signal that asks it to end [default: the image's, else SIGTERM]
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds between that and SIGKILL; -1 is for ever [default: 10]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    stop_timeout: Option<i64>,
    /// Write its id into a file that is not there yet
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
    /// Write the number of its first process into a file
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
}

impl Options {
    /// What can be refused before an image is fetched.
    pub(in crate::verb) fn check(&self) -> Result {
        if let Some(path) = self.cidfile.as_ref().filter(|path| path.exists()) {
            return Err(Error::usage(format!("--cidfile {}: the file is there already", path.display()))
                .hint("another container may run by it; remove the file, or name another"));
        }
        if self.rm && self.restart.is_some_and(|policy| policy != Restart::No) {
            return Err(Error::usage("--rm and --restart contradict each other: what is removed is not started again"));
        }
        Ok(())
    }

    pub(super) fn settle(&self, defaults: &ContainerConfig) -> Result<Life> {
        let signal = self.stop_signal.clone().unwrap_or_else(|| defaults.stop_signal.clone());
        if let Some(written) = &self.stop_signal
            && containers::signal::parse(written).is_none()
        {
            return Err(Error::usage(format!("--stop-signal {written}: no such signal")));
        }
        Ok(Life {
            // Said by the verb.
            at_once: false,
            remove: self.rm,
            restart: self.restart.unwrap_or_default(),
            stop_signal: Some(signal).filter(|signal| !signal.is_empty()),
            stop_timeout: self.stop_timeout,
            labels: self.all_labels(defaults)?,
            annotations: self.annotations.iter().map(|written| annotation(written)).collect::<Result<_>>()?,
            pidfile: self.pidfile.as_ref().map(std::path::absolute).transpose()?,
        })
    }

    /// The image's labels, then those of files, then those of the command line.
    fn all_labels(&self, defaults: &ContainerConfig) -> Result<BTreeMap<String, String>> {
        let mut labels = defaults.labels.clone();
        for path in &self.label_files {
            let what = format!("--label-file {}", path.display());
            let size = std::fs::metadata(path).during(&what)?.len();
            if size > MAX_FILE {
                return Err(Error::usage(format!("{what}: {size} bytes are more than the {MAX_FILE} that are read")));
            }
            let text = std::fs::read_to_string(path).during(&what)?;
            for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                labels.extend([label(line).during(&what)?]);
            }
        }
        for written in &self.labels {
            labels.extend([label(written)?]);
        }
        Ok(labels)
    }

    /// Tells the id to who asked for it.
    pub(in crate::verb) fn write_cidfile(&self, id: &ContainerId) -> Result {
        let Some(path) = &self.cidfile else { return Ok(()) };
        let what = format!("--cidfile {}", path.display());
        let mut file = OpenOptions::new().write(true).create_new(true).open(path).during(&what)?;
        file.write_all(id.as_str().as_bytes()).during(&what)
    }
}

fn label(written: &str) -> Result<(String, String)> {
    let (name, value) = written.split_once('=').unwrap_or((written, ""));
    if name.is_empty() {
        return Err(Error::usage(format!("--label {written}: the name is missing")));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn annotation(written: &str) -> Result<(String, String)> {
    match written.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::usage(format!("--annotation {written}: expected NAME=VALUE"))),
    }
}

/// A policy as docker writes it.
pub(in crate::verb) fn restart(written: &str) -> Result<Restart, String> {
    let (policy, times) = written.split_once(':').map_or((written, None), |(policy, times)| (policy, Some(times)));
    match (policy, times) {
        ("" | "no" | "never", None) => Ok(Restart::No),
        ("always", None) => Ok(Restart::Always),
        ("unless-stopped", None) => Ok(Restart::UnlessStopped),
        ("on-failure", None) => Ok(Restart::OnFailure(0)),
        ("on-failure", Some(times)) => {
            times.parse().map(Restart::OnFailure).map_err(|_| format!("`{times}` is not a number of times"))
        }
        ("no" | "always" | "unless-stopped", Some(_)) => Err(format!("`{policy}` takes no number of times")),
        _ => Err("expected no, on-failure[:TIMES], always or unless-stopped".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_written_as_in_docker() {
        for (written, policy) in [
            ("no", Restart::No),
            ("always", Restart::Always),
            ("unless-stopped", Restart::UnlessStopped),
            ("on-failure", Restart::OnFailure(0)),
            ("on-failure:3", Restart::OnFailure(3)),
        ] {
            assert_eq!(restart(written), Ok(policy), "{written}");
        }
        for bad in ["sometimes", "always:3", "on-failure:", "on-failure:-1", "on-failure:x"] {
            assert!(restart(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_come_from_three_places() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("labels");
        std::fs::write(&file, "# c\n\nb=2\nc\n").unwrap();
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let defaults = ContainerConfig { labels: [own("a", "1"), own("b", "1")].into(), ..Default::default() };
        let options = Options { labels: vec!["c=3".to_owned()], label_files: vec![file], ..Options::default() };
        let life = options.settle(&defaults).unwrap();
        assert_eq!(life.labels, [own("a", "1"), own("b", "2"), own("c", "3")].into());
        for bad in ["=x", ""] {
            assert!(label(bad).is_err(), "{bad}");
        }
        let bad = Options { stop_signal: Some("SIGNOPE".to_owned()), ..Options::default() };
        assert!(bad.settle(&defaults).unwrap_err().message().contains("SIGNOPE"));
    }
}
