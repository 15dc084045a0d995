//! `.image`: a service that pulls one.

use super::super::unit::{Section, Unit};
use super::key::{self, Becomes, Row};
use super::{Making, Problem, Source};

const SECTION: &str = "Image";

/// Its keys.
const KEYS: &[Row] = &[
    ("Arch", Becomes::Own),
    ("AuthFile", Becomes::One("--authfile")),
    ("EstibaArgs", Becomes::Arguments),
    ("Image", Becomes::Own),
    ("ImageTag", Becomes::Own),
    ("OS", Becomes::Own),
    ("PodmanArgs", Becomes::Arguments),
    ("ServiceName", Becomes::Own),
    ("TLSVerify", Becomes::Own),
    ("Variant", Becomes::Own),
];

/// The image that it pulls.
pub(super) fn name(source: &Source) -> Result<String, Problem> {
    let section = source.unit.section(SECTION);
    let named = section.and_then(|section| section.last("ImageTag").or_else(|| section.last("Image")));
    named.map(str::to_owned).ok_or(Problem::Missing(SECTION, "Image"))
}

pub(super) fn unit(making: &Making<'_>) -> Result<Unit, Problem> {
    let empty = Section::default();
    let section = making.source.unit.section(SECTION).unwrap_or(&empty);
    let image = section.last("Image").ok_or(Problem::Missing(SECTION, "Image"))?;
    let mut unit = making.begin(SECTION);
    let mut command = making.command(&["pull"]);
    command.extend(key::options(making, SECTION, section, KEYS)?);
    command.extend(platform(section));
    if section.last("TLSVerify").map(|value| key::switch("TLSVerify", value)).transpose()? == Some(false) {
        command.push("--tls-verify=false".to_owned());
    }
    command.push(image.to_owned());
    making.once(&mut unit, &command);
    Ok(unit)
}

/// `--platform`, where anything of it is given.
pub(super) fn platform(section: &Section) -> Vec<String> {
    let (os, arch, variant) = (section.last("OS"), section.last("Arch"), section.last("Variant"));
    if os.is_none() && arch.is_none() {
        return Vec::new();
    }
    let mut platform = format!("{}/{}", os.unwrap_or("linux"), arch.unwrap_or(std::env::consts::ARCH));
    if let Some(variant) = variant {
        platform = format!("{platform}/{variant}");
    }
    vec!["--platform".to_owned(), platform]
}
