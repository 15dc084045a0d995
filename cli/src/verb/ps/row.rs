//! One line of the list, in docker's words.

use containers::config::{MountSource, NetworkMode};
use containers::time::Moment;
use containers::{Config, Container, Status};
use serde_json::{Value, json};

use super::Sizes;
use crate::duration;
use crate::ui::style::harmless;

/// How much of a command is shown, in characters.
const COMMAND: usize = 20;
/// How much of a mount's name is shown.
const MOUNT: usize = 15;

const SECOND: u64 = 1_000_000_000;

/// Whether it is listed without being asked for.
pub(super) fn is_up(container: &Container) -> bool {
    match container.state.status {
        Status::Running | Status::Paused | Status::Restarting => true,
        Status::Created | Status::Exited => false,
    }
}

/// All fields of a container.
pub(super) const FIELDS: [&str; 16] = [
    "Command",
    "CreatedAt",
    "HealthStatus",
    "ID",
    "Image",
    "Labels",
    "LocalVolumes",
    "Mounts",
    "Names",
    "Networks",
    "Platform",
    "Ports",
    "RunningFor",
    "Size",
    "State",
    "Status",
];

/// One of them.
pub(super) fn cell(field: &str, container: &Container, now: Moment, whole: bool, sizes: Option<&Sizes>) -> Value {
    let config = &container.config;
    let text = match field {
        "Command" => command(config, whole),
        "CreatedAt" => duration::moment(seconds(config.created)),
        "HealthStatus" => container.state.health.as_ref().map(|health| health.status.clone()).unwrap_or_default(),
        "ID" => (if whole { config.id.as_str() } else { config.id.short() }).to_owned(),
        "Image" => harmless(&config.image.name),
        "Labels" => labels(config),
        "LocalVolumes" => mounts(config).iter().filter(|mount| !mount.starts_with('/')).count().to_string(),
        "Mounts" => shown_mounts(config, whole),
        "Names" => config.name.clone(),
        "Networks" => networks(config).join(","),
        "Platform" => config.image.platform.to_string(),
        "Ports" => super::ports::shown(container),
        "RunningFor" => duration::ago(since(config.created, now)),
        "Size" => sizes.map(|sizes| sizes.text(container)).unwrap_or_default(),
        "State" => return json!(container.state.status),
        "Status" => status(container, now),
        _ => String::new(),
    };
    Value::String(text)
}

fn labels(config: &Config) -> String {
    let labels: Vec<_> = config.life.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    harmless(&labels.join(","))
}

fn shown_mounts(config: &Config, whole: bool) -> String {
    let shown = |mount: String| if whole { mount } else { cut(&mount, MOUNT) };
    let mounts: Vec<_> = mounts(config).into_iter().map(shown).collect();
    harmless(&mounts.join(","))
}

/// "Up 5 minutes (healthy)", "Exited (0) 2 hours ago".
fn status(container: &Container, now: Moment) -> String {
    let state = &container.state;
    let up = || {
        let ago = duration::ago(since(state.started, now));
        format!("Up {}", ago.strip_suffix(" ago").unwrap_or(&ago))
    };
    let code = state.exit_code.unwrap_or_default();
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Paused => format!("{} (Paused)", up()),
        Status::Restarting => format!("Restarting ({code}) {}", duration::ago(since(state.finished, now))),
        Status::Exited => format!("Exited ({code}) {}", duration::ago(since(state.finished, now))),
        Status::Running => match state.health.as_ref().map(|health| health.status.as_str()) {
            None | Some("" | "none") => up(),
            Some("starting") => format!("{} (health: starting)", up()),
            Some(health) => format!("{} ({health})", up()),
        },
    }
}

/// The command in quotes, as Go writes strings: no character of it steers a terminal.
fn command(config: &Config, whole: bool) -> String {
    let all = config.process.args.join(" ");
    let shown = if whole { all } else { cut(&all, COMMAND) };
    let mut out = String::from("\"");
    for c in shown.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// So many characters, the last of them `…` where there are more.
fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(length - 1).collect();
    cut.push('…');
    cut
}

/// What is mounted: names of volumes, and paths of the host.
pub(super) fn mounts(config: &Config) -> Vec<String> {
    let source = |source: &MountSource| match source {
        MountSource::Bind { path, .. } | MountSource::Overlay { path } => Some(path.display().to_string()),
        MountSource::Volume { name, .. } => Some(name.clone()),
        MountSource::Memory(_) | MountSource::Image { .. } => None,
    };
    config.data.mounts.iter().filter_map(|mount| source(&mount.source)).collect()
}

/// The names of its networks.
pub(in crate::verb) fn networks(config: &Config) -> Vec<String> {
    match &config.network.mode {
        NetworkMode::Host => vec!["host".to_owned()],
        NetworkMode::None => vec!["none".to_owned()],
        NetworkMode::Private(_) => vec!["private".to_owned()],
        NetworkMode::Container(id) => vec![format!("container:{id}")],
        NetworkMode::Networks(places) => places.iter().map(|place| place.network.clone()).collect(),
    }
}

fn seconds(moment: Moment) -> i64 {
    i64::try_from(moment.0 / SECOND).unwrap_or(i64::MAX)
}

fn since(then: Moment, now: Moment) -> i64 {
    seconds(Moment(now.0.saturating_sub(then.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut_by_characters() {
        assert_eq!(cut("docker-entrypoint.sh postgres", COMMAND), "docker-entrypoint.s…");
        assert_eq!(cut("ääää", 4), "ääää");
        assert_eq!(cut("ääääa", 4), "äää…");
    }
}
