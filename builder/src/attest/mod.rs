//! What is said of an image besides the image: how it was made (SLSA v1 provenance) and what is in it (SPDX), as in-toto
//! statements in a manifest of their own, which stands beside the image in an index. All of it as BuildKit lays it out
//! ("Image Attestation Storage" of its documentation), so that what reads its attestations reads these.

mod inventory;
mod layout;
mod provenance;
mod purl;
mod read;
mod retarget;
mod statement;
mod steps;

use oci::{Digest, Timestamp};
use serde_json::Value;

use crate::build::{Build, Failure, unix_now};
use crate::cache::key::Chain;
use crate::export::image::Composed;
use crate::{Image, Request};

pub use inventory::inventory_of;
pub(crate) use layout::Attested;
pub use read::{Attached, ReadError, attached, attached_at, statement, statement_at};
pub(crate) use retarget::{Became, retargeted};

/// The predicate of a statement that says how something was made.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// The predicate of a statement that says what is in something.
pub const SBOM: &str = sbom::spdx::PREDICATE;

/// What is asked for, by type of predicate, without saying of what.
fn predicates(
    build: &Build<'_>,
    image: &Image,
    chain: &Chain,
    composed: Option<&Composed>,
) -> Result<Vec<(&'static str, Value)>, Failure> {
    let request = build.request;
    let asked = &request.options.attesting;
    let mut all = Vec::new();
    if asked.sbom {
        let view = build.layers.view(chain)?;
        let inventory = inventory::scan(&view)?;
        let subject = sbom::spdx::Subject {
            name: name_of(request, image),
            digest: match composed {
                Some(composed) => composed.manifest.digest().to_string(),
                None => request.graph.vertex(image.root).digest().to_string(),
            },
            created: Timestamp::from_unix(request.options.epoch.unwrap_or(build.now), 0).to_string(),
            tool: concat!("estiba-", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        all.push((SBOM, sbom::spdx::document(&inventory, &subject)));
    }
    if let Some(wanted) = &asked.provenance {
        let times = match request.options.epoch {
            Some(epoch) => (epoch, epoch),
            None => (build.now, unix_now()),
        };
        let layers = composed.map(|composed| composed.manifest.value().layers.clone()).unwrap_or_default();
        let invocation = invocation_id(build, image);
        all.push((PROVENANCE, provenance::predicate(request, image, wanted, &invocation, times, &layers)));
    }
    Ok(all)
}

/// What people call the image.
fn name_of(request: &Request, image: &Image) -> String {
    let name = request.tags.first().cloned().unwrap_or_else(|| "image".to_owned());
    if request.is_for_several() { format!("{name} ({})", image.platform) } else { name }
}

/// A build has its own name; one whose times are fixed has the same each time, as the same inputs have.
fn invocation_id(build: &Build<'_>, image: &Image) -> String {
    match build.request.options.epoch {
        Some(_) => build.request.graph.vertex(image.root).digest().digest().hex().chars().take(25).collect(),
        None => build.logs.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// Makes what is asked for of each image.
pub(crate) fn attest(build: &Build<'_>, chains: &[&Chain], composed: &[Composed]) -> Result<Vec<Attested>, Failure> {
    let request = build.request;
    if !request.options.attesting.is_asked() {
        return Ok(Vec::new());
    }
    let one = |((image, chain), composed): ((&Image, &&Chain), &Composed)| {
        let subject = composed.manifest.digest();
        let names = statement::names(&request.tags, &image.platform);
        let statements = predicates(build, image, chain, Some(composed))?.into_iter().map(|(kind, predicate)| {
            Ok((kind.to_owned(), serde_json::to_vec(&statement::of_image(kind, predicate, &names, &subject))?))
        });
        layout::Attested::new(subject, statements.collect::<Result<Vec<_>, Failure>>()?)
    };
    request.images.iter().zip(chains).zip(composed).map(one).collect()
}

/// The same as files, for outputs that are no images: names, and what is in them.
pub(crate) fn files(build: &Build<'_>, image: &Image, chain: &Chain) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let asked = &build.request.options.attesting;
    let only_inline = asked.provenance.as_ref().is_some_and(|wanted| wanted.inline_only);
    if !asked.is_asked() || (only_inline && !asked.sbom) {
        return Ok(Vec::new());
    }
    let subjects = statement::subjects_of(&build.layers.view(chain)?)?;
    let mut all = Vec::new();
    for (kind, predicate) in predicates(build, image, chain, None)? {
        if kind == PROVENANCE && only_inline {
            continue;
        }
        let own = asked.provenance.as_ref().and_then(|wanted| wanted.filename.clone());
        let name = match kind {
            PROVENANCE => own.unwrap_or_else(|| "provenance.json".to_owned()),
            _ => "sbom.spdx.json".to_owned(),
        };
        all.push((name, serde_json::to_vec_pretty(&statement::of(kind, predicate, &subjects))?));
    }
    Ok(all)
}

/// A digest as statements write it.
fn digest_set(digest: &Digest) -> Value {
    serde_json::json!({ digest.algorithm().name(): digest.hex() })
}
