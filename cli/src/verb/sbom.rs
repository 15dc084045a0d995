//! `estiba sbom`.

use builder::attest::{self, SBOM};
use sbom::spdx;
use serde_json::{Map, Value, json};

use crate::attached::Wanted;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;
use crate::ui::table::Table;
use crate::wire::WireArgs;
use crate::{image, present, rootfs};

const EXAMPLES: &str = "\
Examples:
  estiba sbom app > app.spdx.json             What is attached to the image, else what is found in it
  estiba sbom --list app                      The packages as a table
  estiba sbom --list --format '{{.Name}} {{.Version}}' app
  estiba sbom --scan app                      Look into the image in any case";

/// Arguments of `estiba sbom`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The image: of the store, else of its registry; or a place, such as oci:DIR or docker://NAME
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Look into the image, whatever is attached to it
    #[arg(long)]
    scan: bool,
    /// Print a table of packages, instead of an SPDX document
    #[arg(short, long)]
    list: bool,
    /// Print each package by a Go template, `table TEMPLATE`, or as `json`
    #[arg(long, value_name = "TEMPLATE", requires = "list")]
    format: Option<String>,
    /// The platform, where the image has several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<oci::Platform>,
    #[command(flatten)]
    wire: WireArgs,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let host = oci::Platform::host();
    let platform = args.platform.as_ref().unwrap_or(&host);
    let wanted = Wanted { image: &args.image, platform: Some(platform), kind: Some(SBOM), wire: &args.wire };
    let here = wanted.in_store(context)?.is_some();
    let attached = if args.scan { Ok(Vec::new()) } else { wanted.find(context) };
    let document = match attached {
        Ok(found) if !found.is_empty() => {
            let statement: Value = serde_json::from_slice(&found[0].bytes)?;
            statement["predicate"].clone()
        }
        // What the store has, it can be looked into.
        Ok(_) | Err(_) if here => scanned(&args, context)?,
        Ok(_) => {
            return Err(Error::failed(format!("`{}` has no list of its packages attached", args.image))
                .hint("`estiba pull` brings the image into the store, where it can be looked into"));
        }
        Err(error) => return Err(error),
    };
    if args.list {
        ui::out(&listed(&document).render(args.format.as_deref())?)?;
    } else {
        ui::out(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
    }
    Ok(0)
}

/// A document of what is found in an image of the store.
fn scanned(args: &Args, context: &Context) -> Result<Value> {
    let Some(store) = context.existing_store()? else { return Err(image::missing_without_store(&args.image)) };
    let text = args.image.strip_prefix("store:").unwrap_or(&args.image);
    let (found, _) = image::find(&store, text, args.platform.as_ref())?;
    present::whole(&store, &found.manifest.digest())?;
    let (store, probe) = rootfs::enter(store)?;
    let inventory = attest::inventory_of(&store, &found.manifest, &found.config, Some(&probe))?;
    let subject = spdx::Subject {
        name: args.image.clone(),
        digest: found.manifest.digest().to_string(),
        created: oci::Timestamp::from_unix(crate::duration::now(), 0).to_string(),
        tool: concat!("estiba-", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    Ok(spdx::document(&inventory, &subject))
}

/// The packages of any SPDX document.
fn listed(document: &Value) -> Table {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for package in document["packages"].as_array().into_iter().flatten() {
        let references = package["externalRefs"].as_array();
        let purl = references.into_iter().flatten().find(|one| one["referenceType"] == "purl");
        let Some(purl) = purl.map(|one| text(&one["referenceLocator"])) else { continue };
        let kind = purl.strip_prefix("pkg:").and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
        let place = text(&package["sourceInfo"]);
        let shown = json!({
            "Type": kind,
            "Name": package["name"],
            "Version": text(&package["versionInfo"]),
            "License": text(&package["licenseDeclared"]),
            "Purl": purl,
            "Place": place.strip_prefix("found in ").unwrap_or(&place),
        });
        if let Value::Object(row) = shown {
            rows.push(row);
        }
    }
    let columns = vec![("Type", "TYPE"), ("Name", "NAME"), ("Version", "VERSION"), ("Place", "FOUND IN")];
    Table { columns, extra_headings: vec![("License", "LICENSE"), ("Purl", "PURL")], rows }
}
