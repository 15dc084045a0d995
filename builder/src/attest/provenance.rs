//! The predicate of provenance: SLSA v1 in BuildKit's form, its "SLSA definitions". What `mode=min` leaves out is decided here.

use std::collections::BTreeMap;

use graph::{Edge, MountKind, Network, Op, Source};
use oci::{Descriptor, Platform, Timestamp};
use serde_json::{Map, Value, json};

use super::{digest_set, purl, steps};
use crate::{Image, Provenance, Request};

/// What BuildKit's predicates are called: ours have the same shape.
const BUILD_TYPE: &str = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";

/// How an image was made. `times` are its beginning and end, in seconds since 1970; `layers` are the image's.
pub(super) fn predicate(
    request: &Request,
    image: &Image,
    wanted: &Provenance,
    invocation: &str,
    times: (i64, i64),
    layers: &[Descriptor],
) -> Value {
    let order = request.graph.reachable(&[image.root]);
    let has_locals = !locals(request, &order).is_empty();
    let mut internal = Map::new();
    internal.insert("builderPlatform".to_owned(), json!(Platform::host().to_string()));
    let mut metadata = Map::new();
    metadata.insert("vcs".to_owned(), json!(request.options.attesting.invocation.vcs));
    if request.options.attesting.invocation.vcs.is_empty() {
        metadata.clear();
    }
    if wanted.max {
        internal.insert("buildConfig".to_owned(), steps::config(&request.graph, &order));
        metadata.insert("source".to_owned(), source(request, &order));
        metadata.insert("layers".to_owned(), json!({ format!("{}:0", steps::name(order.len() - 1)): [layers] }));
    }
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "configSource": config_source(request),
                "request": asked(request, &order, wanted.max),
            },
            "internalParameters": internal,
            "resolvedDependencies": dependencies(request, &order),
        },
        "runDetails": {
            "builder": { "id": wanted.builder_id },
            "metadata": {
                "invocationId": invocation,
                "startedOn": Timestamp::from_unix(times.0, 0),
                "finishedOn": Timestamp::from_unix(times.1, 0),
                "buildkit_metadata": metadata,
                "buildkit_hermetic": !has_locals && !uses_network(request, &order),
                "buildkit_completeness": { "request": wanted.max, "resolvedDependencies": !has_locals },
                "buildkit_reproducible": wanted.reproducible,
            },
        },
    })
}

fn config_source(request: &Request) -> Value {
    let invocation = &request.options.attesting.invocation;
    let mut fields = Map::new();
    if let Some(uri) = &invocation.uri {
        fields.insert("uri".to_owned(), json!(uri));
        fields.insert("digest".to_owned(), json!(invocation.digest));
    }
    fields.insert("path".to_owned(), json!(invocation.path));
    Value::Object(fields)
}

/// Values of build arguments and labels, and names of secrets, are told with `mode=max` only.
fn asked(request: &Request, order: &[Edge], max: bool) -> Value {
    let invocation = &request.options.attesting.invocation;
    let told = |key: &str| max || !(key.starts_with("build-arg:") || key.starts_with("label:"));
    let args: BTreeMap<&String, &String> = invocation.args.iter().filter(|(key, _)| told(key)).collect();
    let mut fields = Map::new();
    fields.insert("frontend".to_owned(), json!("dockerfile.v0"));
    fields.insert("args".to_owned(), json!(args));
    fields
        .insert("locals".to_owned(), locals(request, order).into_iter().map(|name| json!({ "name": name })).collect());
    if max {
        let (secrets, agents) = mounted(request, order);
        fields.insert("secrets".to_owned(), Value::Array(secrets));
        fields.insert("ssh".to_owned(), Value::Array(agents));
    }
    Value::Object(fields)
}

/// Secrets and agents that steps mount, by name, in the order of the steps.
fn mounted(request: &Request, order: &[Edge]) -> (Vec<Value>, Vec<Value>) {
    let (mut secrets, mut agents) = (Vec::new(), Vec::new());
    for edge in order {
        let Op::Exec(exec) = request.graph.vertex(*edge).op() else { continue };
        for mount in &exec.mounts {
            let (list, id, required) = match &mount.kind {
                MountKind::Secret { id, required, .. } => (&mut secrets, id, required),
                MountKind::Ssh { id, required, .. } => (&mut agents, id, required),
                MountKind::Bind { .. } | MountKind::Cache { .. } | MountKind::Tmpfs { .. } | MountKind::File { .. } => {
                    continue;
                }
            };
            let one = json!({ "id": id, "optional": !required });
            if !list.contains(&one) {
                list.push(one);
            }
        }
    }
    (secrets, agents)
}

/// Folders of this machine that the build reads, the Dockerfile's among them.
fn locals(request: &Request, order: &[Edge]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for edge in order {
        if let Op::Source(Source::Local { name }) = request.graph.vertex(*edge).op()
            && !(name == "context" && request.options.attesting.invocation.uri.is_some())
        {
            names.push(name.clone());
        }
    }
    if request.options.attesting.invocation.uri.is_none() {
        names.push("dockerfile".to_owned());
    }
    names.sort();
    names.dedup();
    names
}

fn uses_network(request: &Request, order: &[Edge]) -> bool {
    order.iter().any(|edge| match request.graph.vertex(*edge).op() {
        Op::Exec(exec) => exec.network != Network::None,
        Op::Source(_) | Op::File(_) | Op::Merge(_) => false,
    })
}

/// What came from outside, with what it was.
fn dependencies(request: &Request, order: &[Edge]) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let invocation = &request.options.attesting.invocation;
    if let Some(uri) = &invocation.uri {
        all.push(json!({ "uri": uri, "digest": invocation.digest }));
    }
    for edge in order {
        let Op::Source(source) = request.graph.vertex(*edge).op() else { continue };
        let one = match source {
            Source::Image { reference, manifest, platform } => {
                json!({ "uri": purl::of_image(reference, Some(platform)), "digest": digest_set(manifest) })
            }
            Source::Http(http) => json!({ "uri": http.url, "digest": digest_set(&http.digest) }),
            Source::Git(git) => {
                let algorithm = if git.commit.len() == 64 { "sha256" } else { "sha1" };
                json!({ "uri": steps::git_address(git), "digest": { algorithm: git.commit } })
            }
            Source::Scratch | Source::Local { .. } => continue,
        };
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

/// Which lines each step is of, and the Dockerfile itself.
fn source(request: &Request, order: &[Edge]) -> Value {
    let mut locations = Map::new();
    for (number, edge) in order.iter().enumerate() {
        if let Some(location) = &request.graph.vertex(*edge).meta().location {
            let range = json!({ "start": { "line": location.first_line }, "end": { "line": location.last_line } });
            locations.insert(steps::name(number), json!({ "locations": [{ "ranges": [range] }] }));
        }
    }
    let invocation = &request.options.attesting.invocation;
    json!({
        "locations": locations,
        "infos": [{ "filename": invocation.path, "language": "Dockerfile", "data": steps::base64(invocation.text.as_bytes()) }],
    })
}
