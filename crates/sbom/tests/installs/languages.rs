//! pip, npm, cargo and go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sbom::Ecosystem;
use serde_json::Value;

use super::{packages, printed, rows, sorted};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn pip_lists_the_same() {
    let root = tempfile::tempdir().unwrap();
    let made = Command::new("python3").args(["-m", "venv"]).arg(root.path().join("venv")).output();
    if !made.is_ok_and(|output| output.status.success()) {
        return fixtures::skip("pip: python3 makes no environment");
    }
    // What people have besides pip itself: a package of the old kind, and one of a folder in development.
    let site =
        fs::read_dir(root.path().join("venv/lib")).unwrap().next().unwrap().unwrap().path().join("site-packages");
    fs::create_dir(site.join("Old_Thing-1.2.egg-info")).unwrap();
    fs::write(site.join("Old_Thing-1.2.egg-info/PKG-INFO"), "Metadata-Version: 1.0\nName: Old_Thing\nVersion: 1.2\n")
        .unwrap();
    fs::create_dir(site.join("~ip-9.dist-info")).unwrap();
    fs::write(site.join("~ip-9.dist-info/METADATA"), "Name: pip\nVersion: 9\n").unwrap();
    let pip = root.path().join("venv/bin/python");
    let mut list = Command::new(pip);
    list.args(["-m", "pip", "--disable-pip-version-check", "list", "--format", "json"]);
    let Some(said) = printed("pip", &mut list) else { return };
    let said = json(&said)
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", text(&row["name"]), text(&row["version"])))
        .collect::<Vec<_>>();
    let found = packages(root.path(), Ecosystem::Python);
    assert!(found.len() >= 2, "{found:?}");
    assert_eq!(rows(&found), sorted(said));
}

/// `name version` of all that `npm ls --json` nests.
fn nested(value: &Value, all: &mut Vec<String>) {
    let Some(dependencies) = value["dependencies"].as_object() else { return };
    for (name, one) in dependencies {
        if one.get("missing").is_none() && one.get("version").is_some() {
            all.push(format!("{name} {}", text(&one["version"])));
        }
        nested(one, all);
    }
}

/// npm itself is the largest install of packages that is everywhere where npm is.
#[test]
fn npm_ls_lists_the_same() {
    let Some(root) = printed("npm", Command::new("npm").args(["root", "-g"])) else { return };
    let root = PathBuf::from(root.trim()).join("npm");
    let Ok(root) = fs::canonicalize(&root) else { return fixtures::skip("npm is not in its own folder") };
    let copy = tempfile::tempdir().unwrap();
    copied(&root, copy.path());
    let mut list = Command::new("npm");
    list.args(["ls", "--all", "--json", "--prefix"]).arg(copy.path());
    // Debian's npm leaves packages to other folders: what it misses there it complains of, and lists the rest.
    let Ok(output) = list.output() else { return fixtures::skip("npm ls") };
    let Ok(said) = serde_json::from_slice::<Value>(&output.stdout) else { return fixtures::skip("npm ls") };
    let mut all = Vec::new();
    nested(&said, &mut all);
    let found = packages(copy.path(), Ecosystem::Npm);
    assert!(all.len() > 20, "{} packages", all.len());
    assert_eq!(rows(&found), sorted(all));
}

/// Copies what npm looks at.
fn copied(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copied(&path, &target);
        } else if entry.file_name() == "package.json" {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn npm_ls_lists_the_same_of_a_lock_file() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("package.json"), r#"{"name":"me","version":"1.0.0","dependencies":{"a":"^1.0.0"}}"#)
        .unwrap();
    let lock = r#"{"name":"me","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{"":{"name":"me","version":"1.0.0","dependencies":{"a":"^1.0.0"}},
        "node_modules/a":{"version":"1.0.0","resolved":"https://localhost/a.tgz","dependencies":{"@s/b":"2"}},
        "node_modules/@s/b":{"version":"2.0.0","resolved":"https://localhost/b.tgz","license":"MIT"}}}"#;
    fs::write(root.path().join("package-lock.json"), lock).unwrap();
    let mut list = Command::new("npm");
    list.args(["ls", "--all", "--json", "--package-lock-only", "--prefix"]).arg(root.path());
    let Some(said) = printed("npm ls", &mut list) else { return };
    let mut all = Vec::new();
    nested(&json(&said), &mut all);
    assert_eq!(all.len(), 2);
    assert_eq!(rows(&packages(root.path(), Ecosystem::Npm)), sorted(all));
}

/// This workspace's own lock file.
#[test]
fn cargo_metadata_lists_the_same() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut metadata = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    metadata.args(["metadata", "--format-version=1", "--offline", "--locked"]).current_dir(&workspace);
    let Some(said) = printed("cargo metadata", &mut metadata) else { return };
    let said = json(&said)["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}", text(&one["name"]), text(&one["version"])))
        .collect::<Vec<_>>();
    let copy = tempfile::tempdir().unwrap();
    fs::copy(workspace.join("Cargo.lock"), copy.path().join("Cargo.lock")).unwrap();
    assert_eq!(rows(&packages(copy.path(), Ecosystem::Cargo)), sorted(said));
}

/// `name version` as `go version -m` prints them.
fn modules(said: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in said.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["", "mod" | "dep", name, version, ..] => all.push(format!("{name} {version}")),
            ["", "=>", name, version, ..] => {
                all.pop();
                all.push(format!("{name} {version}"));
            }
            _ => {
                if let Some((_, version)) = line.rsplit_once(": go") {
                    all.push(format!("stdlib {}", version.split(' ').next().unwrap_or_default()));
                }
            }
        }
    }
    sorted(all)
}

#[test]
fn go_version_lists_the_same() {
    let Some(version) = printed("go", Command::new("go").arg("version")) else { return };
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join("src").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "go.mod",
        "module example.com/app\n\ngo 1.18\n\nrequire example.com/Dep v1.2.3\n\nreplace example.com/Dep => ./dep\n",
    );
    write("main.go", "package main\n\nimport \"example.com/Dep\"\n\nfunc main() { println(dep.Name()) }\n");
    write("dep/go.mod", "module example.com/Dep\n\ngo 1.18\n");
    write("dep/dep.go", "package dep\n\nfunc Name() string { return \"dep\" }\n");
    for (name, flags) in [("app", &["-ldflags="][..]), ("stripped", &["-ldflags=-s -w"]), ("pie", &["-buildmode=pie"])]
    {
        let target = root.path().join("bin").join(name);
        let mut build = Command::new("go");
        build.args(["build", "-buildvcs=false", "-o"]).arg(&target).args(flags).arg(".");
        build
            .current_dir(root.path().join("src"))
            .env("GOFLAGS", "-mod=mod")
            .env("GOPROXY", "off")
            .env("CGO_ENABLED", "0");
        let Some(_) = printed(&format!("go build ({})", version.trim()), &mut build) else { return };
    }
    let found = packages(&root.path().join("bin"), Ecosystem::Go);
    for name in ["app", "stripped", "pie"] {
        let Some(said) =
            printed("go version", Command::new("go").args(["version", "-m"]).arg(root.path().join("bin").join(name)))
        else {
            return;
        };
        let found: Vec<_> = found.iter().filter(|one| one.found_in == name).cloned().collect();
        assert_eq!(rows(&found), modules(&said), "{name}");
        assert_eq!(found.len(), 3, "{name}");
    }
}

/// A program with the section that cargo-auditable adds, as objcopy puts it there.
#[test]
fn crates_in_programs() {
    let root = tempfile::tempdir().unwrap();
    let (program, list) = (root.path().join("true"), root.path().join("list"));
    let json = br#"{"packages":[{"name":"serde","version":"1.0.0","source":"crates.io"},{"name":"app","version":"0.1.0","source":"local","dependencies":[0],"root":true}]}"#;
    let mut out = flate2::write::ZlibEncoder::new(fs::File::create(&list).unwrap(), flate2::Compression::best());
    std::io::Write::write_all(&mut out, json).unwrap();
    out.finish().unwrap();
    let add = format!(".dep-v0={}", list.display());
    let mut objcopy = Command::new("objcopy");
    objcopy.args(["--add-section", &add, "/bin/true"]).arg(&program);
    if printed("objcopy", &mut objcopy).is_none() {
        return;
    }
    assert_eq!(rows(&packages(root.path(), Ecosystem::Cargo)), ["app 0.1.0", "serde 1.0.0"]);
}
