//! `estiba delete`.

use builder::transfer::copy::{CopyError, Document, Parsed, fallback};
use oci::{Digest, Reference};
use remote::{Accept, Client, Reference as Named, Repository};

use crate::context::Context;
use crate::error::{Error, Result, code};
use crate::wire::{self, WireArgs};
use crate::{place, remedy, ui};

const EXAMPLES: &str = "\
Examples:
  estiba delete localhost:5000/app:old                   The tag; the image stays under its other tags and its digest
  estiba delete --manifest localhost:5000/app:old        The image that the tag names, with all of its tags
  estiba delete localhost:5000/app@sha256:…              The same, by its digest

Nothing is asked. Layers that no image of the registry needs any more go when the registry collects them. Images of the store
are removed by `estiba rmi`.";

/// Arguments of `estiba delete`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Tags, or images by digest
    #[arg(required = true, value_name = "REF")]
    references: Vec<String>,
    /// The image that a tag names, with all of its tags
    #[arg(long, conflicts_with = "tag_only")]
    manifest: bool,
    /// The tag alone, as is usual here: for those used to tools that delete the image
    #[arg(long)]
    tag_only: bool,
    #[command(flatten)]
    wire: WireArgs,
}

/// Runs the verb.
pub(super) fn run(args: Args, _: &Context) -> Result<u8> {
    let references = args.references.iter().map(|text| named(text)).collect::<Result<Vec<_>>>()?;
    if let Some(reference) = references.iter().find(|one| args.tag_only && one.digest().is_some()) {
        return Err(Error::usage(format!("`{}` is no tag: --tag-only has nothing to delete", reference.familiar())));
    }
    if args.wire.creds.is_some() && references.iter().any(|one| one.registry() != references[0].registry()) {
        return Err(Error::usage("--creds are for one registry, and there are several")
            .hint("`estiba login` keeps one for each"));
    }
    let client = wire::client(&args.wire.setup_for(&references[0].to_string())?)?;
    let results = wire::alone(async {
        let mut results = Vec::new();
        for reference in &references {
            results.push(delete(&client, reference, args.manifest).await);
        }
        results
    })?;
    let mut exit = 0;
    for result in results {
        match result {
            Ok(line) => ui::out(&line)?,
            Err(error) => {
                error.report();
                exit = code::FAILED;
            }
        }
    }
    Ok(exit)
}

/// A reference whose tag was written: nobody means `latest` by saying nothing.
fn named(text: &str) -> Result<Reference> {
    let reference = place::reference(text, "delete")?;
    let bare = text.strip_prefix("docker://").unwrap_or(text);
    let written = reference.digest().is_some() || reference.tag().is_some_and(|tag| bare.ends_with(&format!(":{tag}")));
    if written {
        return Ok(reference);
    }
    let name = reference.familiar_name();
    Err(Error::usage(format!("`{text}`: which one?"))
        .hint(format!("`{name}:latest`, or another of `estiba tags {name}`")))
}

/// Deletes one; gives what is told of it.
async fn delete(client: &Client, reference: &Reference, manifest: bool) -> Result<String> {
    let repository = client.route(reference)?.target().clone();
    let result = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => by_digest(&repository, digest).await.map(|()| *digest),
        (None, Some(tag)) if manifest => {
            async {
                let digest = match repository.head_manifest(tag, &Accept::default()).await?.digest {
                    Some(digest) => digest,
                    None => repository.manifest_by_tag(tag, &Accept::default()).await?.digest,
                };
                by_digest(&repository, &digest).await.map(|()| digest)
            }
            .await
        }
        (None, tag) => {
            let tag = tag.ok_or_else(|| Error::usage("nothing is named"))?;
            return match repository.delete_manifest(&Named::Tag(tag)).await {
                Ok(()) => Ok(format!("Untagged: {}\n", reference.familiar())),
                Err(error) => Err(explain(error.into(), client, reference, true).await),
            };
        }
    };
    match result {
        Ok(digest) => Ok(format!("Deleted: {}@{digest}\n", reference.familiar_name())),
        Err(error) => Err(explain(error, client, reference, false).await),
    }
}

/// Deletes a manifest; where a tag stands in for the list of referrers, it is taken out of that, too.
async fn by_digest(repository: &Repository, digest: &Digest) -> std::result::Result<(), CopyError> {
    let subject = subject_of(repository, digest).await;
    repository.delete_manifest(&Named::Digest(digest)).await?;
    if let Some(subject) = subject
        && repository.referrers(&subject, None).await.is_err_and(|error| error.is_not_found())
    {
        fallback::remove(repository, &subject, digest).await?;
    }
    Ok(())
}

/// What a manifest refers to. That it cannot be read must not keep anybody from deleting it.
async fn subject_of(repository: &Repository, digest: &Digest) -> Option<Digest> {
    let fetched = repository.manifest_by_digest(digest, &Accept::default()).await.ok()?;
    let document = Document { bytes: fetched.bytes, media_type: fetched.media_type, digest: fetched.digest };
    match document.parse().ok()? {
        Parsed::Image(manifest) => manifest.subject.map(|subject| subject.digest),
        Parsed::Index(index) => index.subject.map(|subject| subject.digest),
    }
}

async fn explain(error: CopyError, client: &Client, reference: &Reference, of_a_tag: bool) -> Error {
    let status = match &error {
        CopyError::Remote(refusal) => refusal.status().map(|status| status.as_u16()),
        _ => None,
    };
    let explained = Error::from(error);
    match status {
        Some(400 | 405) if of_a_tag => explained
            .hint("this registry deletes no tags, or nothing at all")
            .hint(format!("`estiba delete --manifest {}` deletes the image with all of its tags", reference.familiar())),
        Some(405) => explained.hint(
            "deleting is switched off at this registry: `storage.delete.enabled` of distribution, `[storage] delete` of `estiba registry`",
        ),
        Some(404) => remedy::with_near_tags(explained, client, reference).await,
        _ => explained,
    }
}
