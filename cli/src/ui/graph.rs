//! `--print=graph`: the build graph as text, JSON, or Graphviz.

use builder::Image;
use graph::{Edge, Graph, MountKind, Op, Source, Vertex};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::ui::style::harmless;

/// Digits of a digest that tell vertices apart in print.
const SHORT: usize = 12;

/// Prints the part of the graph that the build needs, as `what` says.
pub(crate) fn print(what: &str, graph: &Graph, images: &[Image]) -> Result<String> {
    let roots: Vec<Edge> = images.iter().map(|image| image.root).collect();
    let vertices: Vec<(Edge, &Vertex)> =
        graph.reachable(&roots).into_iter().map(|edge| (edge, graph.vertex(edge))).collect();
    match what {
        "graph" | "graph=text" => Ok(text(&vertices)),
        "graph=json" => json_form(images, &vertices),
        "graph=dot" => Ok(dot(&vertices)),
        other => Err(Error::usage(format!("--print={other}: expected graph, graph=json or graph=dot"))),
    }
}

fn text(vertices: &[(Edge, &Vertex)]) -> String {
    let mut out = String::new();
    for (edge, vertex) in vertices {
        let inputs: Vec<_> = vertex.inputs().iter().map(|input| format!("#{}", input.index())).collect();
        let reads = if inputs.is_empty() { String::new() } else { format!("  <- {}", inputs.join(" ")) };
        let digest = &vertex.digest().digest().hex()[..SHORT];
        out.push_str(&format!(
            "#{} {digest} {} {}{reads}\n",
            edge.index(),
            kind(vertex.op()),
            harmless(&vertex.meta().name)
        ));
    }
    out
}

/// The word for an operation.
fn kind(op: &Op) -> &'static str {
    match op {
        Op::Source(Source::Scratch) => "scratch",
        Op::Source(Source::Image { .. }) => "image",
        Op::Source(Source::Local { .. }) => "local",
        Op::Source(Source::Http(_)) => "http",
        Op::Source(Source::Git(_)) => "git",
        Op::Exec(_) => "exec",
        Op::File(_) => "file",
        Op::Merge(_) => "merge",
    }
}

fn json_form(images: &[Image], vertices: &[(Edge, &Vertex)]) -> Result<String> {
    let list: Vec<Value> = vertices
        .iter()
        .map(|(edge, vertex)| {
            json!({
                "vertex": edge.index(),
                "digest": vertex.digest(),
                "name": vertex.meta().name,
                "stage": vertex.meta().stage,
                "location": vertex.meta().location,
                "ignoreCache": vertex.meta().ignore_cache,
                "op": vertex.op(),
                "inputs": vertex.inputs().iter().map(|input| input.index()).collect::<Vec<_>>(),
            })
        })
        .collect();
    let image = |image: &Image| json!({ "platform": image.platform.to_string(), "root": image.root.index(), "config": image.config });
    let mut all = json!({ "vertices": list });
    match images {
        [only] => (all["root"], all["config"]) = (json!(only.root.index()), json!(only.config)),
        several => all["images"] = several.iter().map(image).collect(),
    }
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

fn dot(vertices: &[(Edge, &Vertex)]) -> String {
    let mut out = String::from("digraph build {\n  rankdir=BT;\n  node [shape=box, fontname=\"monospace\"];\n");
    for (edge, vertex) in vertices {
        let shape = if matches!(vertex.op(), Op::Source(_)) { ", style=rounded" } else { "" };
        out.push_str(&format!("  v{} [label={}{shape}];\n", edge.index(), quoted(&vertex.meta().name)));
    }
    for (edge, vertex) in vertices {
        for (at, input) in vertex.inputs().iter().enumerate() {
            let style = if is_mount(vertex.op(), at) { " [style=dashed]" } else { "" };
            out.push_str(&format!("  v{} -> v{}{style};\n", input.index(), edge.index()));
        }
    }
    out.push_str("}\n");
    out
}

/// Whether an input is read through a mount rather than built upon.
fn is_mount(op: &Op, input: usize) -> bool {
    let Op::Exec(exec) = op else { return false };
    exec.mounts.iter().any(|mount| match &mount.kind {
        MountKind::Bind { input: from, .. } => *from == input,
        MountKind::Cache { seed, .. } => seed.as_ref().is_some_and(|(from, _)| *from == input),
        MountKind::Tmpfs { .. } | MountKind::File { .. } | MountKind::Secret { .. } | MountKind::Ssh { .. } => false,
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", harmless(text).replace('\\', "\\\\").replace('"', "\\\""))
}
