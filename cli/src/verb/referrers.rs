//! `estiba referrers`.

use std::future::Future;
use std::pin::Pin;

use builder::transfer::copy::{self, CopyError, Opened, Place};
use oci::{Descriptor, Digest, Platform};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Result;
use crate::place::{self, Ready};
use crate::ui;
use crate::ui::table::{self, Table};
use crate::wire::{self, WireArgs};

/// Referrers have referrers; nobody nests deeper.
const MAX_NESTING: usize = 8;

const EXAMPLES: &str = "\
Examples:
  estiba referrers registry.example.com/app:1.2
  estiba referrers --artifact-type application/spdx+json app:1.2
  estiba referrers --tree app:1.2
  estiba referrers --json --platform linux/amd64 app:1.2
  estiba referrers oci:layout:1.2";

/// Arguments of `estiba referrers`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The image, in a registry or an OCI layout
    #[arg(value_name = "IMAGE")]
    image: Place,
    /// Only artifacts of this type
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,
    /// Also what refers to what refers to it
    #[arg(long)]
    tree: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Of an index the image for this platform, and not the index
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    #[command(flatten)]
    wire: WireArgs,
}

/// A referrer, and what refers to it.
struct Node {
    descriptor: Descriptor,
    below: Vec<Node>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let mut ready = Ready::remote(wire::client(&place::setup(&args.wire, &args.image)?)?);
    if matches!(args.image, Place::Store(_)) {
        ready = ready.with_documents(context, false)?;
    }
    let sink = place::silence();
    let (subject, nodes) = wire::alone(async {
        match find(&ready, &sink, &args).await {
            Ok(found) => Ok(found),
            Err(error) => Err(place::explain(error, &ready.source, &args.image).await),
        }
    })??;
    let name = match &args.image {
        Place::Registry(reference) => format!("{}@{subject}", reference.familiar_name()),
        other => format!("{other} ({subject})"),
    };
    if args.json {
        let listed = json!({"reference": name, "digest": subject, "referrers": nodes.iter().map(Node::json).collect::<Vec<_>>()});
        ui::out(&format!("{}\n", serde_json::to_string_pretty(&listed)?))?;
    } else if args.tree {
        let mut text = format!("{name}\n");
        draw(&nodes, "", &mut text);
        ui::out(&text)?;
    } else {
        ui::out(&rows(&nodes).render(None)?)?;
    }
    Ok(0)
}

async fn find(
    ready: &Ready,
    sink: &builder::transfer::Sink,
    args: &Args,
) -> std::result::Result<(Digest, Vec<Node>), CopyError> {
    let opened = copy::open(&ready.hands(sink), &args.image).await?;
    let subject = match &args.platform {
        Some(platform) => opened.image(Some(platform)).await?.0.digest,
        None => opened.top().await?.digest,
    };
    let depth = if args.tree { MAX_NESTING } else { 1 };
    let mut nodes = below(&opened, subject, depth).await?;
    if let Some(wanted) = &args.artifact_type {
        nodes.retain(|node| node.descriptor.artifact_type.as_deref() == Some(wanted));
    }
    Ok((subject, nodes))
}

type Found<'f> = Pin<Box<dyn Future<Output = std::result::Result<Vec<Node>, CopyError>> + 'f>>;

fn below(opened: &Opened, subject: Digest, depth: usize) -> Found<'_> {
    Box::pin(async move {
        let mut nodes = Vec::new();
        if depth == 0 {
            return Ok(nodes);
        }
        for descriptor in opened.referrers(&subject).await? {
            let below = if depth > 1 { below(opened, descriptor.digest, depth - 1).await? } else { Vec::new() };
            nodes.push(Node { descriptor, below });
        }
        Ok(nodes)
    })
}

impl Node {
    fn json(&self) -> Value {
        let mut value = serde_json::to_value(&self.descriptor).unwrap_or_default();
        if !self.below.is_empty() {
            value["referrers"] = self.below.iter().map(Node::json).collect();
        }
        value
    }

    fn kind(&self) -> &str {
        self.descriptor.artifact_type.as_deref().unwrap_or("-")
    }
}

fn rows(nodes: &[Node]) -> Table {
    let row = |node: &Node| {
        let title = |key: &str| node.descriptor.annotations.get(key).cloned().unwrap_or_default();
        let fields = [
            ("Digest", json!(node.descriptor.digest)),
            ("Type", json!(node.kind())),
            ("Size", json!(node.descriptor.size)),
            ("Created", json!(title("org.opencontainers.image.created"))),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let columns: Vec<table::Column> = vec![("Digest", "DIGEST"), ("Type", "ARTIFACT TYPE"), ("Created", "CREATED")];
    Table { columns, extra_headings: vec![("Size", "SIZE")], rows: nodes.iter().map(row).collect() }
}

fn draw(nodes: &[Node], indent: &str, out: &mut String) {
    for (at, node) in nodes.iter().enumerate() {
        let last = at + 1 == nodes.len();
        let (branch, next) = if last { ("└── ", "    ") } else { ("├── ", "│   ") };
        out.push_str(&format!("{indent}{branch}{} {}\n", node.kind(), node.descriptor.digest));
        draw(&node.below, &format!("{indent}{next}"), out);
    }
}
