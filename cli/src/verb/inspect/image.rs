//! An image as `docker image inspect` shows it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use store::Store;

use crate::error::Result;
use crate::image::{self, Image, familiar};

/// An image as `docker image inspect` shows it, in docker's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
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
    pub(super) fn new(store: &Store, image: &Image) -> Result<Self> {
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
pub(super) fn container_config(config: &oci::ContainerConfig) -> Result<Value> {
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
