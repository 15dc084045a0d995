//! In which form a layer goes out. Pure.
//!
//! As BuildKit's `compression` and `force-compression`: what is compressed stays as it is unless forced.

use oci::{Descriptor, Manifest, media_type};
use store::Variant;

use crate::{Compress, CompressForm};

/// A form that a layer is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its media type.
    pub(crate) media_type: &'static str,
    /// What it is.
    pub(crate) form: CompressForm,
    /// At which level; `None`: the usual one.
    pub(crate) level: Option<i32>,
}

impl Wanted {
    /// A form at a level.
    pub(crate) fn of(form: CompressForm, level: Option<i32>) -> Self {
        let media_type = match form {
            CompressForm::Uncompressed => media_type::OCI_LAYER,
            CompressForm::Gzip | CompressForm::Estargz => media_type::OCI_LAYER_GZIP,
            CompressForm::Zstd | CompressForm::ZstdChunked => media_type::OCI_LAYER_ZSTD,
        };
        Self { media_type, form, level: level.filter(|_| form != CompressForm::Uncompressed) }
    }

    /// Under what a layer in this form is remembered.
    pub(crate) fn remembered(&self) -> String {
        let form = match self.form {
            CompressForm::Estargz => "; form=estargz",
            CompressForm::ZstdChunked => "; form=chunked",
            CompressForm::Uncompressed | CompressForm::Gzip | CompressForm::Zstd => "",
        };
        let level = self.level.map(|level| format!("; level={level}")).unwrap_or_default();
        format!("{}{form}{level}", self.media_type)
    }

    /// Whether layers in this form can be told from others of their media type: those that are there already are made
    /// anew, as a table of contents is what they lack.
    fn is_chunked(&self) -> bool {
        matches!(self.form, CompressForm::Estargz | CompressForm::ZstdChunked)
    }
}

/// What becomes of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It goes out as the manifest lists it.
    Keep,
    /// In a compressed form that is remembered.
    Known(Box<Descriptor>),
    /// In this form, which may be remembered.
    As(Wanted),
}

/// Chooses for a layer that its manifest lists under `own`. `pulled`: it came from a registry, so that the form it had there
/// is its own; `usual`: the form of what has none, where nobody asks for any.
pub(crate) fn choose(
    own: &str,
    pulled: bool,
    variants: &[Variant],
    compress: &Compress,
    usual: Option<CompressForm>,
) -> Choice {
    if !media_type::is_layer(own) {
        return Choice::Keep;
    }
    let plain = is_plain(own);
    let Some(form) = compress.form.or(usual) else { return Choice::Keep };
    let wanted = Wanted::of(form, compress.level);
    if compress.force {
        let same = oci_layer(own) == wanted.media_type && wanted.level.is_none() && !wanted.is_chunked();
        return if same { Choice::Keep } else { Choice::As(wanted) };
    }
    if !plain || form == CompressForm::Uncompressed {
        return Choice::Keep;
    }
    if pulled {
        // One with a table of contents was made here: the registry's own are plain.
        let own = |variant: &&Variant| !is_plain(&variant.media_type) && !variant.media_type.contains('\n');
        let compressed = variants.iter().filter(own);
        let its_own = compressed.min_by_key(|variant| variant.media_type != wanted.media_type);
        return match its_own {
            Some(variant) => {
                let name = variant.media_type.split(';').next().unwrap_or_default();
                Choice::Known(Box::new(Descriptor::new(name, variant.blob, variant.size)))
            }
            None if compress.form.is_none() => Choice::Keep,
            None => Choice::As(wanted),
        };
    }
    Choice::As(wanted)
}

/// Whether a media type names an uncompressed layer.
pub(crate) fn is_plain(media_type: &str) -> bool {
    matches!(media_type, media_type::OCI_LAYER | media_type::DOCKER_LAYER)
}

/// The compression that a layer's media type names.
pub(crate) fn form_of(media_type: &str) -> Option<CompressForm> {
    match oci_layer(media_type) {
        media_type::OCI_LAYER => Some(CompressForm::Uncompressed),
        media_type::OCI_LAYER_GZIP => Some(CompressForm::Gzip),
        media_type::OCI_LAYER_ZSTD => Some(CompressForm::Zstd),
        _ => None,
    }
}

/// An OCI manifest lists OCI's media types; the bytes are the same.
pub(crate) fn oci_layer(media_type: &str) -> &str {
    match media_type {
        media_type::DOCKER_LAYER => media_type::OCI_LAYER,
        media_type::DOCKER_LAYER_GZIP => media_type::OCI_LAYER_GZIP,
        media_type::DOCKER_LAYER_ZSTD => media_type::OCI_LAYER_ZSTD,
        other => other,
    }
}

/// Lets all media types of a manifest be of the family that `wanted` is of. Docker's has no zstd: an image with some is
/// OCI's, as with BuildKit.
pub(crate) fn settle_types(manifest: &mut Manifest, wanted: &str) {
    let is_zstd = |layer: &Descriptor| oci_layer(&layer.media_type) == media_type::OCI_LAYER_ZSTD;
    let docker = wanted == media_type::DOCKER_MANIFEST
        && manifest.annotations.is_empty()
        && !manifest.layers.iter().any(is_zstd);
    let own = if docker { media_type::DOCKER_MANIFEST } else { media_type::OCI_MANIFEST };
    manifest.media_type = Some(own.to_owned());
    if media_type::is_config(&manifest.config.media_type) {
        let own = if docker { media_type::DOCKER_CONFIG } else { media_type::OCI_CONFIG };
        own.clone_into(&mut manifest.config.media_type);
    }
    for layer in &mut manifest.layers {
        let own = if docker { docker_layer(&layer.media_type) } else { oci_layer(&layer.media_type) }.to_owned();
        layer.media_type = own;
    }
}

/// The other way round.
fn docker_layer(media_type: &str) -> &str {
    match media_type {
        media_type::OCI_LAYER => media_type::DOCKER_LAYER,
        media_type::OCI_LAYER_GZIP => media_type::DOCKER_LAYER_GZIP,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::encode::among;
    use oci::Digest;
    use oci::media_type::{DOCKER_LAYER, DOCKER_LAYER_GZIP, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};

    #[test]
    fn choices() {
        use CompressForm::{Gzip, Uncompressed, Zstd};
        let gzip = Variant { media_type: OCI_LAYER_GZIP.to_owned(), blob: Digest::sha256(b"g"), size: 1 };
        let as_of = |form| Choice::As(Wanted::of(form, None));
        let known = Choice::Known(Box::new(Descriptor::new(OCI_LAYER_GZIP, gzip.blob, 1)));
        let some = std::slice::from_ref(&gzip);
        for (own, pulled, variants, form, force, expected) in [
            (OCI_LAYER, false, &[][..], None, false, as_of(Gzip)),
            (DOCKER_LAYER, false, &[][..], Some(Zstd), false, as_of(Zstd)),
            (OCI_LAYER, false, some, Some(Zstd), false, as_of(Zstd)),
            (OCI_LAYER, false, some, Some(Uncompressed), false, Choice::Keep),
            (OCI_LAYER_ZSTD, false, some, Some(Gzip), false, Choice::Keep),
            (DOCKER_LAYER_GZIP, false, some, Some(Gzip), true, Choice::Keep),
            (OCI_LAYER_GZIP, true, some, Some(Zstd), true, as_of(Zstd)),
            (OCI_LAYER_GZIP, true, some, Some(Uncompressed), true, as_of(Uncompressed)),
            (OCI_LAYER, true, some, None, false, known.clone()),
            (OCI_LAYER, true, some, Some(Zstd), false, known),
            (OCI_LAYER, true, &[][..], None, false, Choice::Keep),
            (OCI_LAYER, true, &[][..], Some(Zstd), false, as_of(Zstd)),
            ("application/x-thing", false, &[][..], Some(Zstd), true, Choice::Keep),
        ] {
            let compress = Compress { form, level: None, force };
            let found = choose(own, pulled, variants, &compress, Some(Gzip));
            assert_eq!(found, expected, "{own} {pulled} {form:?} {force}");
        }
        let as_it_is = choose(OCI_LAYER, false, &[], &Compress::default(), None);
        assert_eq!(as_it_is, Choice::Keep);
    }

    #[test]
    fn a_level_of_ones_own_is_another_form() {
        let best = Wanted::of(CompressForm::Gzip, Some(9));
        assert_eq!(best.remembered(), format!("{OCI_LAYER_GZIP}; level=9"));
        let variant =
            |wanted: &Wanted| Variant { media_type: wanted.remembered(), blob: Digest::sha256(b"x"), size: 1 };
        let usual = Wanted::of(CompressForm::Gzip, None);
        assert!(among(&[variant(&best)], &usual).is_none() && among(&[variant(&usual)], &best).is_none());
        assert_eq!(among(&[variant(&best)], &best).unwrap().descriptor.media_type, OCI_LAYER_GZIP);
        assert_eq!(Wanted::of(CompressForm::Uncompressed, Some(3)).remembered(), OCI_LAYER);
        let chunked = Wanted::of(CompressForm::ZstdChunked, None);
        assert!(among(&[variant(&Wanted::of(CompressForm::Zstd, None))], &chunked).is_none());
        let facts = Variant {
            media_type: format!("{}\n{{\"annotations\":{{\"a\":\"b\"}}}}", chunked.remembered()),
            ..variant(&usual)
        };
        assert_eq!(among(&[facts], &chunked).unwrap().descriptor.annotations["a"], "b");
    }
}
