//! `.volume`: a service that makes one.

use super::super::unit::{Section, Unit};
use super::key::{self, Becomes, Row};
use super::{Making, Problem, Source, stem};

const SECTION: &str = "Volume";

/// Its keys.
const KEYS: &[Row] = &[
    ("Copy", Becomes::Own),
    ("Device", Becomes::Own),
    ("Driver", Becomes::One("--driver")),
    ("EstibaArgs", Becomes::Arguments),
    ("Group", Becomes::Own),
    ("Label", Becomes::Words("--label")),
    ("Options", Becomes::Own),
    ("PodmanArgs", Becomes::Arguments),
    ("ServiceName", Becomes::Own),
    ("Type", Becomes::Own),
    ("User", Becomes::Own),
    ("VolumeName", Becomes::Own),
];

/// What the volume is called.
pub(super) fn name(source: &Source) -> String {
    let named = source.unit.section(SECTION).and_then(|section| section.last("VolumeName"));
    named.map_or_else(|| format!("systemd-{}", stem(&source.path)), str::to_owned)
}

pub(super) fn unit(making: &Making<'_>) -> Result<Unit, Problem> {
    let empty = Section::default();
    let section = making.source.unit.section(SECTION).unwrap_or(&empty);
    let mut unit = making.begin(SECTION);
    let mut command = making.command(&["volume", "create", "--ignore"]);
    command.extend(key::options(making, SECTION, section, KEYS)?);
    let mut options: Vec<String> = section.last("Options").map(str::to_owned).into_iter().collect();
    for (key, option) in [("User", "uid"), ("Group", "gid")] {
        options.extend(section.last(key).map(|id| format!("{option}={id}")));
    }
    let mut add = |value: String| command.extend(["--opt".to_owned(), value]);
    for (key, option) in [("Type", "type"), ("Device", "device")] {
        if let Some(value) = section.last(key) {
            add(format!("{option}={value}"));
        }
    }
    if !options.is_empty() {
        add(format!("o={}", options.join(",")));
    }
    if section.last("Copy").map(|value| key::switch("Copy", value)).transpose()? == Some(false) {
        add("nocopy".to_owned());
    }
    command.push(name(making.source));
    making.once(&mut unit, &command);
    Ok(unit)
}
