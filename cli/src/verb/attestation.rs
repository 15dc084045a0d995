//! `estiba attestation`.

use builder::attest::{PROVENANCE, SBOM};
use serde_json::{Map, Value, json};

use crate::attached::{Statement, Wanted};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;
use crate::ui::table::Table;
use crate::wire::WireArgs;

const EXAMPLES: &str = "\
Examples:
  estiba attestation app                           What is attached to an image of the store
  estiba attestation docker://registry.example.com/app:1.2
  estiba attestation --type provenance app         The statement itself
  estiba attestation --type sbom app | jq .predicate.packages[].name
  estiba attestation --format '{{.PredicateType}}' app";

/// Arguments of `estiba attestation`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The image: of the store, else of its registry; or a place, such as oci:DIR or docker://NAME
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Print the statements of this type: provenance, sbom, or a predicate's URL
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Of an image for several platforms, what is attached to this one
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<oci::Platform>,
    /// Print by a Go template, `table TEMPLATE`, or as `json`
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "kind")]
    format: Option<String>,
    #[command(flatten)]
    wire: WireArgs,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let kind = args.kind.as_deref().map(|kind| match kind {
        "provenance" => PROVENANCE,
        "sbom" => SBOM,
        other => other,
    });
    let wanted = Wanted { image: &args.image, platform: args.platform.as_ref(), kind, wire: &args.wire };
    let found = wanted.find(context)?;
    if found.is_empty() {
        let what = args.kind.as_deref().unwrap_or("attestation");
        return Err(Error::failed(format!("`{}` has no {what} attached", args.image))
            .hint("`estiba build --provenance --sbom` attaches them"));
    }
    if kind.is_some() {
        for one in &found {
            let statement: Value = serde_json::from_slice(&one.bytes)?;
            ui::out(&format!("{}\n", serde_json::to_string_pretty(&statement)?))?;
        }
        return Ok(0);
    }
    let columns =
        vec![("Platform", "PLATFORM"), ("PredicateType", "PREDICATE TYPE"), ("Size", "SIZE"), ("Digest", "DIGEST")];
    let extra_headings = vec![("Image", "IMAGE"), ("Manifest", "MANIFEST")];
    let table = Table { columns, extra_headings, rows: found.iter().map(row).collect() };
    ui::out(&table.render(args.format.as_deref())?)?;
    Ok(0)
}

fn row(one: &Statement) -> Map<String, Value> {
    let about = &one.about;
    let platform = about.platform.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let digest = about.statement.as_ref().map(|statement| statement.digest.to_string());
    let shown = json!({
        "Platform": platform,
        "PredicateType": about.kind,
        "Size": one.bytes.len().to_string(),
        "Digest": digest,
        "Image": about.image,
        "Manifest": about.manifest,
    });
    match shown {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
