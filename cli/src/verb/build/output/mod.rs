//! `--output`, as buildx writes it.

use std::path::PathBuf;

use builder::{Compress, CompressForm, Destination, Output};

use crate::error::{Error, Result};
use crate::keyed::Keyed;

const TYPES: [&str; 7] = ["image", "registry", "oci", "docker", "tar", "local", "cacheonly"];

const KEYS: [&str; 10] = [
    "type",
    "dest",
    "name",
    "tar",
    "compression",
    "compression-level",
    "force-compression",
    "rewrite-timestamp",
    "push",
    "unpack",
];

/// Options about what comes out.
#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Where the result goes: type=image|registry|oci|docker|tar|local|cacheonly[,dest=PATH][,compression=…]; a bare path is a folder, `-` a tar on standard output
    #[arg(short, long = "output", value_name = "OUTPUT")]
    pub(super) outputs: Vec<String>,
    /// Write the image's id into this file
    #[arg(long, value_name = "FILE")]
    pub(super) iidfile: Option<PathBuf>,
    /// Write digests and names of the result into this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) metadata_file: Option<PathBuf>,
    /// Push the image under its names
    #[arg(long)]
    pub(super) push: bool,
    /// The image goes into the store anyhow: accepted for docker's sake
    #[arg(long, hide = true)]
    pub(super) load: bool,
}

/// One `--output`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    /// What the builder does.
    pub(super) output: Output,
    /// More names for the image.
    pub(super) names: Vec<String>,
    /// Whether the image is pushed under its names, and in which form.
    pub(super) push: Option<Compress>,
}

/// Parses one `--output`.
pub(super) fn parse(written: &str) -> Result<Parsed> {
    if written == "-" {
        return Ok(Parsed { output: Output::Tar { dest: Destination::Stdout }, names: Vec::new(), push: None });
    }
    if !written.contains('=') {
        return Ok(Parsed { output: Output::Local { dest: absolute(written)? }, names: Vec::new(), push: None });
    }
    let mut keys = Keyed::parse(written)?;
    let kind = keys.take(&["type"]).ok_or_else(|| {
        Error::usage(format!("--output {written}: type= is missing"))
            .hint(format!("the types are {}", TYPES.join(", ")))
    })?;
    let dest = keys.take(&["dest", "destination"]);
    let names = keys.take(&["name"]).map(|names| names.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let push = keys.take_switch(&["push"])?.unwrap_or(kind == "registry");
    if push && !matches!(kind.as_str(), "image" | "registry") {
        return Err(Error::usage(format!("--output {written}: only type=image can be pushed"))
            .hint("`estiba copy oci-archive:FILE docker://NAME` pushes an archive"));
    }
    let tar = keys.take_switch(&["tar"])?.unwrap_or(true);
    let compression = compression(&mut keys)?;
    // These are what happens anyway.
    keys.take_switch(&["rewrite-timestamp"])?;
    keys.take_switch(&["unpack"])?;
    keys.finish(&format!("--output {written}"), &KEYS)?;
    let output = match kind.as_str() {
        "image" | "registry" => Output::Image,
        "oci" if tar => Output::Oci { dest: file(dest, written)?, tar, compression },
        "oci" => Output::Oci { dest: Destination::Path(folder(dest, written)?), tar, compression },
        // Without a place `docker` means "into the engine": that is the store.
        "docker" if dest.is_none() => Output::Image,
        "docker" => Output::Docker { dest: file(dest, written)?, compression },
        "tar" => Output::Tar { dest: file(dest, written)? },
        "local" => Output::Local { dest: folder(dest, written)? },
        "cacheonly" => Output::CacheOnly,
        other => return Err(unknown_type(other, written)),
    };
    Ok(Parsed { output, names, push: push.then_some(compression) })
}

fn unknown_type(kind: &str, written: &str) -> Error {
    let error = Error::usage(format!("--output {written}: unknown type `{kind}`"));
    match crate::near::nearest(kind, TYPES) {
        Some(near) => error.hint(format!("did you mean type={near}?")),
        None => error.hint(format!("the types are {}", TYPES.join(", "))),
    }
}

fn compression(keys: &mut Keyed) -> Result<Compress> {
    let form = match keys.take(&["compression"]).as_deref() {
        None => None,
        Some("uncompressed") => Some(CompressForm::Uncompressed),
        Some("gzip") => Some(CompressForm::Gzip),
        Some("zstd") => Some(CompressForm::Zstd),
        Some("estargz") => return Err(Error::later("compression=estargz", "gzip and zstd are there")),
        Some(other) => return Err(Error::usage(format!("compression={other}: expected uncompressed, gzip or zstd"))),
    };
    let level = match keys.take(&["compression-level"]) {
        None => None,
        Some(text) => {
            Some(text.parse().map_err(|_| Error::usage(format!("compression-level={text}: expected a number")))?)
        }
    };
    let force = keys.take_switch(&["force-compression"])?.unwrap_or(false);
    Ok(Compress { form, level, force })
}

fn file(dest: Option<String>, written: &str) -> Result<Destination> {
    match dest.as_deref() {
        None | Some("-") => {
            if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
                return Err(Error::usage(format!("--output {written}: the archive would go to the terminal"))
                    .hint("add dest=FILE, or redirect standard output"));
            }
            Ok(Destination::Stdout)
        }
        Some(path) => Ok(Destination::Path(absolute(path)?)),
    }
}

fn folder(dest: Option<String>, written: &str) -> Result<PathBuf> {
    match dest.as_deref() {
        None | Some("-") => Err(Error::usage(format!("--output {written}: dest=FOLDER is missing"))),
        Some(path) => absolute(path),
    }
}

/// The worker may run elsewhere: paths are settled here.
fn absolute(path: &str) -> Result<PathBuf> {
    Ok(std::path::absolute(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_people_write() {
        let output = |written: &str| parse(written).unwrap().output;
        assert_eq!(output("-"), Output::Tar { dest: Destination::Stdout });
        assert_eq!(output("/out"), Output::Local { dest: "/out".into() });
        assert_eq!(output("type=local,dest=/out"), Output::Local { dest: "/out".into() });
        assert_eq!(
            output("type=oci,dest=/a.tar,compression=zstd,compression-level=9"),
            Output::Oci {
                dest: Destination::Path("/a.tar".into()),
                tar: true,
                compression: Compress { form: Some(CompressForm::Zstd), level: Some(9), force: false }
            }
        );
        assert_eq!(parse("type=image,\"name=a,b\"").unwrap().names, ["a", "b"]);
        for pushed in ["type=registry", "type=image,push=true", "type=registry,name=a,compression=zstd"] {
            assert!(parse(pushed).unwrap().push.is_some(), "{pushed}");
        }
        assert_eq!(parse("type=image,push=false").unwrap().push, None);
        for bad in ["type=locl,dest=x", "type=oci,dest=x,push=true", "dest=x", "type=oci,dst=x", "type=local"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
