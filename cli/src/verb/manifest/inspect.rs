//! `estiba manifest inspect`.

use builder::transfer::Sink;
use builder::transfer::copy::{self, CopyError, Document, Opened, Parsed, Place};
use oci::{Descriptor, Platform, media_type};
use serde::Serialize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Result;
use crate::place::{self, Ready};
use crate::ui;
use crate::wire::{self, WireArgs};

const EXAMPLES: &str = "\
Examples:
  estiba manifest inspect debian:bookworm
  estiba manifest inspect --raw debian:bookworm | sha256sum
  estiba manifest inspect --verbose --platform linux/arm64 debian:bookworm
  estiba manifest inspect --config debian:bookworm | jq .config.Env
  estiba manifest inspect store:app
  estiba manifest inspect oci:layout:1.2

A name means the registry's image; `store:NAME` is the store's.";

/// Arguments of `estiba manifest inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The image, index or artifact
    #[arg(value_name = "IMAGE")]
    image: Place,
    /// The exact bytes
    #[arg(long, conflicts_with = "verbose")]
    raw: bool,
    /// With descriptors; of an index, every manifest that it lists
    #[arg(short, long)]
    verbose: bool,
    /// The image's configuration instead
    #[arg(long, conflicts_with = "verbose")]
    config: bool,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Accepted for docker's sake
    #[arg(long, hide = true)]
    insecure: bool,
    #[command(flatten)]
    wire: WireArgs,
}

/// Runs the verb.
pub(super) fn run(mut args: Args, context: &Context) -> Result<u8> {
    if args.insecure && args.wire.tls_verify.is_none() {
        args.wire.tls_verify = Some(false);
    }
    let mut ready = Ready::remote(wire::client(&place::setup(&args.wire, &args.image)?)?);
    if matches!(args.image, Place::Store(_)) {
        ready = ready.with_documents(context, false)?;
    }
    let sink = place::silence();
    let shown = wire::alone(async {
        match show(&ready, &sink, &args).await {
            Ok(shown) => Ok(shown),
            Err(error) => Err(place::explain(error, &ready.source, &args.image).await),
        }
    })??;
    ui::out(&shown)?;
    Ok(0)
}

async fn show(ready: &Ready, sink: &Sink, args: &Args) -> std::result::Result<String, CopyError> {
    let opened = copy::open(&ready.hands(sink), &args.image).await?;
    if args.config {
        let (_, manifest) = opened.image(args.platform.as_ref()).await?;
        let bytes = opened.config(&manifest).await?;
        return if args.raw { Ok(String::from_utf8_lossy(&bytes).into_owned()) } else { Ok(indented(&bytes)) };
    }
    let document = match &args.platform {
        Some(platform) => opened.image(Some(platform)).await?.0,
        None => opened.top().await?,
    };
    if args.verbose {
        let described = described(&opened, &document, args).await?;
        return Ok(pretty(&described));
    }
    if args.raw { Ok(String::from_utf8_lossy(&document.bytes).into_owned()) } else { Ok(indented(&document.bytes)) }
}

/// docker's form: an object for an image, a list of them for an index.
async fn described(opened: &Opened, document: &Document, args: &Args) -> std::result::Result<Value, CopyError> {
    let name = match &args.image {
        Place::Registry(reference) => reference.to_string(),
        other => other.to_string(),
    };
    match document.parse()? {
        Parsed::Image(manifest) => {
            let mut descriptor = document.descriptor();
            descriptor.platform = opened.platform(&manifest).await?;
            Ok(one(&name, &descriptor, document))
        }
        Parsed::Index(index) => {
            let repository = match &args.image {
                Place::Registry(reference) => reference.name(),
                other => other.to_string(),
            };
            let mut all = Vec::new();
            for child in &index.manifests {
                let inner = opened.document(child).await?;
                all.push(one(&format!("{repository}@{}", child.digest), child, &inner));
            }
            Ok(Value::Array(all))
        }
    }
}

fn one(name: &str, descriptor: &Descriptor, document: &Document) -> Value {
    let kind = match document.media_type.as_str() {
        media_type::DOCKER_MANIFEST => "SchemaV2Manifest",
        media_type::OCI_INDEX | media_type::DOCKER_INDEX => "Index",
        _ => "OCIManifest",
    };
    let content: Value = serde_json::from_slice(&document.bytes).unwrap_or_default();
    json!({"Ref": name, "Descriptor": descriptor, kind: content})
}

/// A document with docker's indents, fields in their own order.
fn indented(bytes: &[u8]) -> String {
    let raw: Result<Box<serde_json::value::RawValue>, _> = serde_json::from_slice(bytes);
    match raw {
        Ok(raw) => layout(raw.get()),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    // A vector takes every byte, and a value has only text for keys.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter));
    format!("{}\n", String::from_utf8_lossy(&out))
}

/// JSON text with line breaks, and nothing else changed: serde_json's values would sort the fields.
fn layout(text: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    let mut characters = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("   ", depth));
    };
    while let Some(character) = characters.next() {
        if quoted {
            out.push(character);
            (quoted, escaped) = match (character, escaped) {
                ('"', false) => (false, false),
                ('\\', false) => (true, true),
                _ => (true, false),
            };
            continue;
        }
        match character {
            '"' => {
                quoted = true;
                out.push(character);
            }
            '{' | '[' => {
                out.push(character);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_the_order_of_their_fields() {
        let text = r#"{"z": [ ],"a":{"k\"}":"v, {w}"} ,"n":[1,2]}"#;
        let expected = "{\n   \"z\": [],\n   \"a\": {\n      \"k\\\"}\": \"v, {w}\"\n   },\n   \"n\": [\n      1,\n      2\n   ]\n}\n";
        assert_eq!(indented(text.as_bytes()), expected);
    }
}
