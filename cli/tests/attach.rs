//! `estiba attach`, also at a registry that keeps no list of referrers.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::copy::odd;
use crate::registry::serve::Server;
use crate::runner::Env;

#[test]
fn files_types_and_annotations() {
    let env = Env::new();
    odd(&env);
    env.write("notes.txt", "notes");
    env.write("a:b/c", "colons");
    let server = Server::start(&env, &[]);
    let name = format!("{}/app", server.address);
    env.ok(&["copy", "-q", "oci:odd:one", &name]);
    let arguments =
        ["--artifact-type", "example/notes", "--annotation", "by=ann", &name, "notes.txt:text/plain", "a:b/c"];
    let said = env.ok(&[&["attach", "-q"], &arguments[..]].concat());
    let digest = said.trim();
    let manifest = env.ok(&["manifest", "inspect", "--raw", &format!("{name}@{digest}")]);
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["artifactType"], "example/notes");
    assert_eq!(manifest["annotations"]["by"], "ann");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "text/plain");
    assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], "notes.txt");
    assert_eq!(manifest["layers"][1]["mediaType"], "application/octet-stream");
    // The same again is the same: nothing is added.
    assert_eq!(env.ok(&[&["attach", "-q"], &arguments[..]].concat()), said);
    assert_eq!(env.ok(&["referrers", &name]).lines().count(), 2);
    env.ok(&["copy", "-q", &format!("{name}@{digest}"), "oci:fetched"]);
    let blob = oci::Digest::sha256(b"notes");
    assert_eq!(fs::read(env.work().join("fetched/blobs/sha256").join(blob.hex())).unwrap(), b"notes");
    assert!(env.fails(125, &["attach", "--artifact-type", "notes", &name]).contains("no media type"));
    assert!(env.fails(1, &["attach", "--artifact-type", "a/b", &name, "absent"]).contains("there is no file `absent`"));
}

/// distribution's registry, which ends with its holder.
struct Distribution(Child);

impl Drop for Distribution {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn distribution(env: &Env) -> Option<(Distribution, String)> {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let data = env.work().join("distribution");
    let config = format!(
        "version: 0.1\nstorage:\n  filesystem: {{rootdirectory: \"{}\"}}\n  delete: {{enabled: true}}\nhttp: {{addr: \"{address}\"}}\n",
        data.display()
    );
    env.write("distribution.yml", config);
    let mut command = Command::new("docker-registry");
    command.args(["serve", "distribution.yml"]).current_dir(env.work()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else {
        fixtures::skip("docker-registry is not here");
        return None;
    };
    let running = Distribution(child);
    for _ in 0..200 {
        if std::net::TcpStream::connect(&address).is_ok() {
            return Some((running, address));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("docker-registry does not listen at {address}");
}

#[test]
fn a_tag_stands_in_where_no_list_is_kept() {
    let env = Env::new();
    let digest = odd(&env);
    let Some((_running, address)) = distribution(&env) else { return };
    let name = format!("{address}/app");
    env.ok(&["copy", "-q", "-a", "oci:odd:multi", &name]);
    let attach = |kind: &str| {
        let said = env.run(&["attach", "--progress=plain", "--artifact-type", kind, &name]);
        assert!(said.code == 0 && said.stderr.contains(&digest.replace(':', "-")), "{}", said.stderr);
        said.stdout.lines().next().unwrap().rsplit_once('@').unwrap().1.to_owned()
    };
    let (first, second) = (attach("example/first"), attach("example/second"));
    let listed = env.ok(&["referrers", &name]);
    assert!(listed.contains(&first) && listed.contains(&second), "{listed}");
    assert!(env.ok(&["tags", &name]).contains("sha256-"));
    env.ok(&["delete", &format!("{name}@{first}")]);
    let listed = env.ok(&["referrers", &name]);
    assert!(!listed.contains(&first) && listed.contains(&second), "{listed}");
    // This registry deletes no tags.
    let refused = env.fails(1, &["delete", &format!("{name}:latest")]);
    assert!(refused.contains(&format!("`estiba delete --manifest {name}:latest`")), "{refused}");
    assert_eq!(env.ok(&["delete", "--manifest", &format!("{name}:latest")]), format!("Deleted: {name}@{digest}\n"));
}
