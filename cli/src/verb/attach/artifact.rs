//! Files that are attached to an image in a registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use builder::transfer::copy::{self, Attachment, Place};
use oci::Platform;

use crate::error::{Error, Result};
use crate::ui::transfer::{Progress, ProgressArgs};
use crate::wire::{self, WireArgs};
use crate::{place, ui};

/// What a file is where nobody says.
const OCTETS: &str = "application/octet-stream";
/// RFC 6838: 127 letters on each side of the slash.
const LONGEST_TYPE: usize = 255;

/// What is attached, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Files for an image, each with its media type [default: application/octet-stream]
    #[arg(value_name = "FILE[:TYPE]")]
    pub(super) files: Vec<String>,
    /// The kind of artifact
    #[arg(long, value_name = "TYPE", value_parser = media_type, help_heading = "Files for an image")]
    pub(super) artifact_type: Option<String>,
    /// An annotation of the artifact
    #[arg(short, long = "annotation", value_name = "NAME=VALUE", value_parser = annotation, help_heading = "Files for an image")]
    annotations: Vec<(String, String)>,
    /// Of an index the image for this platform, and not the index
    #[arg(long, value_name = "OS/ARCH", help_heading = "Files for an image")]
    platform: Option<Platform>,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    wire: WireArgs,
}

/// Attaches files to an image.
pub(super) fn attach(image: &str, artifact_type: &str, args: &Options) -> Result<u8> {
    let subject = place::reference(image, "attach")?;
    let attachment = Attachment {
        artifact_type: artifact_type.to_owned(),
        files: args.files.iter().map(|text| file(text)).collect::<Result<_>>()?,
        annotations: args.annotations.iter().cloned().collect::<BTreeMap<_, _>>(),
        platform: args.platform.clone(),
    };
    let client = wire::client(&args.wire.setup_for(&subject.to_string())?)?;
    let progress = Progress::start(args.progress.mode());
    let sink = progress.sink();
    let attached = wire::together(async {
        match copy::attach(&client, &subject, &attachment, &sink).await {
            Ok(attached) => Ok(attached),
            Err(error) => Err(place::explain(error, &client, &Place::Registry(subject.clone())).await),
        }
    })?;
    progress.finish();
    let attached = attached?;
    if args.progress.quiet {
        ui::out(&format!("{}\n", attached.descriptor.digest))?;
        return Ok(0);
    }
    let name = subject.familiar_name();
    if let Some(tag) = &attached.listed_by_tag {
        ui::err(&format!(
            "{} the registry keeps no list of referrers: the tag {name}:{tag} stands in for it\n",
            ui::style::hint("note:")
        ));
    }
    ui::out(&format!("{name}@{}\nattached to {name}@{}\n", attached.descriptor.digest, attached.subject.digest))?;
    Ok(0)
}

/// `FILE:TYPE`, or `FILE`. A file that is there wins over a name with a colon.
fn file(text: &str) -> Result<(PathBuf, String)> {
    let (path, kind) = match text.rsplit_once(':') {
        Some((path, kind)) if kind.contains('/') && !Path::new(text).exists() => (path, Some(kind)),
        _ => (text, None),
    };
    let kind = kind.map(media_type).transpose().map_err(Error::usage)?;
    if !Path::new(path).is_file() {
        return Err(Error::failed(format!("there is no file `{path}`")));
    }
    Ok((PathBuf::from(path), kind.unwrap_or_else(|| OCTETS.to_owned())))
}

/// A media type by the grammar of RFC 6838.
fn media_type(text: &str) -> std::result::Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    let part =
        |part: &str| part.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && part.bytes().all(allowed);
    match text.split_once('/') {
        Some((kind, of)) if text.len() <= LONGEST_TYPE && part(kind) && part(of) => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no media type: it looks like `application/spdx+json`")),
    }
}

fn annotation(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is no NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for good in ["text/plain", "application/vnd.example.sbom.v1+json", "a/b"] {
            assert_eq!(media_type(good).as_deref(), Ok(good));
        }
        for bad in ["", "text", "text/", "/plain", "a/b/c", "te xt/plain", "text/plain; charset=x"] {
            assert!(media_type(bad).is_err(), "{bad}");
        }
    }
}
