//! What an index says of one of its images, as options; and the images that users name.

use builder::transfer::Sink;
use builder::transfer::copy::{CopyError, Place, list, stored};
use oci::{Descriptor, Digest, Index, Platform, Reference};
use remote::Setup;
use store::Store;

use crate::error::{Error, Result};
use crate::place::{self, Ready};
use crate::wire::{self, WireArgs};

/// Options about an entry.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct EntryArgs {
    /// The operating system, where it is not the one of the image's configuration
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// The architecture
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// The variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    /// The version of the operating system
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// A feature of the operating system
    #[arg(long = "os-features", value_name = "FEATURE", value_delimiter = ',')]
    os_features: Vec<String>,
    /// An annotation
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,
}

/// `NAME=VALUE`.
pub(super) fn annotation(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is no NAME=VALUE")),
    }
}

impl EntryArgs {
    /// Whether nothing is to be changed.
    pub(super) fn is_empty(&self) -> bool {
        let Self { os, arch, variant, os_version, os_features, annotations } = self;
        let words = [os, arch, variant, os_version];
        words.iter().all(|word| word.is_none()) && os_features.is_empty() && annotations.is_empty()
    }

    /// Writes what was given into an entry.
    pub(super) fn apply(&self, descriptor: &mut Descriptor) {
        let platform = [&self.os, &self.arch, &self.variant, &self.os_version].iter().any(|word| word.is_some());
        if platform || !self.os_features.is_empty() {
            let old = descriptor.platform.clone().unwrap_or_else(Platform::host);
            let os = self.os.clone().unwrap_or(old.os);
            // The variant belongs to the architecture that it was named with.
            let old_variant = if self.arch.is_some() { None } else { old.variant };
            let arch = self.arch.clone().unwrap_or(old.architecture);
            let mut new = Platform::new(&os, &arch, self.variant.as_deref().or(old_variant.as_deref()));
            new.os_version = self.os_version.clone().or(old.os_version);
            new.os_features = if self.os_features.is_empty() { old.os_features } else { self.os_features.clone() };
            descriptor.platform = Some(new);
        }
        descriptor.annotations.extend(self.annotations.iter().cloned());
    }
}

/// The name of an index, which is a name of the store.
pub(super) fn name(text: &str) -> Result<Reference> {
    let bare = text.strip_prefix("store:").unwrap_or(text);
    let reference: Reference = bare.parse()?;
    if reference.digest().is_some() {
        return Err(Error::usage(format!("`{text}` holds a digest: an index's digest is not given but computed")));
    }
    Ok(reference)
}

/// The place that a name means: the store's image where there is one, as in buildah, else the registry's.
pub(super) fn image(store: &Store, text: &str) -> Result<Place> {
    if Place::is_explicit(text) {
        return text.parse::<Place>().map_err(|error| Error::usage(error.to_string()));
    }
    match stored::find(store, text) {
        Ok(_) => Ok(Place::Store(text.to_owned())),
        Err(CopyError::Choice { .. }) => text.parse::<Place>().map_err(|error| Error::usage(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// What the client for these images is made from: a name and password are for one registry.
pub(super) fn setup(wire: &WireArgs, images: &[String]) -> Result<Setup> {
    let mut registries: Vec<Place> = images.iter().filter_map(|text| text.parse().ok()).collect();
    registries.retain(|place| matches!(place, Place::Registry(_)));
    let name = |place: &Place| match place {
        Place::Registry(reference) => reference.registry().to_owned(),
        _ => String::new(),
    };
    if wire.creds.is_some() && registries.iter().any(|place| name(place) != name(&registries[0])) {
        return Err(Error::usage("--creds are for one registry, and there are several")
            .hint("`estiba login` keeps one for each"));
    }
    let nowhere = Place::Store(String::new());
    place::setup(wire, registries.first().unwrap_or(&nowhere))
}

/// The entries of these images, in order.
pub(super) fn entries(ready: &Ready, sink: &Sink, images: &[String]) -> Result<Vec<Descriptor>> {
    let store = ready.store.as_ref().ok_or_else(|| Error::failed("there is no store"))?;
    let places = images.iter().map(|text| image(store, text)).collect::<Result<Vec<_>>>()?;
    wire::together(async {
        let mut all = Vec::new();
        for place in &places {
            match list::entries(&ready.hands(sink), store, place).await {
                Ok(found) => all.extend(found),
                Err(error) => return Err(place::explain(error, &ready.source, place).await),
            }
        }
        Ok(all)
    })?
}

/// Puts entries in, in place of those that name the same manifest.
pub(super) fn insert(index: &mut Index, entries: Vec<Descriptor>) {
    for entry in entries {
        match index.manifests.iter_mut().find(|known| known.digest == entry.digest) {
            Some(known) => *known = entry,
            None => index.manifests.push(entry),
        }
    }
}

/// Which entry of an index a digest, its beginning, or an image of the store means.
pub(super) fn position(store: &Store, index: &Index, text: &str) -> Result<usize> {
    let tail = text.rsplit_once('@').map_or(text, |(_, digest)| digest);
    let hex = tail.strip_prefix("sha256:").unwrap_or(tail);
    let begins = |digest: &Digest| hex.len() >= 3 && digest.hex().starts_with(hex);
    let by_digest: Vec<usize> = (0..index.manifests.len()).filter(|at| begins(&index.manifests[*at].digest)).collect();
    if let [one] = by_digest[..] {
        return Ok(one);
    }
    let named = stored::find(store, text.strip_prefix("store:").unwrap_or(text)).ok();
    let by_name = named.and_then(|digest| index.manifests.iter().position(|entry| entry.digest == digest));
    // docker names an entry by a reference: a platform says the same where there is no such image here.
    let by_platform = text.parse::<Platform>().ok().and_then(|wanted| {
        index.manifests.iter().position(|entry| entry.platform.as_ref().is_some_and(|own| own.matches(&wanted)))
    });
    by_name.or(by_platform).ok_or_else(|| {
        let shown = index.manifests.iter().map(|entry| {
            let platform = entry.platform.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{} {platform}", entry.digest)
        });
        Error::failed(format!("the index lists no `{text}`"))
            .hint(format!("it lists\n{}", shown.collect::<Vec<_>>().join("\n")))
    })
}

/// What an index says of its images, in one line each: a platform that two of them share is worth a word.
pub(super) fn warn_of_doubles(index: &Index) {
    let platforms: Vec<String> =
        index.manifests.iter().filter_map(|entry| entry.platform.as_ref()).map(ToString::to_string).collect();
    for (at, platform) in platforms.iter().enumerate() {
        if platforms[..at].contains(platform)
            && !platforms[..at].iter().skip_while(|one| *one != platform).skip(1).any(|one| one == platform)
        {
            crate::ui::err(&format!(
                "{} several images are for {platform}: most programs take the first\n",
                crate::ui::style::hint("note:")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_change_what_they_name() {
        let mut entry = Descriptor::new(oci::media_type::OCI_MANIFEST, Digest::sha256(b""), 0);
        entry.platform = Some(Platform::new("linux", "arm", Some("v6")));
        let mut args = EntryArgs { variant: Some("v7".to_owned()), ..EntryArgs::default() };
        assert!(!args.is_empty() && EntryArgs::default().is_empty());
        args.apply(&mut entry);
        assert_eq!(entry.platform.as_ref().unwrap().to_string(), "linux/arm/v7");
        args = EntryArgs { arch: Some("arm64".to_owned()), os_version: Some("1".to_owned()), ..EntryArgs::default() };
        args.apply(&mut entry);
        let platform = entry.platform.unwrap();
        assert_eq!((platform.to_string().as_str(), platform.os_version.as_deref()), ("linux/arm64", Some("1")));
    }
}
