//! `--provenance`, `--sbom`, `--verify`, `estiba attestation` and `estiba sbom`.

use std::fs;

use serde_json::Value;

use crate::runner::Env;

/// What no attestation may tell.
const HIDDEN: &str = "tell-nobody-4711";

/// A tree with packages of several kinds.
const DOCKERFILE: &str = "FROM busybox\nARG TOKEN=none\nCOPY status /var/lib/dpkg/status\nCOPY package.json /app/node_modules/left-pad/\nRUN echo \"$TOKEN\" > /made && mkdir -p /etc && echo ID=debian > /etc/os-release\n";

fn tree(env: &Env) {
    env.write("status", "Package: curl\nStatus: install ok installed\nVersion: 7.88.1\nArchitecture: amd64\n");
    env.write("package.json", r#"{"name":"left-pad","version":"1.3.0","license":"WTFPL"}"#);
}

fn statement(env: &Env, kind: &str, image: &str) -> Value {
    serde_json::from_str(&env.ok(&["attestation", "--type", kind, image])).unwrap()
}

/// The digest of the image, and of the index over it and what is attached.
fn digests(env: &Env, name: &str) -> (String, String) {
    let inspected: Value = serde_json::from_str(&env.ok(&["inspect", name])).unwrap();
    let meta: Value = serde_json::from_slice(&fs::read(env.work().join("meta.json")).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&inspected[0]["Descriptor"]["digest"]), text(&meta["containerimage.digest"]))
}

#[test]
fn what_is_attached_is_said_of_the_image() {
    let Some(env) = Env::with_busybox() else { return };
    tree(&env);
    let token = format!("TOKEN={HIDDEN}");
    let arguments =
        ["-t", "app", "--provenance=mode=min", "--sbom", "--metadata-file=meta.json", "--build-arg", &token];
    let said = env.build(DOCKERFILE, &arguments);
    assert_eq!(said.code, 0, "{said:#?}");
    let (image, index) = digests(&env, "app");
    assert_ne!(image, index);
    let provenance = statement(&env, "provenance", "app");
    assert_eq!(provenance["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(provenance["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(provenance["subject"][0]["digest"]["sha256"], image.trim_start_matches("sha256:"));
    assert!(provenance["subject"][0]["name"].as_str().unwrap().starts_with("pkg:docker/app@latest?platform=linux%2F"));
    let definition = &provenance["predicate"]["buildDefinition"];
    assert_eq!(definition["externalParameters"]["request"]["args"], serde_json::json!({}));
    assert!(definition["resolvedDependencies"][0]["uri"].as_str().unwrap().starts_with("pkg:docker/busybox@latest"));
    // Nor is the value in the steps, or anything else of what goes with `mode=max`.
    assert!(!provenance.to_string().contains(HIDDEN), "{provenance}");
    let sbom = statement(&env, "sbom", "app");
    let packages = sbom["predicate"]["packages"].as_array().unwrap();
    let names: Vec<_> = packages.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"curl") && names.contains(&"left-pad"), "{names:?}");
    assert!(sbom.to_string().contains("pkg:deb/debian/curl@7.88.1?arch=amd64"), "{sbom}");
    assert_eq!(
        env.ok(&["sbom", "--list", "--format", "{{.Name}} {{.Version}}", "app"]),
        "curl 7.88.1\nleft-pad 1.3.0\n"
    );
    assert_eq!(env.ok(&["run", "--rm", "app", "cat", "/made"]), format!("{HIDDEN}\n"));
}

#[test]
fn the_whole_is_told_when_it_is_asked_for() {
    let Some(env) = Env::with_busybox() else { return };
    tree(&env);
    let said = env.build(
        DOCKERFILE,
        &["-t", "app", "--attest=type=provenance,mode=max,builder-id=https://ci/7", "--build-arg=TOKEN=shown"],
    );
    assert_eq!(said.code, 0, "{said:#?}");
    let predicate = &statement(&env, "provenance", "app")["predicate"];
    assert_eq!(predicate["runDetails"]["builder"]["id"], "https://ci/7");
    let definition = &predicate["buildDefinition"];
    assert_eq!(definition["externalParameters"]["request"]["args"]["build-arg:TOKEN"], "shown");
    let steps = definition["internalParameters"]["buildConfig"]["llbDefinition"].as_array().unwrap();
    assert!(
        steps
            .iter()
            .any(|step| step["op"]["Op"]["exec"]["meta"]["args"][2].as_str().is_some_and(|run| run.contains("/made"))),
        "{steps:#?}"
    );
    assert_eq!(predicate["runDetails"]["metadata"]["buildkit_completeness"]["request"], true);
    let text = env.fails(1, &["attestation", "--type", "sbom", "app"]);
    assert!(text.contains("has no sbom attached"), "{text}");
    // An image without an inventory is looked into.
    assert_eq!(env.ok(&["sbom", "-l", "--format", "{{.Name}}", "app"]), "curl\nleft-pad\n");
}

#[test]
fn the_same_build_says_the_same() {
    let Some(env) = Env::with_busybox() else { return };
    tree(&env);
    let arguments =
        ["-t", "app", "--provenance", "--sbom", "--reproducible", "--no-cache", "--metadata-file=meta.json"];
    assert_eq!(env.build(DOCKERFILE, &arguments).code, 0);
    let first = digests(&env, "app");
    assert_eq!(env.build(DOCKERFILE, &arguments).code, 0);
    assert_eq!(digests(&env, "app"), first);
}

#[test]
fn folders_and_tars_get_files() {
    let Some(env) = Env::with_busybox() else { return };
    tree(&env);
    let outputs = ["--provenance=filename=how.json", "--sbom", "-o", "out", "-o", "type=tar,dest=out.tar"];
    let said = env.build(DOCKERFILE, &outputs);
    assert_eq!(said.code, 0, "{said:#?}");
    let provenance: Value = serde_json::from_slice(&fs::read(env.work().join("out/how.json")).unwrap()).unwrap();
    let subjects = provenance["subject"].as_array().unwrap();
    assert!(subjects.iter().any(|one| one["name"] == "made"), "{subjects:?}");
    assert!(env.work().join("out/sbom.spdx.json").exists());
    let tar = fs::read(env.work().join("out.tar")).unwrap();
    assert!(tar.windows(8).any(|window| window == b"how.json"));
}

#[test]
fn a_push_says_it_of_what_is_pushed() {
    let Some(env) = Env::with_busybox() else { return };
    tree(&env);
    let server = crate::registry::serve::Server::start(&env, &[]);
    let name = format!("{}/team/app:1", server.address);
    let said =
        env.build(DOCKERFILE, &["-t", &name, "--provenance=mode=max", "--sbom", "--push", "--metadata-file=meta.json"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let (stored, pushed) = digests(&env, &name);
    let there = statement(&env, "provenance", &format!("docker://{name}"));
    let subject = there["subject"][0]["digest"]["sha256"].as_str().unwrap();
    assert_ne!(format!("sha256:{subject}"), stored, "layers are compressed for a registry");
    let layers = there["predicate"]["runDetails"]["metadata"]["buildkit_metadata"]["layers"].to_string();
    assert!(layers.contains("tar+gzip") && !layers.contains("tar\""), "{layers}");
    let index: Value = serde_json::from_str(&env.ok(&["manifest", "inspect", &name])).unwrap();
    assert_eq!(index["manifests"][0]["digest"], format!("sha256:{subject}"));
    assert_eq!(index["manifests"][1]["annotations"]["vnd.docker.reference.digest"], format!("sha256:{subject}"));
    assert_eq!(index["manifests"][1]["platform"], serde_json::json!({"architecture": "unknown", "os": "unknown"}));
    assert!(pushed.starts_with("sha256:"));
    // Again: nothing is left to send.
    let again = env.run(&["push", "--progress=plain", &name]);
    assert!(again.code == 0 && again.stderr.contains("nothing had to move"), "{again:#?}");
}

#[test]
fn two_builds_are_compared() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.build("FROM busybox\nRUN echo same > /same\n", &["-t", "app", "--verify", "--reproducible"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.stderr.contains("verified"), "{said:#?}");
    let dockerfile = "FROM busybox\nRUN --mount=type=cache,target=/c echo x >> /c/n && cat /c/n > /count && cat /proc/sys/kernel/random/uuid > /random && echo same > /same\n";
    assert_eq!(env.build(dockerfile, &["--reproducible"]).code, 0);
    for more in [&[][..], &["--no-cache"]] {
        let said = env.build(dockerfile, &[&["-t", "app", "--verify", "--reproducible"], more].concat());
        assert_eq!(said.code, 1, "{said:#?}");
        assert!(said.stdout.contains("/random: content sha256:") && !said.stdout.contains("/same"), "{said:#?}");
        assert!(said.stderr.contains("the build is not reproducible"), "{said:#?}");
    }
    // A warm cache mount is one of the things that another machine does not have.
    assert!(env.build(dockerfile, &["--verify", "--reproducible", "--no-cache"]).stdout.contains("/count: "));
    // Nothing of the second build stays.
    let snapshots = fs::read_dir(env.root().join("snapshots")).unwrap();
    assert!(snapshots.flatten().all(|one| !one.path().join("store").exists()));
}

#[test]
fn what_is_not_done_is_said() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\n");
    for (flag, words) in [
        ("--sbom=generator=docker/scout-sbom-indexer", "reads the packages itself"),
        ("--provenance=version=v0.2", "version=v1"),
        ("--provenance=mode=most", "expected min or max"),
        ("--attest=type=build-logs", "unknown type"),
    ] {
        let error = env.fails(125, &["build", flag, "."]);
        assert!(error.contains(words), "{flag}: {error}");
    }
    let error = env.fails(1, &["attestation", "busybox"]);
    assert!(error.contains("has no attestation attached"), "{error}");
}
