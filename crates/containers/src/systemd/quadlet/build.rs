//! `.build`: a service that builds an image.

use super::super::unit::{Section, Unit};
use super::container::beside;
use super::image::platform;
use super::key::{self, Becomes, Row};
use super::{Making, Problem, Source};

const SECTION: &str = "Build";

/// Its keys.
const KEYS: &[Row] = &[
    ("Annotation", Becomes::Words("--annotation")),
    ("Arch", Becomes::Own),
    ("BuildArg", Becomes::Words("--build-arg")),
    ("DNS", Becomes::Each("--dns")),
    ("Environment", Becomes::Refused("`BuildArg=` gives a build a value")),
    ("EstibaArgs", Becomes::Arguments),
    ("File", Becomes::Own),
    ("ImageTag", Becomes::Each("--tag")),
    ("Label", Becomes::Words("--label")),
    ("Network", Becomes::One("--network")),
    ("OS", Becomes::Own),
    ("PodmanArgs", Becomes::Arguments),
    ("Pull", Becomes::One("--pull")),
    ("Secret", Becomes::Each("--secret")),
    ("ServiceName", Becomes::Own),
    ("SetWorkingDirectory", Becomes::Own),
    ("Target", Becomes::One("--target")),
    ("Variant", Becomes::Own),
];

/// The image that it builds.
pub(super) fn name(source: &Source) -> Result<String, Problem> {
    let section = source.unit.section(SECTION);
    let named = section.and_then(|section| section.last("ImageTag"));
    named.map(str::to_owned).ok_or(Problem::Missing(SECTION, "ImageTag"))
}

pub(super) fn unit(making: &Making<'_>) -> Result<Unit, Problem> {
    let empty = Section::default();
    let section = making.source.unit.section(SECTION).unwrap_or(&empty);
    name(making.source)?;
    let mut unit = making.begin(SECTION);
    let mut command = making.command(&["build", "--progress=plain"]);
    command.extend(key::options(making, SECTION, section, KEYS)?);
    command.extend(platform(section));
    if let Some(file) = section.last("File") {
        let file = if file.contains("://") { file.to_owned() } else { beside(making, file) };
        command.extend(["--file".to_owned(), file]);
    }
    command.push(match section.last("SetWorkingDirectory") {
        None | Some("unit") => beside(making, "."),
        Some("file") => {
            let file = section.last("File").ok_or(Problem::Missing(SECTION, "File"))?;
            let file = std::path::PathBuf::from(beside(making, file));
            file.parent().unwrap_or(std::path::Path::new("/")).display().to_string()
        }
        Some(folder) if folder.contains("://") => folder.to_owned(),
        Some(folder) => beside(making, folder),
    });
    making.once(&mut unit, &command);
    Ok(unit)
}
