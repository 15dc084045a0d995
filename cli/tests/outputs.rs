//! `estiba build --output`, and what is asked of the image that comes out.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::registry::serve::Server;
use crate::runner::Env;

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A document of a layout, by the digest that something names.
fn blob(layout: &Path, named: &Value) -> Value {
    let digest = named["digest"].as_str().unwrap();
    json(layout.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap()))
}

/// The only manifest of a layout, and its configuration.
fn image(layout: &Path) -> (Value, Value) {
    let manifest = blob(layout, &json(layout.join("index.json"))["manifests"][0]);
    let config = blob(layout, &manifest["config"]);
    (manifest, config)
}

fn length(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

#[test]
fn several_outputs_at_once() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("a", "a");
    let dockerfile = "FROM busybox\nCOPY a /a\nRUN ln /a /b\n";
    let said = env.build(
        dockerfile,
        &[
            "-t",
            "app",
            "-o",
            "type=image",
            "-o",
            "type=local,dest=tree",
            "-o",
            "type=tar,dest=tree.tar",
            "-o",
            "type=oci,dest=plain,tar=false,annotation.x=1",
            "-o",
            "type=oci,dest=zstd,tar=false,compression=zstd,force-compression=true",
            "-o",
            "type=docker,dest=docker.tar",
        ],
    );
    assert_eq!(said.code, 0, "{said:#?}");
    use std::os::unix::fs::MetadataExt as _;
    let inode = |name: &str| fs::metadata(env.work().join("tree").join(name)).unwrap().ino();
    assert_eq!(inode("a"), inode("b"));
    assert!(env.work().join("tree.tar").is_file() && env.work().join("docker.tar").is_file());
    let (plain, _) = image(&env.work().join("plain"));
    let (zstd, _) = image(&env.work().join("zstd"));
    assert_eq!((plain["annotations"]["x"].as_str(), zstd.get("annotations")), (Some("1"), None));
    let types: Vec<&str> =
        zstd["layers"].as_array().unwrap().iter().map(|layer| layer["mediaType"].as_str().unwrap()).collect();
    assert!(types.iter().all(|media_type| media_type.ends_with("+zstd")), "{types:?}");
    assert_eq!(env.ok(&["run", "--rm", "app", "cat", "/b"]), "a");
}

#[test]
fn annotations_stand_where_they_are_put() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.build(
        "FROM busybox\n",
        &[
            "--annotation",
            "a=everywhere",
            "--annotation",
            "manifest-descriptor:b=pointed",
            "-o",
            "type=oci,dest=one,tar=false,annotation.a=here,annotation-manifest[linux/s390x].c=not",
            "-o",
            "type=oci,dest=two,tar=false",
        ],
    );
    assert_eq!(said.code, 0, "{said:#?}");
    let (one, two) = (env.work().join("one"), env.work().join("two"));
    assert_eq!(image(&one).0["annotations"], serde_json::json!({ "a": "here" }));
    assert_eq!(image(&two).0["annotations"], serde_json::json!({ "a": "everywhere" }));
    assert_eq!(json(one.join("index.json"))["manifests"][0]["annotations"]["b"], "pointed");
    let refused = env.build("FROM busybox\n", &["--annotation", "index:a=b"]);
    assert!(refused.code != 0 && refused.stderr.contains("index"), "{refused:#?}");
    let refused = env.build("FROM busybox\n", &["--annotation", "a=b", "--format", "docker"]);
    assert!(refused.code != 0 && refused.stderr.contains("annotations"), "{refused:#?}");
}

#[test]
fn tables_of_contents_come_with_layers() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("a", "some text\n".repeat(1000));
    for (form, annotation) in [
        ("estargz", "containerd.io/snapshot/stargz/toc.digest"),
        ("zstd:chunked", "io.github.containers.zstd-chunked.manifest-position"),
    ] {
        let output = format!("type=oci,dest=layout,tar=false,compression={form},force-compression=true");
        let said = env.build("FROM busybox\nCOPY a /a\nRUN rm /bin/vi\n", &["-t", "app", "-o", &output]);
        assert_eq!(said.code, 0, "{said:#?}");
        let layout = env.work().join("layout");
        let (manifest, config) = image(&layout);
        for layer in manifest["layers"].as_array().unwrap() {
            assert!(layer["annotations"][annotation].is_string(), "{form}: {layer}");
        }
        assert_eq!(length(&config["rootfs"]["diff_ids"]), 3);
        // Whoever reads it compares each layer with its DiffId.
        env.ok(&["copy", "oci:layout", "store:again"]);
        assert_eq!(env.ok(&["run", "--rm", "again", "sh", "-c", "wc -l < /a; ls /bin/vi 2>&1 | wc -l"]), "1000\n1\n");
        fs::remove_dir_all(layout).unwrap();
    }
}

#[test]
fn layers_are_squashed() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("a", "a");
    let based = env.build("FROM busybox\nRUN mkdir -p /home/old/deep && touch /home/old/f\n", &["-t", "base"]);
    assert_eq!(based.code, 0, "{based:#?}");
    let dockerfile = "FROM base\nRUN mkdir /d && echo 1 > /d/one && rm /bin/vi && mkdir /bin/vi && echo x > /bin/vi/x\n\
                      COPY a /d/\nRUN rm /d/one && ln /d/a /d/b && rm -r /home && mkdir /home && echo new > /home/new\n";
    let built = |tag: &str, more: &[&str]| {
        let said = env.build(dockerfile, &[&["-t", tag], more].concat());
        assert_eq!(said.code, 0, "{said:#?}");
        let inspected: Value = serde_json::from_str(&env.ok(&["inspect", tag])).unwrap();
        (said, inspected[0].clone())
    };
    let list = ["sh", "-c", "find / -xdev \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o -print | sort"];
    let (_, plain) = built("plain", &[]);
    let files = env.ok(&[&["run", "--rm", "plain"][..], &list].concat());
    assert_eq!(length(&plain["RootFS"]["Layers"]), 5);
    for (tag, flag, layers) in [("new", "--squash", 3), ("all", "--squash-all", 1), ("bud", "--layers=false", 3)] {
        let (_, squashed) = built(tag, &[flag]);
        assert_eq!(length(&squashed["RootFS"]["Layers"]), layers, "{flag}");
        assert_eq!(env.ok(&[&["run", "--rm", tag][..], &list].concat()), files, "{flag}");
        let listed = env.run(&["run", "--rm", tag, "ls", "-l", "/d"]);
        assert!(listed.code == 0 && !listed.stderr.contains("one"), "{listed:#?}");
        let again = built(tag, &[flag]).0;
        assert!(again.stderr.contains("CACHED") && !again.stderr.contains("DONE"), "{again:#?}");
    }
    let links = env.ok(&["run", "--rm", "new", "sh", "-c", "stat -c %h /d/a"]);
    assert_eq!(links, "2\n");
}

#[test]
fn the_config_is_as_asked() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.build(
        "FROM busybox\nENV A=1 B=2\nLABEL x=1 y=2\nRUN touch /f\n",
        &[
            "--omit-history",
            "--timestamp",
            "1000000000",
            "--unsetenv",
            "A",
            "--unsetlabel",
            "x",
            "--identity-label",
            "--created-annotation",
            "-o",
            "type=oci,dest=layout,tar=false",
            "-t",
            "app",
            "--manifest",
            "list",
            "-o",
            "type=image,name-canonical=true",
        ],
    );
    assert_eq!(said.code, 0, "{said:#?}");
    let (_, config) = image(&env.work().join("layout"));
    assert_eq!((config.get("history"), config["created"].as_str()), (None, Some("2001-09-09T01:46:40Z")));
    let run = &config["config"];
    let env_vars = run["Env"].to_string();
    assert!(!env_vars.contains("A=1") && env_vars.contains("B=2"), "{env_vars}");
    assert_eq!((run["Labels"].get("x"), run["Labels"]["y"].as_str()), (None, Some("2")));
    assert!(run["Labels"]["com.estiba.version"].is_string());
    assert_eq!(env.ok(&["run", "--rm", "app", "stat", "-c", "%Y", "/f"]), "1000000000\n");
    let list = env.ok(&["manifest", "inspect", "store:list"]);
    assert!(list.contains("manifests"), "{list}");
    let docker = env.build("FROM busybox\n", &["--format", "docker", "-o", "type=oci,dest=docker,tar=false"]);
    assert_eq!(docker.code, 0, "{docker:#?}");
    let (manifest, _) = image(&env.work().join("docker"));
    assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.docker.container.image.v1+json");
}

#[test]
fn times_stay_where_they_are_not_to_be_rewritten() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nRUN touch -d @1500000000 /f\n");
    let time = |flags: &[&str]| {
        env.ok(&[&["build", "-q", "-t", "app", "--source-date-epoch", "1000000000"][..], flags, &["."]].concat());
        env.ok(&["run", "--rm", "app", "stat", "-c", "%Y", "/f"])
    };
    assert_eq!(time(&[]), "1000000000\n");
    assert_eq!(time(&["--rewrite-timestamp=false"]), "1500000000\n");
    assert_eq!(time(&["-o", "type=image,rewrite-timestamp=false"]), "1500000000\n");
}

/// Killed at any moment, an exporter leaves what was there before, or the whole, and nothing beside.
#[test]
fn a_killed_exporter_leaves_nothing() {
    let Some(env) = Env::with_busybox() else { return };
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..24 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    env.write("context/noise", noise);
    env.write("context/Dockerfile", "FROM busybox\nCOPY noise /noise\n");
    env.ok(&["build", "-q", "context"]);
    fs::create_dir(env.work().join("out")).unwrap();
    let arguments = ["build", "-q", "-o", "type=oci,dest=out/image.tar,compression=gzip", "context"];
    for wait in [5, 20, 40, 80, 160, 320] {
        let mut command = env.command(&arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        drop(child.kill());
        child.wait().unwrap();
        let names: Vec<_> =
            fs::read_dir(env.work().join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == "image.tar"), "{names:?} after {wait} ms");
    }
    env.ok(&arguments);
    env.ok(&["load", "-i", "out/image.tar"]);
}

#[test]
fn each_output_has_its_own_names_and_form() {
    let Some(env) = Env::with_busybox() else { return fixtures::skip("names of outputs: there is no busybox") };
    let server = Server::start(&env, &[]);
    let [gz, zs] = ["gz", "zs"].map(|tag| format!("{}/two:{tag}", server.address));
    let outputs = [
        format!("type=registry,name={gz},compression=gzip"),
        format!("type=registry,name={zs},compression=zstd,force-compression=true"),
        "type=oci,dest=a,tar=false".to_owned(),
        "type=oci,dest=b,tar=false,name=other:1".to_owned(),
    ];
    let mut flags = vec!["-t", "plain"];
    flags.extend(outputs.iter().flat_map(|output| ["-o", output.as_str()]));
    let said = env.build("FROM busybox\nRUN echo 1 >/f\n", &flags);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(env.ok(&["manifest", "inspect", &gz]).contains("tar+gzip"));
    assert!(env.ok(&["manifest", "inspect", &zs]).contains("tar+zstd"));
    let index = |folder: &str| fs::read_to_string(env.work().join(folder).join("index.json")).unwrap();
    assert!(index("a").contains("plain") && !index("a").contains("other"), "{}", index("a"));
    assert!(index("b").contains("other") && !index("b").contains("plain"), "{}", index("b"));
}
