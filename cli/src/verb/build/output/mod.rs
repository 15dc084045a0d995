//! What comes out of a build: `--output` and its kin, of buildx and of buildah.

mod annotation;
mod naming;
mod parse;

pub(super) use self::parse::compression;

use std::path::PathBuf;

use builder::{Annotation, Compress, CompressForm, Dress, Exporting, Level, Output, Request, Squash};
use oci::Reference;

pub(crate) use self::naming::Naming;
pub(crate) use self::parse::PushAs;
use crate::error::{Error, Result};

/// Options about what comes out.
#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Where the result goes: type=image|registry|oci|docker|tar|local|cacheonly[,dest=PATH][,compression=…]; a bare path is a folder, `-` a tar on standard output
    #[arg(short, long = "output", value_name = "OUTPUT")]
    outputs: Vec<String>,
    /// Write the image's id into this file
    #[arg(long, value_name = "FILE")]
    pub(super) iidfile: Option<PathBuf>,
    /// Write digests and names of the result into this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) metadata_file: Option<PathBuf>,
    /// Push the image under its names
    #[arg(long)]
    push: bool,
    /// The image goes into the store anyhow: accepted for docker's sake
    #[arg(long, hide = true)]
    load: bool,
    /// Annotate the image: [manifest|index|manifest-descriptor|index-descriptor[PLATFORM],…:]KEY=VALUE
    #[arg(long = "annotation", value_name = "[LEVEL:]KEY=VALUE")]
    annotations: Vec<String>,
    /// Make one layer of all that this build adds to its base
    #[arg(long)]
    squash: bool,
    /// Make one layer of the whole image, its base included
    #[arg(long, conflicts_with = "squash")]
    squash_all: bool,
    /// Keep a layer an instruction: it is so anyhow; `=false` makes one of them, as --squash
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    layers: Option<bool>,
    /// Leave the history out of the image
    #[arg(long)]
    omit_history: bool,
    /// Let no time in the image be after this one, in seconds since 1970
    #[arg(long, value_name = "SECONDS", conflicts_with = "source_date_epoch", allow_negative_numbers = true)]
    timestamp: Option<i64>,
    /// As the build argument SOURCE_DATE_EPOCH
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    source_date_epoch: Option<i64>,
    /// With a source date epoch: let no file be newer; it is so anyhow, `=false` leaves files their times
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rewrite_timestamp: Option<bool>,
    /// The media types of the image's documents: oci or docker
    #[arg(long, value_name = "FORMAT", value_parser = ["oci", "docker"], ignore_case = true)]
    format: Option<String>,
    /// Write layers as they are where nothing else is said
    #[arg(long)]
    disable_compression: bool,
    /// Take a label away that the base has
    #[arg(long = "unsetlabel", value_name = "LABEL")]
    unset_labels: Vec<String>,
    /// Take a variable away from the image's environment
    #[arg(long = "unsetenv", value_name = "NAME")]
    unset_envs: Vec<String>,
    /// Label the image with the version of this program
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    identity_label: Option<bool>,
    /// Say in the manifest when the image was made
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    created_annotation: Option<bool>,
    /// Intermediate images, which it labels, are not made: accepted for buildah's sake
    #[arg(long, value_name = "LABEL", hide = true)]
    layer_label: Vec<String>,
    /// Add the image to this index of the store, which is made where it is missing
    #[arg(long, value_name = "INDEX")]
    manifest: Option<String>,
}

/// The label of `--identity-label`.
const IDENTITY: &str = "com.estiba.version";

/// Where the result goes, and under which names.
pub(super) struct Outputs {
    /// What the builder makes.
    pub(super) all: Vec<Output>,
    /// What the store names the image.
    pub(super) tags: Vec<String>,
    /// How the image is pushed, if it is, and under which names: once for each output that pushes.
    pub(super) pushes: Vec<(PushAs, Vec<String>)>,
    /// How the image is made.
    pub(super) exporting: Exporting,
    /// What the store names it besides.
    pub(super) naming: Naming,
}

impl OutputArgs {
    /// What `--output`, `--tag`, `--push` and their kin say together.
    pub(super) fn destinations(&self, given: &[String]) -> Result<Outputs> {
        let default = self.disable_compression.then_some(CompressForm::Uncompressed);
        let common = self.dress()?;
        let mut found = Outputs {
            all: Vec::new(),
            tags: Vec::new(),
            pushes: Vec::new(),
            exporting: Exporting {
                dress: common.clone(),
                keep_times: self.rewrite_timestamp == Some(false),
                squash: self.squashed(),
                omit_history: self.omit_history,
                created_annotation: self.created_annotation == Some(true),
            },
            naming: Naming { kept: true, list: self.manifest()?, ..Naming::default() },
        };
        let given = distinct(given.iter().map(|name| canonical(name)).collect::<Result<Vec<_>>>()?);
        let mut names = Vec::new();
        for written in &self.outputs {
            let parsed = parse::parse(written)?;
            found.exporting.keep_times |= parsed.rewrite == Some(false);
            let own = merged(&common, parsed.dress)?;
            let output = match parsed.output {
                Output::Image => {
                    if let Some(push) = parsed.push {
                        found.pushes.push((push, if own.names.is_empty() { given.clone() } else { own.names.clone() }));
                    }
                    names.extend(own.names);
                    found.exporting.dress.docker_types |= own.docker_types;
                    add(&mut found.exporting.dress.annotations, own.annotations);
                    let naming = parsed.naming;
                    found.naming = Naming { list: found.naming.list.take(), ..naming };
                    Output::Image
                }
                Output::Oci { dest, tar, compression, .. } => {
                    let compression = Compress { form: compression.form.or(default), ..compression };
                    Output::Oci { dest, tar, compression, dress: Some(named(own, &given)) }
                }
                Output::Docker { dest, tar, compression, .. } => {
                    let compression = Compress { form: compression.form.or(default), ..compression };
                    Output::Docker { dest, tar, compression, dress: Some(named(own, &given)) }
                }
                other => other,
            };
            if !found.all.contains(&output) {
                found.all.push(output);
            }
        }
        if found.all.is_empty() || ((self.push || self.manifest.is_some()) && !found.all.contains(&Output::Image)) {
            found.all.push(Output::Image);
        }
        check(&found.exporting.dress)?;
        one_stdout(&found.all)?;
        names.extend(given.iter().cloned());
        let names = distinct(names);
        if self.push && found.pushes.is_empty() {
            found.pushes.push((PushAs::default(), names.clone()));
        }
        for (push, names) in &mut found.pushes {
            if names.is_empty() {
                return Err(Error::usage("there is no name to push to").hint("add `-t REGISTRY/NAME:TAG`"));
            }
            push.compress.form = push.compress.form.or(default);
        }
        // Where the store is to have no name for it, archives and registries have theirs all the same.
        if found.naming.kept {
            found.tags = names;
        }
        found.naming.kept &= found.all.contains(&Output::Image);
        Ok(found)
    }

    /// What holds for all outputs.
    fn dress(&self) -> Result<Dress> {
        let mut annotations = Vec::new();
        for written in &self.annotations {
            add(&mut annotations, annotation::of_flag(written)?);
        }
        let docker_types = self.format.as_deref().is_some_and(|format| format.eq_ignore_ascii_case("docker"));
        Ok(Dress { docker_types, annotations, names: Vec::new() })
    }

    fn squashed(&self) -> Option<Squash> {
        match (self.squash_all, self.squash || self.layers == Some(false)) {
            (true, _) => Some(Squash::All),
            (false, true) => Some(Squash::New),
            (false, false) => None,
        }
    }

    /// The epoch that was given here.
    pub(super) fn epoch(&self) -> Option<i64> {
        self.timestamp.or(self.source_date_epoch)
    }

    /// The epoch that RUNs and ARGs see too.
    pub(super) fn build_epoch(&self) -> Option<i64> {
        self.source_date_epoch
    }

    /// The index that the image is added to.
    fn manifest(&self) -> Result<Option<String>> {
        self.manifest.as_deref().map(canonical).transpose()
    }

    /// Changes an image's config as asked.
    pub(super) fn change(&self, config: &mut oci::ImageConfig) {
        let run = &mut config.config;
        for label in &self.unset_labels {
            run.labels.remove(label);
        }
        run.env.retain(|variable| {
            let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
            !self.unset_envs.iter().any(|unset| unset == name)
        });
        if self.identity_label == Some(true) {
            run.labels.insert(IDENTITY.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        }
    }
}

/// An archive's names: its own, else those of the build.
fn named(own: Dress, given: &[String]) -> Dress {
    let names = if own.names.is_empty() { given.to_vec() } else { own.names };
    Dress { names, ..own }
}

/// What an output says of itself, on top of what holds for all.
fn merged(common: &Dress, own: Dress) -> Result<Dress> {
    let mut annotations = common.annotations.clone();
    add(&mut annotations, own.annotations);
    let names = own.names.iter().map(|name| canonical(name)).collect::<Result<Vec<_>>>()?;
    let merged = Dress { docker_types: common.docker_types || own.docker_types, annotations, names };
    check(&merged)?;
    Ok(merged)
}

/// Adds annotations; of two for one place the later one holds.
fn add(all: &mut Vec<Annotation>, more: Vec<Annotation>) {
    for new in more {
        all.retain(|old| (old.level, &old.platform, &old.key) != (new.level, &new.platform, &new.key));
        all.push(new);
    }
}

fn check(dress: &Dress) -> Result {
    match dress.docker_types && !dress.annotations.is_empty() {
        true => Err(Error::usage("docker's media types have no place for annotations")
            .hint("leave `--format docker` and `oci-mediatypes=false` away")),
        false => Ok(()),
    }
}

/// An index is made of several images, or of one and what is said of it: without it, its annotations have no place.
pub(super) fn check_levels(request: &Request) -> Result {
    if request.is_for_several() || request.options.attesting.is_asked() {
        return Ok(());
    }
    let own = request.outputs.iter().filter_map(|output| match output {
        Output::Oci { dress, .. } | Output::Docker { dress, .. } => dress.as_ref(),
        Output::Image | Output::Tar { .. } | Output::Local { .. } | Output::CacheOnly => None,
    });
    let mut all = std::iter::once(&request.options.exporting.dress).chain(own).flat_map(|dress| &dress.annotations);
    match all.find(|annotation| matches!(annotation.level, Level::Index | Level::IndexDescriptor)) {
        Some(annotation) => {
            Err(Error::usage(format!("the annotation {} is for an index, and there is none", annotation.key))
                .hint("an image for several platforms has one: `--platform A,B`"))
        }
        None => Ok(()),
    }
}

/// Two archives on one stream would be none.
fn one_stdout(all: &[Output]) -> Result {
    let to_stdout = |output: &&Output| match output {
        Output::Oci { dest, .. } | Output::Docker { dest, .. } | Output::Tar { dest, .. } => {
            *dest == builder::Destination::Stdout
        }
        Output::Image | Output::Local { .. } | Output::CacheOnly => false,
    };
    match all.iter().filter(to_stdout).count() {
        0 | 1 => Ok(()),
        count => Err(Error::usage(format!("{count} outputs go to standard output: one can")).hint("add dest=FILE")),
    }
}

/// Each name once, in the order in which they were given.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

fn canonical(name: &str) -> Result<String> {
    let reference: Reference = name.parse()?;
    if reference.digest().is_some() {
        return Err(Error::usage(format!("{name}: a digest is not given but computed")));
    }
    Ok(reference.to_string())
}
