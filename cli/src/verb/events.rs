//! `estiba events`.

use containers::event::{Event, Journal};
use containers::time::Moment;
use rustix::event::Timespec;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde_json::{Value, json};

use crate::chosen;
use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::moment;
use crate::ui::{self, style};

const EXAMPLES: &str = "\
Examples:
  estiba events                                    What happens from now on
  estiba events --since 1h --until 0s              What happened in the last hour
  estiba events -f container=web -f event=die      The ends of one container
  estiba events --format '{{json .}}'

The journal is <store>/containers/events.jsonl; two files of 8 MiB are kept.";

/// How long nothing may be told of the journal, until it is looked at all the same.
const GLANCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Arguments of `estiba events`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Begin with what happened then: a time (2026-01-02T15:04:05Z, seconds since 1970) or a span (10m)
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    since: Option<Moment>,
    /// End there instead of waiting for more
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    until: Option<Moment>,
    /// Only those that have it: type=, event=, container=, image=, label=NAME[=VALUE], volume=, network=
    #[arg(short, long = "filter", value_name = "KEY=VALUE", value_parser = filter)]
    filters: Vec<Filter>,
    /// Print by a Go template, or as `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Wait for more (`--stream=false`: print what there is)
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    stream: bool,
    /// Print what there is, and end
    #[arg(long)]
    no_stream: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = chosen::containers(context)?;
    let follows = args.stream && !args.no_stream;
    // A span before now lies behind us: there is nothing to wait for.
    let waits = follows && args.until.is_none_or(|until| until > Moment::now());
    let since = match args.since {
        Some(since) => since,
        None if follows && args.until.is_none() => Moment::now(),
        None => Moment::NEVER,
    };
    let journal = Journal::new(containers.layout());
    let mut reader = journal.reader();
    let watch = if waits { Some(watch(&containers)?) } else { None };
    loop {
        for event in reader.take().map_err(|error| Error::failed(error.to_string()))? {
            if args.until.is_some_and(|until| event.time > until) {
                return Ok(0);
            }
            if event.time >= since && Filter::all(&args.filters, &event) {
                ui::out(&shown(&event, args.format.as_deref())?)?;
            }
        }
        match &watch {
            Some(watch) if args.until.is_none_or(|until| until > Moment::now()) => {
                let mut waited = [rustix::event::PollFd::new(watch, rustix::event::PollFlags::IN)];
                if rustix::event::poll(&mut waited, Some(&GLANCE)).is_ok_and(|ready| ready > 0) {
                    let mut events = [0; 4096];
                    while rustix::io::read(watch, &mut events).is_ok_and(|length| length > 0) {}
                }
            }
            _ => return Ok(0),
        }
    }
}

/// Tells when something is added.
fn watch(containers: &containers::Containers) -> Result<rustix::fd::OwnedFd> {
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).during("inotify_init")?;
    // Before the first container there is no folder: then it is looked for every now and then.
    let _ = inotify::add_watch(&inotify, containers.layout().containers(), WatchFlags::MODIFY | WatchFlags::CREATE);
    Ok(inotify)
}

fn shown(event: &Event, format: Option<&str>) -> Result<String> {
    let value = value(event);
    match format {
        Some("json") => Ok(serde_json::to_string(&json!({
            "status": event.action,
            "id": event.id,
            "from": event.attributes.get("image"),
            "Type": event.kind,
            "Action": event.action,
            "Actor": { "ID": event.id, "Attributes": event.attributes },
            "scope": "local",
            "time": event.time.0 / 1_000_000_000,
            "timeNano": event.time.0,
        }))? + "\n"),
        Some(template) => ui::object(template, &value),
        None => {
            let attributes: Vec<String> =
                event.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let line = format!(
                "{} {} {} {} ({})",
                event.time.rfc3339(),
                event.kind,
                event.action,
                event.id,
                attributes.join(", ")
            );
            // Labels and names come with images: they are shown, not obeyed, and end no line.
            Ok(style::harmless(&line) + "\n")
        }
    }
}

/// What a template sees.
fn value(event: &Event) -> Value {
    json!({
        "Type": event.kind,
        "Action": event.action,
        "Status": event.action,
        "ID": event.id,
        "From": event.attributes.get("image"),
        "Actor": { "ID": event.id, "Attributes": event.attributes },
        "Attributes": event.attributes,
        "Name": event.attributes.get("name"),
        "Scope": "local",
        "Time": event.time.0 / 1_000_000_000,
        "TimeNano": event.time.0,
    })
}

/// What an event must have.
#[derive(Debug, Clone)]
struct Filter {
    key: &'static str,
    value: String,
}

const KEYS: [&str; 7] = ["type", "event", "container", "image", "label", "volume", "network"];

fn filter(text: &str) -> std::result::Result<Filter, String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    match KEYS.into_iter().find(|known| *known == key) {
        Some(key) if !value.is_empty() => Ok(Filter { key, value: value.to_owned() }),
        _ => Err(format!("expected one of {}", KEYS.map(|key| format!("{key}=…")).join(", "))),
    }
}

impl Filter {
    /// docker's rule: values of one key are alternatives, labels and keys must all be met.
    fn all(filters: &[Self], event: &Event) -> bool {
        KEYS.iter().all(|key| {
            let mut of_key = filters.iter().filter(|filter| filter.key == *key).peekable();
            match *key {
                "label" => of_key.all(|filter| filter.matches(event)),
                _ => of_key.peek().is_none() || of_key.any(|filter| filter.matches(event)),
            }
        })
    }

    fn matches(&self, event: &Event) -> bool {
        let value = self.value.as_str();
        let attribute = |name: &str| event.attributes.get(name).is_some_and(|own| own == value);
        match self.key {
            "type" => event.kind == value,
            // `health_status: healthy` is found by its first word, too.
            "event" => event.action == value || event.action.split(':').next() == Some(value),
            "label" => match value.split_once('=') {
                Some((name, value)) => event.attributes.get(name).is_some_and(|own| own == value),
                None => event.attributes.contains_key(value),
            },
            "image" => attribute("image"),
            kind => {
                let own = event.kind == kind && (event.id.starts_with(value) || attribute("name"));
                own || attribute(kind)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_shapes() {
        let event = Event::now("container", "health_status: healthy", "abcdef")
            .with("name", "web")
            .with("image", "app")
            .with("tier", "front\x1b[2J\nend");
        let all = |texts: &[&str]| {
            let filters: Vec<_> = texts.iter().map(|text| filter(text).unwrap()).collect();
            Filter::all(&filters, &event)
        };
        assert!(all(&[]) && all(&["container=web"]) && all(&["container=abc", "event=health_status", "label=tier"]));
        assert!(all(&["container=other", "container=web"]) && !all(&["container=other"]) && !all(&["label=tier=x"]));
        assert!(filter("color=red").is_err() && filter("type").is_err());
        let line = shown(&event, None).unwrap();
        assert!(line.ends_with("(image=app, name=web, tier=frontend)\n"), "{line}");
        assert_eq!(shown(&event, Some("{{.Type}} {{.Actor.Attributes.name}}")).unwrap(), "container web\n");
    }
}
