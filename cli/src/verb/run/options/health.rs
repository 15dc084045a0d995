//! How its health is asked.

use containers::config::{Health, INTERVAL, OnFailure, RETRIES, START_INTERVAL};
use oci::{ContainerConfig, Healthcheck};

use crate::duration;
use crate::error::{Error, Result};

/// How its health is asked.
#[derive(Debug, Default, clap::Args)]
pub(in crate::verb) struct Options {
    /// The command that tells the container's health: a line for its shell, or a list of words as JSON
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between two such questions [default: 30s]
    #[arg(long, value_name = "TIME")]
    health_interval: Option<String>,
    /// Time until one counts as failed [default: 30s]
    #[arg(long, value_name = "TIME")]
    health_timeout: Option<String>,
    /// Time after the start in which failures do not count
    #[arg(long, value_name = "TIME")]
    health_start_period: Option<String>,
    /// Time between two questions in that time [default: 5s]
    #[arg(long, value_name = "TIME")]
    health_start_interval: Option<String>,
    /// Failures in a row that make it unhealthy [default: 3]
    #[arg(long, value_name = "N")]
    health_retries: Option<u32>,
    /// What happens then: none, kill, stop or restart
    #[arg(long, value_name = "ACTION")]
    health_on_failure: Option<String>,
    /// Do not ask, whatever the image says
    #[arg(long)]
    no_healthcheck: bool,
}

impl Options {
    pub(super) fn settle(&self, defaults: &ContainerConfig) -> Result<Option<Health>> {
        let given = [
            &self.health_cmd,
            &self.health_interval,
            &self.health_timeout,
            &self.health_start_period,
            &self.health_start_interval,
        ];
        if self.no_healthcheck {
            if given.iter().any(|option| option.is_some()) || self.health_retries.is_some() {
                return Err(Error::usage("--no-healthcheck conflicts with --health-* options"));
            }
            return Ok(None);
        }
        let image = defaults.healthcheck.clone().unwrap_or_default();
        let test = match &self.health_cmd {
            Some(command) => test(command)?,
            None => image.test.clone(),
        };
        match test.first().map(String::as_str) {
            None | Some("NONE") => Ok(None),
            Some("CMD" | "CMD-SHELL") if test.len() > 1 => self.with(test, &image, defaults).map(Some),
            Some(other) => Err(Error::usage(format!(
                "the image's HEALTHCHECK begins with {other:?}: expected CMD or CMD-SHELL and a command"
            ))
            .hint("--health-cmd COMMAND sets another, --no-healthcheck none")),
        }
    }

    fn with(&self, test: Vec<String>, image: &Healthcheck, defaults: &ContainerConfig) -> Result<Health> {
        let inherited = |own: i64, default: u64| u64::try_from(own).ok().filter(|own| *own > 0).unwrap_or(default);
        let settled = |name: &str, written: &Option<String>, own: i64, default: u64| match written {
            Some(written) => nanoseconds(name, written).map(|time| if time == 0 { default } else { time }),
            None => Ok(inherited(own, default)),
        };
        let retries = match self.health_retries {
            Some(0) | None => u32::try_from(image.retries).ok().filter(|own| *own > 0).unwrap_or(RETRIES),
            Some(retries) => retries,
        };
        Ok(Health {
            test,
            shell: defaults.shell.clone().unwrap_or_default(),
            interval: settled("interval", &self.health_interval, image.interval, INTERVAL)?,
            timeout: settled("timeout", &self.health_timeout, image.timeout, INTERVAL)?,
            start_period: settled("start-period", &self.health_start_period, image.start_period, 0)?,
            start_interval: settled(
                "start-interval",
                &self.health_start_interval,
                image.start_interval,
                START_INTERVAL,
            )?,
            retries,
            on_failure: on_failure(self.health_on_failure.as_deref())?,
        })
    }
}

/// `none`, a list of words as JSON, or a line for the shell.
fn test(command: &str) -> Result<Vec<String>> {
    let bad = || Error::usage(format!("--health-cmd {command}: the command is missing"));
    if command.trim_start().starts_with('[')
        && let Ok(words) = serde_json::from_str::<Vec<String>>(command)
    {
        return match words.first().map(String::as_str) {
            None => Err(bad()),
            Some("CMD" | "CMD-SHELL" | "NONE") => Ok(words),
            Some(_) => Ok(std::iter::once("CMD".to_owned()).chain(words).collect()),
        };
    }
    match command.trim() {
        "" => Err(bad()),
        "none" => Ok(vec!["NONE".to_owned()]),
        _ => Ok(vec!["CMD-SHELL".to_owned(), command.to_owned()]),
    }
}

fn nanoseconds(name: &str, written: &str) -> Result<u64> {
    /// Shorter ones are docker's errors, too.
    const LEAST: u64 = 1_000_000;
    let bad =
        || Error::usage(format!("--health-{name} {written}: expected a time of at least 1ms, such as 30s or 1m30s"));
    if written == "0" {
        return Ok(0);
    }
    let time = duration::parse(written).ok_or_else(bad)?;
    let time = u64::try_from(time.as_nanos()).map_err(|_| bad())?;
    if time != 0 && time < LEAST { Err(bad()) } else { Ok(time) }
}

fn on_failure(written: Option<&str>) -> Result<OnFailure> {
    Ok(match written {
        None | Some("none") => OnFailure::None,
        Some("kill") => OnFailure::Kill,
        Some("stop") => OnFailure::Stop,
        Some("restart") => OnFailure::Restart,
        Some(other) => {
            return Err(Error::usage(format!("--health-on-failure {other}: expected none, kill, stop or restart")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(options: Options, image: Option<Healthcheck>) -> Result<Option<Health>> {
        options.settle(&ContainerConfig { healthcheck: image, ..ContainerConfig::default() })
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_image_asks_and_options_change_how() {
        let image =
            || Healthcheck { test: words(&["CMD", "probe"]), interval: 7_000_000_000, ..Healthcheck::default() };
        assert!(settled(Options::default(), None).unwrap().is_none());
        let own = settled(Options::default(), Some(image())).unwrap().unwrap();
        assert_eq!(
            (own.args(), own.interval, own.timeout, own.retries),
            (words(&["probe"]), 7_000_000_000, INTERVAL, 3)
        );
        let options = Options {
            health_cmd: Some("curl -f x".to_owned()),
            health_interval: Some("1.5s".to_owned()),
            health_on_failure: Some("kill".to_owned()),
            ..Options::default()
        };
        let own = settled(options, Some(image())).unwrap().unwrap();
        assert_eq!((own.args(), own.interval), (words(&["/bin/sh", "-c", "curl -f x"]), 1_500_000_000));
        assert_eq!(own.on_failure, OnFailure::Kill);
        let none = Healthcheck { test: words(&["NONE"]), ..Healthcheck::default() };
        assert!(settled(Options::default(), Some(none)).unwrap().is_none());
        assert!(settled(Options { no_healthcheck: true, ..Options::default() }, Some(image())).unwrap().is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let cmd = || Some("x".to_owned());
        for options in [
            Options { no_healthcheck: true, health_cmd: cmd(), ..Options::default() },
            Options { health_cmd: Some(" ".to_owned()), ..Options::default() },
            Options { health_cmd: cmd(), health_interval: Some("soon".to_owned()), ..Options::default() },
            Options { health_cmd: cmd(), health_timeout: Some("0.1ms".to_owned()), ..Options::default() },
            Options { health_cmd: cmd(), health_on_failure: Some("cry".to_owned()), ..Options::default() },
        ] {
            assert!(settled(options, None).is_err());
        }
        let odd = Healthcheck { test: words(&["RUN", "x"]), ..Healthcheck::default() };
        assert!(settled(Options::default(), Some(odd)).is_err());
    }
}
