//! The steps of a build in the words of BuildKit's definitions.

use graph::{Edge, Exec, FileAction, Git, Graph, Mount, MountKind, Network, Op, Security, Source};
use serde_json::{Map, Value, json};

/// A step's name.
pub(super) fn name(number: usize) -> String {
    format!("step{number}")
}

/// All steps, inputs before those that read them, and which digest is which.
pub(super) fn config(graph: &Graph, order: &[Edge]) -> Value {
    let number = |edge: &Edge| order.iter().position(|one| one == edge).unwrap_or_default();
    let mut steps = Vec::new();
    let mut digests = Map::new();
    for (at, edge) in order.iter().enumerate() {
        let vertex = graph.vertex(*edge);
        let inputs: Vec<String> = vertex.inputs().iter().map(|input| format!("{}:0", name(number(input)))).collect();
        steps.push(json!({ "id": name(at), "op": { "Op": operation(vertex.op()) }, "inputs": inputs }));
        digests.insert(vertex.digest().to_string(), json!(name(at)));
    }
    json!({ "llbDefinition": steps, "digestMapping": digests })
}

fn operation(op: &Op) -> Value {
    match op {
        Op::Source(source) => json!({ "source": { "identifier": identifier(source) } }),
        Op::Exec(exec) => json!({ "exec": execution(exec) }),
        Op::File(file) => json!({ "file": { "actions": file.actions.iter().map(action).collect::<Vec<_>>() } }),
        Op::Merge(_) => json!({ "merge": {} }),
    }
}

fn identifier(source: &Source) -> String {
    match source {
        Source::Scratch => "scratch://".to_owned(),
        Source::Image { reference, manifest, .. } => {
            let bare = reference.split('@').next().unwrap_or(reference);
            format!("docker-image://{bare}@{manifest}")
        }
        Source::Local { name } => format!("local://{name}"),
        Source::Http(http) => http.url.clone(),
        Source::Git(git) => format!("git://{}", git_address(git)),
    }
}

/// A repository with what was asked of it: `url#ref:subdir`.
pub(super) fn git_address(git: &Git) -> String {
    let mut address = git.url.clone();
    let reference = git.reference.as_deref().unwrap_or_default();
    if !reference.is_empty() || git.subdir.is_some() {
        address.push('#');
        address.push_str(reference);
    }
    if let Some(folder) = &git.subdir {
        address.push(':');
        address.push_str(folder);
    }
    address
}

/// Proxies are not told: their addresses may have passwords.
fn execution(exec: &Exec) -> Value {
    let env: Vec<String> = exec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut fields = Map::new();
    let mut meta = json!({ "args": exec.args, "env": env, "cwd": exec.cwd });
    if !exec.user.is_empty() {
        meta["user"] = json!(exec.user);
    }
    fields.insert("meta".to_owned(), meta);
    fields.insert("mounts".to_owned(), exec.mounts.iter().map(mount).collect());
    // Numbers of BuildKit's own enumerations.
    match exec.network {
        Network::Default => {}
        Network::Host => drop(fields.insert("network".to_owned(), json!(1))),
        Network::None => drop(fields.insert("network".to_owned(), json!(2))),
    }
    if exec.security == Security::Insecure {
        fields.insert("security".to_owned(), json!(1));
    }
    Value::Object(fields)
}

fn mount(mount: &Mount) -> Value {
    let mut fields = match &mount.kind {
        MountKind::Bind { input, source } => json!({ "input": input, "selector": source }),
        MountKind::Cache { id, .. } => json!({ "mountType": 3, "cacheOpt": { "ID": id } }),
        MountKind::Tmpfs { size } => json!({ "mountType": 4, "TmpfsOpt": { "size": size.unwrap_or(0) } }),
        MountKind::File { .. } => json!({ "mountType": 0 }),
        MountKind::Secret { id, required, .. } => {
            json!({ "mountType": 1, "secretOpt": { "ID": id, "optional": !required } })
        }
        MountKind::Ssh { id, required, .. } => json!({ "mountType": 2, "SSHOpt": { "ID": id, "optional": !required } }),
    };
    fields["dest"] = json!(mount.target);
    if mount.readonly {
        fields["readonly"] = json!(true);
    }
    fields
}

fn action(action: &FileAction) -> Value {
    match action {
        FileAction::Copy(copy) => json!({
            "Action": { "copy": { "src": copy.sources, "dest": copy.dest, "excludePatterns": copy.exclude } },
            "secondaryInput": copy.input,
        }),
        FileAction::WriteFile { path, data, .. } => {
            json!({ "Action": { "mkfile": { "path": path, "data": base64(data) } } })
        }
        FileAction::MakeDir { path, mode, parents, .. } => {
            json!({ "Action": { "mkdir": { "path": path, "mode": mode, "makeParents": parents } } })
        }
    }
}

/// Bytes as JSON has them, RFC 4648.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let six = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit <= three.len() { char::from(DIGITS[six as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn the_examples_of_the_rfc() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
