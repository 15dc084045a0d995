//! Units of containers that there are: `generate systemd`.

use std::path::PathBuf;

use super::unit::Unit;
use super::words;
use crate::config::MadeBy;

/// What is asked of the unit.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// The binary that it starts.
    pub binary: PathBuf,
    /// Whether the container is made anew at each start.
    pub new: bool,
    /// `Restart=`.
    pub restart: String,
    /// `RestartSec=`.
    pub restart_seconds: Option<u64>,
    /// Seconds that a stop may take before the container is killed.
    pub stop_timeout: u64,
    /// `TimeoutStartSec=`.
    pub start_timeout: Option<u64>,
    /// Before the container's name in the unit's; `container` without a wish.
    pub prefix: String,
    /// Between the two.
    pub separator: String,
    /// More lines of `[Unit]`.
    pub wants: Vec<String>,
    /// The same.
    pub after: Vec<String>,
    /// The same.
    pub requires: Vec<String>,
    /// `Environment=`.
    pub environment: Vec<String>,
}

/// The container of a unit.
#[derive(Debug, Clone)]
pub struct Subject<'s> {
    /// What names it: its name, or its id.
    pub name: &'s str,
    /// What was typed to make it.
    pub made_by: &'s MadeBy,
}

/// Options that a unit sets itself, with whether a value follows in the next word.
const OWN: [(&str, bool); 10] = [
    ("--rm", false),
    ("-d", false),
    ("--detach", false),
    ("--replace", false),
    ("--name", true),
    ("--restart", true),
    ("--sdnotify", true),
    ("--cidfile", true),
    ("--cgroups", true),
    ("--log-driver", true),
];

/// What systemd waits beyond the container's own patience.
const GRACE: u64 = 60;

/// The unit's name, without `.service`.
pub fn name(wishes: &Wishes, subject: &Subject<'_>) -> String {
    if wishes.prefix.is_empty() {
        return subject.name.to_owned();
    }
    format!("{}{}{}", wishes.prefix, wishes.separator, subject.name)
}

/// The unit.
pub fn unit(wishes: &Wishes, subject: &Subject<'_>) -> Unit {
    let binary = wishes.binary.display().to_string();
    let line = |all: &[String]| {
        let quoted = all.iter().map(|word| words::quote_literally(word));
        std::iter::once(words::quote(&binary)).chain(quoted).collect::<Vec<_>>().join(" ")
    };
    let own = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut unit = Unit::default();
    let of_unit = unit.section_mut("Unit");
    of_unit.add("Description", format!("Container {}", subject.name));
    of_unit.add("Wants", "network-online.target");
    of_unit.add("After", "network-online.target");
    for (key, all) in [("Wants", &wishes.wants), ("After", &wishes.after), ("Requires", &wishes.requires)] {
        all.iter().for_each(|value| of_unit.add(key, value.as_str()));
    }
    let service = unit.section_mut("Service");
    service.add("Environment", "ESTIBA_SYSTEMD_UNIT=%n");
    wishes.environment.iter().for_each(|variable| service.add("Environment", words::quote_literally(variable)));
    service.add("Restart", wishes.restart.as_str());
    if let Some(seconds) = wishes.restart_seconds {
        service.add("RestartSec", seconds.to_string());
    }
    if let Some(seconds) = wishes.start_timeout {
        service.add("TimeoutStartSec", seconds.to_string());
    }
    service.add("TimeoutStopSec", (wishes.stop_timeout + GRACE).to_string());
    let timeout = wishes.stop_timeout.to_string();
    if wishes.new {
        service.add("Type", "notify");
        service.add("NotifyAccess", "all");
        service.add("KillMode", "mixed");
        service.add("Delegate", "yes");
        let mut run = own(&["run", "--name", subject.name, "--replace", "--rm", "-d"]);
        run.extend(own(&["--cgroups=split", "--sdnotify=conmon", "--log-driver=passthrough"]));
        run.extend(without_own(&subject.made_by.options));
        run.extend(subject.made_by.words.iter().cloned());
        service.add("ExecStart", line(&run));
        service.add("ExecStop", line(&own(&["stop", "-i", "-t", &timeout, subject.name])));
        service.add("ExecStopPost", format!("-{}", line(&own(&["rm", "-v", "-f", subject.name]))));
    } else {
        // The command stays, attached: what the container says goes into the journal, and its exit code is the unit's.
        service.add("Type", "exec");
        service.add("KillMode", "mixed");
        service.add("ExecStart", line(&own(&["start", "--attach", "--sig-proxy=false", subject.name])));
        service.add("ExecStop", line(&own(&["stop", "-i", "-t", &timeout, subject.name])));
    }
    unit.section_mut("Install").add("WantedBy", "default.target");
    unit
}

/// Options without those that the unit sets.
fn without_own(options: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let (option, has_value) = word.split_once('=').map_or((word.as_str(), false), |(option, _)| (option, true));
        match OWN.iter().find(|(known, _)| *known == option) {
            Some((_, true)) if !has_value => drop(words.next()),
            Some(_) => {}
            None => kept.push(word.clone()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(new: bool) -> Wishes {
        Wishes {
            binary: "/usr/bin/estiba".into(),
            new,
            restart: "on-failure".to_owned(),
            restart_seconds: None,
            stop_timeout: 10,
            start_timeout: None,
            prefix: "container".to_owned(),
            separator: "-".to_owned(),
            wants: Vec::new(),
            after: vec!["db.service".to_owned()],
            requires: Vec::new(),
            environment: vec!["A=50%".to_owned()],
        }
    }

    #[test]
    fn what_is_there_is_started_and_what_is_new_is_run() {
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect();
        let made_by = MadeBy {
            options: words(&["--rm", "--name", "web", "-e", "P=$x 5%", "--restart=always"]),
            words: words(&["img", "--rm"]),
        };
        let subject = Subject { name: "web", made_by: &made_by };
        let text = unit(&wishes(false), &subject).to_string();
        assert!(text.contains("ExecStart=/usr/bin/estiba start --attach --sig-proxy=false web\n"), "{text}");
        assert!(text.contains("After=db.service\n") && text.contains("Environment=A=50%%\n"), "{text}");
        let text = unit(&wishes(true), &subject).to_string();
        let start = "ExecStart=/usr/bin/estiba run --name web --replace --rm -d --cgroups=split --sdnotify=conmon \
                     --log-driver=passthrough -e \"P=$$x 5%%\" img --rm\n";
        assert!(text.contains(start), "{text}");
        assert_eq!(name(&wishes(true), &subject), "container-web");
    }
}
