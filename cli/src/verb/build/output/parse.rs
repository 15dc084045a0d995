//! One `--output`, as buildx writes it.

use std::path::PathBuf;

use builder::{Annotation, Compress, CompressForm, Destination, Dress, Output};

use super::{Naming, annotation};
use crate::error::{Error, Result};
use crate::keyed::Keyed;
use crate::verb::push::compress_form;

const TYPES: [&str; 7] = ["image", "registry", "oci", "docker", "tar", "local", "cacheonly"];

/// The attributes of all types, and of some.
const OF_ALL: [&str; 4] = ["type", "dest", "name", "rewrite-timestamp"];
const OF_IMAGES: [&str; 7] = [
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "oci-artifact",
    "annotation.KEY",
    "buildinfo",
];
const OF_THE_STORE: [&str; 8] = [
    "push",
    "push-by-digest",
    "registry.insecure",
    "unpack",
    "store",
    "dangling-name-prefix",
    "name-canonical",
    "prefer-nondist-layers",
];
const OF_ARCHIVES: [&str; 2] = ["tar", "context"];
const OF_TREES: [&str; 3] = ["platform-split", "attestation-prefix", "mode"];

/// One `--output`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    /// What the builder does.
    pub(super) output: Output,
    /// What the image says of itself in this output.
    pub(super) dress: Dress,
    /// How the image is pushed under its names, if it is.
    pub(super) push: Option<PushAs>,
    /// How the store names it.
    pub(super) naming: Naming,
    /// Whether times of files are clamped: `rewrite-timestamp`.
    pub(super) rewrite: Option<bool>,
}

/// How an image is pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PushAs {
    /// The form of its layers.
    pub(crate) compress: Compress,
    /// Under no name, by its digest alone.
    pub(crate) by_digest: bool,
    /// The registry may speak plain HTTP, or have a certificate that nobody trusts.
    pub(crate) insecure: bool,
}

/// Parses one `--output`.
pub(super) fn parse(written: &str) -> Result<Parsed> {
    if written == "-" {
        return Ok(plain(Output::Tar { dest: file(None, written)?, split: None }));
    }
    if !written.contains('=') {
        return Ok(plain(Output::Local { dest: absolute(written)?, split: None }));
    }
    let mut keys = Keyed::parse(written)?;
    let kind = keys.take(&["type"]).ok_or_else(|| {
        Error::usage(format!("--output {written}: type= is missing"))
            .hint(format!("the types are {}", TYPES.join(", ")))
    })?;
    let dest = keys.take(&["dest", "destination"]);
    let names = keys.take(&["name"]).map(|names| names.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let rewrite = keys.take_switch(&["rewrite-timestamp"])?;
    let images = matches!(kind.as_str(), "image" | "registry" | "oci" | "docker");
    let (compress, dress) = match images {
        true => (compression(&mut keys)?, Dress { names, ..dress(&mut keys, written)? }),
        false => (Compress::default(), Dress { names, ..Dress::default() }),
    };
    let mut known: Vec<&str> = OF_ALL.to_vec();
    if images {
        known.extend(OF_IMAGES);
    }
    let mut parsed = plain(Output::Image);
    match kind.as_str() {
        "image" | "registry" => {
            known.extend(OF_THE_STORE);
            if dest.is_some() {
                return Err(Error::usage(format!("--output {written}: an image goes into the store, not into a file"))
                    .hint("type=oci and type=docker write files"));
            }
            (parsed.push, parsed.naming) = stored(&mut keys, kind == "registry", compress)?;
        }
        "oci" | "docker" => {
            known.extend(OF_ARCHIVES);
            refuse_push(&mut keys, written)?;
            let loads = kind == "docker" && dest.is_none();
            context(&mut keys, loads)?;
            let tar = keys.take_switch(&["tar"])?.unwrap_or(true);
            let dress = Some(dress.clone());
            parsed.output = match tar {
                // Without a place `docker` means "into the engine": that is the store.
                _ if loads => Output::Image,
                true if kind == "oci" => Output::Oci { dest: file(dest, written)?, tar, compression: compress, dress },
                true => Output::Docker { dest: file(dest, written)?, tar, compression: compress, dress },
                false => {
                    let dest = Destination::Path(folder(dest, written)?);
                    match kind.as_str() {
                        "oci" => Output::Oci { dest, tar, compression: compress, dress },
                        _ => Output::Docker { dest, tar, compression: compress, dress },
                    }
                }
            };
        }
        "tar" | "local" => {
            known.extend(OF_TREES);
            refuse_push(&mut keys, written)?;
            let split = keys.take_switch(&["platform-split"])?;
            parsed.output = match kind.as_str() {
                "tar" => Output::Tar { dest: file(dest, written)?, split },
                _ => Output::Local { dest: folder(dest, written)?, split },
            };
        }
        "cacheonly" => parsed.output = Output::CacheOnly,
        other => return Err(unknown_type(other, written)),
    }
    keys.finish(&format!("--output {written}"), &known)?;
    Ok(Parsed { dress, rewrite, ..parsed })
}

fn plain(output: Output) -> Parsed {
    Parsed {
        output,
        dress: Dress::default(),
        push: None,
        naming: Naming { kept: true, ..Naming::default() },
        rewrite: None,
    }
}

fn unknown_type(kind: &str, written: &str) -> Error {
    let error = Error::usage(format!("--output {written}: unknown type `{kind}`"));
    match crate::near::nearest(kind, TYPES) {
        Some(near) => error.hint(format!("did you mean type={near}?")),
        None => error.hint(format!("the types are {}", TYPES.join(", "))),
    }
}

/// The attributes of `image` and `registry`.
fn stored(keys: &mut Keyed, registry: bool, compress: Compress) -> Result<(Option<PushAs>, Naming)> {
    let by_digest = keys.take_switch(&["push-by-digest"])?.unwrap_or(false);
    let insecure = keys.take_switch(&["registry.insecure"])?.unwrap_or(false);
    let push = keys.take_switch(&["push"])?.unwrap_or(registry);
    let naming = Naming {
        kept: keys.take_switch(&["store"])?.unwrap_or(true),
        canonical: keys.take_switch(&["name-canonical"])?.unwrap_or(false),
        dangling: keys.take(&["dangling-name-prefix"]),
        list: None,
    };
    // `run` unpacks what it needs.
    keys.take_switch(&["unpack"])?;
    // Layers that their makers alone may pass on keep their place whenever they have one.
    keys.take_switch(&["prefer-nondist-layers"])?;
    Ok((push.then_some(PushAs { compress, by_digest, insecure }), naming))
}

fn refuse_push(keys: &mut Keyed, written: &str) -> Result {
    match keys.take_switch(&["push"])? {
        Some(true) => Err(Error::usage(format!("--output {written}: only type=image can be pushed"))
            .hint("`estiba copy oci-archive:FILE docker://NAME` pushes an archive")),
        _ => Ok(()),
    }
}

/// `context=` names the docker engine that loads the image: there is none, there is the store.
fn context(keys: &mut Keyed, loads: bool) -> Result {
    match keys.take(&["context"]) {
        Some(name) if loads && name != "default" => {
            Err(Error::usage(format!("context={name}: an image is loaded into estiba's store, not into an engine"))
                .hint("`estiba save IMAGE | docker --context NAME load` hands it to one"))
        }
        _ => Ok(()),
    }
}

fn dress(keys: &mut Keyed, written: &str) -> Result<Dress> {
    let types = keys.take_switch(&["oci-mediatypes"])?;
    let mut annotations: Vec<Annotation> = Vec::new();
    for (name, value) in keys.take_all(|name| name.starts_with("annotation")) {
        match annotation::of_attribute(&name, &value) {
            Some(parsed) => annotations.push(parsed?),
            None => {
                return Err(Error::usage(format!("--output {written}: unknown key `{name}`"))
                    .hint("annotations are written annotation.KEY=VALUE or annotation-LEVEL.KEY=VALUE"));
            }
        }
    }
    // It is about attestations, which are laid out in the one way that all readers know.
    keys.take_switch(&["oci-artifact"])?;
    // BuildKit left it behind; what it held is in the provenance.
    keys.take_switch(&["buildinfo"])?;
    Ok(Dress { docker_types: types == Some(false), annotations, names: Vec::new() })
}

/// `compression`, `compression-level` and `force-compression`.
pub(in crate::verb::build) fn compression(keys: &mut Keyed) -> Result<Compress> {
    let form = match keys.take(&["compression"]) {
        None => None,
        Some(text) => {
            Some(compress_form(&text).map_err(|expected| Error::usage(format!("compression={text}: {expected}")))?)
        }
    };
    let level = match keys.take(&["compression-level"]) {
        None => None,
        Some(text) => Some(level(form, &text)?),
    };
    let force = keys.take_switch(&["force-compression"])?.unwrap_or(false);
    Ok(Compress { form, level, force })
}

/// A level in the form's own scale: 0 to 9 for gzip (and up to 12, which is ours), 0 to 22 for zstd.
fn level(form: Option<CompressForm>, text: &str) -> Result<i32> {
    let most = match form {
        Some(CompressForm::Zstd | CompressForm::ZstdChunked) => 22,
        Some(CompressForm::Gzip | CompressForm::Estargz) | None => 12,
        Some(CompressForm::Uncompressed) => 22,
    };
    let found: Option<i32> = text.parse().ok().filter(|level| (0..=most).contains(level));
    found.ok_or_else(|| Error::usage(format!("compression-level={text}: expected a number from 0 to {most}")))
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
        assert_eq!(output("/out"), Output::Local { dest: "/out".into(), split: None });
        assert_eq!(
            output("type=local,dest=/out,platform-split=false"),
            Output::Local { dest: "/out".into(), split: Some(false) }
        );
        let zstd = Compress { form: Some(CompressForm::Zstd), level: Some(9), force: false };
        assert_eq!(
            output("type=oci,dest=/a.tar,compression=zstd,compression-level=9"),
            Output::Oci {
                dest: Destination::Path("/a.tar".into()),
                tar: true,
                compression: zstd,
                dress: Some(Dress::default())
            }
        );
        assert_eq!(parse("type=image,\"name=a,b\"").unwrap().dress.names, ["a", "b"]);
        for pushed in ["type=registry", "type=image,push=true", "type=registry,name=a,compression=zstd:chunked"] {
            assert!(parse(pushed).unwrap().push.is_some(), "{pushed}");
        }
        assert_eq!(parse("type=image,push=false").unwrap().push, None);
        assert_eq!(output("type=docker"), Output::Image);
    }

    #[test]
    fn every_attribute_has_its_effect() {
        let parsed = parse(
            "type=image,name=a,push=true,push-by-digest=true,registry.insecure=true,oci-mediatypes=false,\
             name-canonical=true,dangling-name-prefix=x,store=false,unpack=true,compression=estargz,rewrite-timestamp=false",
        )
        .unwrap();
        let push = parsed.push.unwrap();
        assert!(push.by_digest && push.insecure && push.compress.form == Some(CompressForm::Estargz));
        assert!(!parsed.naming.kept && parsed.naming.canonical);
        assert_eq!(parsed.naming.dangling.as_deref(), Some("x"));
        assert!(parsed.dress.docker_types && parsed.rewrite == Some(false));
        let parsed = parse("type=oci,dest=/x,annotation.a=1,annotation-index.b=2").unwrap();
        assert_eq!(parsed.dress.annotations.len(), 2);
        assert!(matches!(parsed.output, Output::Oci { dress: Some(dress), .. } if dress.annotations.len() == 2));
    }

    #[test]
    fn what_no_output_has_is_refused() {
        for bad in [
            "type=locl,dest=x",
            "type=oci,dest=x,push=true",
            "dest=x",
            "type=oci,dst=x",
            "type=local",
            "type=image,dest=x",
            "type=local,dest=x,compression=gzip",
            "type=oci,dest=x,compression=lzma",
            "type=oci,dest=x,compression=gzip,compression-level=13",
            "type=oci,dest=x,compression=zstd,compression-level=-1",
            "type=docker,context=remote",
            "type=oci,dest=x,annotation-layer.a=b",
            "type=oci,dest=x,push-by-digest=true",
            "type=oci,dest=x,tar=perhaps",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
