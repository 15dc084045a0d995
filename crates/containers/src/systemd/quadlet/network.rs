//! `.network`: a service that makes one.

use super::super::unit::{Section, Unit};
use super::super::words;
use super::key::{self, Becomes, Row};
use super::{Making, Problem, Source, stem};

const SECTION: &str = "Network";

/// Its keys.
const KEYS: &[Row] = &[
    ("DNS", Becomes::Each("--dns")),
    ("DisableDNS", Becomes::Switch("--disable-dns")),
    ("Driver", Becomes::One("--driver")),
    ("EstibaArgs", Becomes::Arguments),
    ("Gateway", Becomes::Each("--gateway")),
    ("IPRange", Becomes::Each("--ip-range")),
    ("IPv6", Becomes::Switch("--ipv6")),
    ("Internal", Becomes::Switch("--internal")),
    ("Label", Becomes::Words("--label")),
    ("NetworkDeleteOnStop", Becomes::Own),
    ("NetworkName", Becomes::Own),
    ("Options", Becomes::Each("--opt")),
    ("PodmanArgs", Becomes::Arguments),
    ("ServiceName", Becomes::Own),
    ("Subnet", Becomes::Each("--subnet")),
];

/// What the network is called.
pub(super) fn name(source: &Source) -> String {
    let named = source.unit.section(SECTION).and_then(|section| section.last("NetworkName"));
    named.map_or_else(|| format!("systemd-{}", stem(&source.path)), str::to_owned)
}

pub(super) fn unit(making: &Making<'_>) -> Result<Unit, Problem> {
    let empty = Section::default();
    let section = making.source.unit.section(SECTION).unwrap_or(&empty);
    let mut unit = making.begin(SECTION);
    let mut command = making.command(&["network", "create", "--ignore"]);
    command.extend(key::options(making, SECTION, section, KEYS)?);
    let name = name(making.source);
    command.push(name.clone());
    making.once(&mut unit, &command);
    if section.last("NetworkDeleteOnStop").map(|value| key::switch("NetworkDeleteOnStop", value)).transpose()?
        == Some(true)
    {
        let end = making.command(&["network", "rm", &name]);
        unit.section_mut("Service").add("ExecStopPost", words::join(end.iter().map(String::as_str)));
    }
    Ok(unit)
}
