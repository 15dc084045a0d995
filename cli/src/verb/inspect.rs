//! `estiba inspect`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use store::Store;

use crate::context::Context;
use crate::error::{Error, Result, code};
use crate::image::{self, Image, familiar};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba inspect app
  estiba inspect -f '{{.Id}}' app
  estiba inspect -f '{{json .Config.Env}}' app
  estiba inspect -f '{{index .Config.Labels \"org.opencontainers.image.version\"}}' app";

/// Arguments of `estiba inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Print by a Go template, or as `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// The platform, where an image has several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<oci::Platform>,
    /// The kind of object; `image` is the only one yet
    #[arg(long, hide = true)]
    r#type: Option<String>,
    /// Accepted for docker's sake
    #[arg(short, long, hide = true)]
    size: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    if let Some(kind) = args.r#type.as_deref().filter(|kind| *kind != "image") {
        return Err(Error::later(&format!("`--type={kind}`"), ""));
    }
    let store = context.existing_store()?;
    let mut found = Vec::new();
    let mut exit = 0;
    for text in &args.images {
        let inspected = match &store {
            Some(store) => {
                image::find(store, text, args.platform.as_ref()).and_then(|(image, _)| Inspected::new(store, &image))
            }
            None => Err(image::missing_without_store(text)),
        };
        match inspected {
            Ok(inspected) => found.push(inspected),
            Err(error) => {
                error.report();
                exit = code::FAILED;
            }
        }
    }
    match args.format.as_deref() {
        None => {
            let serializer_indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            let mut out = Vec::new();
            found.serialize(&mut serde_json::Serializer::with_formatter(&mut out, serializer_indent))?;
            ui::out(&format!("{}\n", String::from_utf8_lossy(&out)))?;
        }
        Some("json") => ui::out(&format!("{}\n", serde_json::to_string(&found)?))?,
        Some(format) => {
            for one in &found {
                ui::out(&ui::object(format, &serde_json::to_value(one)?)?)?;
            }
        }
    }
    Ok(exit)
}

/// An image as `docker image inspect` shows it, in docker's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    parent: &'static str,
    comment: String,
    created: String,
    docker_version: &'static str,
    author: String,
    config: Value,
    architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_version: Option<String>,
    size: u64,
    graph_driver: Value,
    #[serde(rename = "RootFS")]
    root_fs: Value,
    metadata: Value,
    descriptor: Value,
}

impl Inspected {
    fn new(store: &Store, image: &Image) -> Result<Self> {
        let config = image.config.value();
        let mut rows: Vec<_> = Vec::new();
        for named in image::all(store)? {
            if named.image.id() == image.id() {
                rows.extend(named.rows);
            }
        }
        let names: Vec<_> = rows.iter().filter_map(|row| familiar(&row.name)).collect();
        let digest = image.manifest.digest();
        let mut repo_digests = Vec::new();
        for (row, name) in rows.iter().filter_map(|row| Some((row, familiar(&row.name)?))) {
            if is_at(store, image, &name)? {
                repo_digests.push(format!("{}@{}", name.familiar_name(), row.manifest));
            }
        }
        repo_digests.dedup();
        let tagged = rows.iter().map(|row| row.created).max().unwrap_or(0);
        Ok(Self {
            id: image.id().to_string(),
            repo_tags: names.iter().map(oci::Reference::familiar).collect(),
            repo_digests,
            parent: "",
            comment: config.history.last().map(|entry| entry.comment.clone()).unwrap_or_default(),
            created: config.created.as_ref().map(ToString::to_string).unwrap_or_default(),
            docker_version: "",
            author: config.author.clone(),
            config: container_config(&config.config)?,
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
            os: config.os.clone(),
            os_version: config.os_version.clone(),
            size: image.size(store)?,
            graph_driver: json!({"Data": null, "Name": "estiba"}),
            root_fs: json!({"Type": "layers", "Layers": config.rootfs.diff_ids}),
            metadata: json!({"LastTagTime": oci::Timestamp::from_unix(tagged, 0)}),
            descriptor: json!({
                "mediaType": image.manifest.value().media_type.as_deref().unwrap_or(oci::media_type::OCI_MANIFEST),
                "digest": digest,
                "size": image.manifest.size(),
            }),
        })
    }
}

/// Whether the repository of this name has the image as it is here. One that was built here has other bytes there: a push
/// compresses its layers.
fn is_at(store: &Store, image: &Image, name: &oci::Reference) -> Result<bool> {
    let manifest = image.manifest.value();
    for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
        let seen = store.index().origins(&blob.digest)?;
        let is_its = |origin: &store::Origin| {
            origin.registry == name.registry() && origin.repository == name.repository().as_str()
        };
        if !seen.iter().any(is_its) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The configuration with the fields that docker always shows: templates rely on their being there.
fn container_config(config: &oci::ContainerConfig) -> Result<Value> {
    let mut shown = serde_json::to_value(config)?;
    let always: BTreeMap<&str, Value> = [
        ("Hostname", json!("")),
        ("Domainname", json!("")),
        ("User", json!("")),
        ("AttachStdin", json!(false)),
        ("AttachStdout", json!(false)),
        ("AttachStderr", json!(false)),
        ("Tty", json!(false)),
        ("OpenStdin", json!(false)),
        ("StdinOnce", json!(false)),
        ("ExposedPorts", json!({})),
        ("Env", Value::Null),
        ("Cmd", Value::Null),
        ("Image", json!("")),
        ("Volumes", Value::Null),
        ("WorkingDir", json!("")),
        ("Entrypoint", Value::Null),
        ("OnBuild", Value::Null),
        ("Labels", Value::Null),
        ("Healthcheck", Value::Null),
        ("StopSignal", json!("")),
        ("Shell", Value::Null),
    ]
    .into();
    if let Value::Object(map) = &mut shown {
        for (name, empty) in always {
            map.entry(name).or_insert(empty);
        }
    }
    Ok(shown)
}
