//! The same build and run as the users there are: root, one with subordinate ids, one with a single id.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fixtures::User;
use tempfile::TempDir;

use crate::registry::serve::Server;
use crate::runner::Env;

/// A user's own folder, with the binary and a base image.
pub(crate) struct Home {
    pub(crate) user: User,
    dir: TempDir,
    binary: PathBuf,
}

impl Home {
    pub(crate) fn new(user: User, busybox: &Path) -> Self {
        let dir = user.temp_dir().unwrap();
        let binary = user.install(Path::new(env!("CARGO_BIN_EXE_estiba")), dir.path()).unwrap();
        fixtures::Image::busybox(busybox).layout_in(dir.path(), "layout").unwrap();
        fs::create_dir(dir.path().join("context")).unwrap();
        fs::write(dir.path().join("context/a"), "a\n").unwrap();
        let home = Self { user, dir, binary };
        home.ok(&["load", "-q", "--tag", "busybox", "-i", &home.path("layout")]);
        home
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub(crate) fn run_in(&self, store: &str, arguments: &[&str]) -> Output {
        let mut command: Command = self.user.command("env");
        command.arg(format!("ESTIBA_ROOT={}", self.path(store))).arg(&self.binary).args(arguments);
        command.output().unwrap()
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.ok_in("store", arguments)
    }

    fn ok_in(&self, store: &str, arguments: &[&str]) -> String {
        let output = self.run_in(store, arguments);
        assert!(output.status.success(), "{} {arguments:?}: {output:#?}", self.user.name);
        String::from_utf8(output.stdout).unwrap()
    }

    fn build(&self, dockerfile: &str, arguments: &[&str]) -> String {
        fs::write(self.dir.path().join("context/Dockerfile"), dockerfile).unwrap();
        self.ok(&[&["build", "-q"], arguments, &[&self.path("context")]].concat())
    }
}

const DOCKERFILE: &str =
    "FROM busybox\nCOPY --chown=33:33 a /a\nRUN cat /a > /b && chown 33:33 /b && mkdir /d && touch /d/x\n";

/// The owners that an image's own archive gives to `/a` and `/b`, whatever the disk could record.
fn owners(home: &Home) -> Vec<String> {
    let archive = home.path("out.tar");
    home.build(DOCKERFILE, &["-o", &format!("type=tar,dest={archive}")]);
    let output = Command::new("tar").args(["--numeric-owner", "-tvf", &archive]).output().unwrap();
    let listing = String::from_utf8(output.stdout).unwrap();
    let is_ours =
        |line: &&str| line.ends_with(" a") || line.ends_with(" b") || line.ends_with(" ./a") || line.ends_with(" ./b");
    listing.lines().filter(is_ours).map(|line| line.split_whitespace().nth(1).unwrap_or_default().to_owned()).collect()
}

fn whole_road(home: &Home, rung: &str) {
    assert_eq!(home.ok(&["info", "--format", "{{.Rung}}"]), format!("{rung}\n"));
    let first = home.build(DOCKERFILE, &["-t", "app", "--reproducible"]);
    assert_eq!(home.build(DOCKERFILE, &["-t", "app", "--reproducible"]), first, "the second comes from the cache");
    assert_eq!(home.ok(&["run", "--rm", "app", "cat", "/b"]), "a\n");
    assert_eq!(owners(home), ["33/33", "33/33"], "{rung}");
    let exported = home.path("exported");
    home.build(DOCKERFILE, &["-o", &exported]);
    let owner = fs::metadata(Path::new(&exported).join("b")).unwrap().uid();
    assert_eq!(owner, home.user.uid, "exported files are the caller's");
    to_a_registry_and_back(home, rung);
    packages_and_a_second_build(home);
    home.ok(&["rmi", "app"]);
}

/// What is attached is made of files that belong to others, and a second build finds its base.
fn packages_and_a_second_build(home: &Home) {
    let record = "Package: a\\nVersion: 1\\nStatus: install ok installed\\n";
    let dockerfile = format!(
        "FROM busybox\nRUN mkdir -p /var/lib/dpkg && printf '{record}' > /var/lib/dpkg/status && chown -R 33:33 /var/lib/dpkg && chmod 600 /var/lib/dpkg/status\n"
    );
    home.build(&dockerfile, &["-t", "listed", "--sbom", "--provenance", "--verify", "--reproducible"]);
    let list = ["--list", "--format", "{{.Type}} {{.Name}} {{.Version}}", "listed"];
    assert_eq!(home.ok(&[&["sbom"], &list[..]].concat()), "deb a 1\n");
    assert_eq!(home.ok(&[&["sbom", "--scan"], &list[..]].concat()), "deb a 1\n");
}

/// Owners, and the digest, survive the way through a registry into another store.
fn to_a_registry_and_back(home: &Home, rung: &str) {
    let env = Env::new();
    let server = Server::start(&env, &[]);
    let name = format!("{}/app:v1", server.address);
    let digest = home.ok(&["push", "-q", "app", &name]);
    assert_eq!(home.ok(&["push", "-q", "app", &name]), digest);
    assert_eq!(home.ok_in("pulled", &["pull", "-q", &name]), digest);
    if rung != "single-id" {
        // There `stat` by a path shows the one id that is.
        let stat = ["run", "--rm", &name, "stat", "-c", "%u:%g", "/a", "/b"];
        assert_eq!(home.ok_in("pulled", &stat), "33:33\n33:33\n");
    }
    let again = format!("{}/again:v1", server.address);
    assert_eq!(home.ok_in("pulled", &["push", "-q", &name, &again]), digest, "what was pulled is pushed as it was");
    assert_eq!(home.ok_in("lazy", &["run", "--rm", "-q", &again, "cat", "/b"]), "a\n");
    let dockerfile = format!("FROM {name}\nRUN cat /b >/c\n");
    fs::write(home.dir.path().join("context/Dockerfile"), dockerfile).unwrap();
    home.ok_in("built", &["build", "-q", "--push", "-t", &again, &home.path("context")]);
    assert_eq!(home.ok_in("lazy", &["run", "--rm", "-q", "--pull=always", &again, "cat", "/c"]), "a\n");
}

/// A network of its own, and a port that leads into it.
fn a_port(home: &Home) {
    if !["pasta", "slirp4netns"].map(crate::network::has).contains(&true) {
        return;
    }
    let run = ["run", "-d", "--name", "web", "--network", "private", "-p", "127.0.0.1::80", "busybox"];
    home.ok(&[&run[..], &["busybox", "httpd", "-f", "-p", "80", "-h", "/etc"]].concat());
    let address = home.ok(&["port", "web", "80"]);
    assert!(crate::network::get(&address, "/passwd").contains("root:"), "{address}");
    home.ok(&["rm", "-f", "web"]);
    let said = home.run_in("store", &["run", "--rm", "-p", "80:80", "busybox", "true"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("port 80 of the host is root's") || said.contains("is taken"), "{said}");
}

#[test]
fn subordinate_ids() {
    let (Some(user), Some(busybox)) = (User::subordinate(), fixtures::busybox()) else { return };
    let home = Home::new(user, &busybox);
    whole_road(&home, "subordinate-ids");
    assert_eq!(home.ok(&["run", "--rm", "-u", "33", "busybox", "id", "-u"]), "33\n");
    a_port(&home);
    let store = fs::metadata(home.path("store")).unwrap();
    assert_eq!((store.uid(), store.mode() & 0o077), (home.user.uid, 0), "a store is its owner's alone");
}

#[test]
fn a_single_id() {
    let (Some(user), Some(busybox)) = (User::plain(), fixtures::busybox()) else { return };
    let home = Home::new(user, &busybox);
    whole_road(&home, "single-id");
    a_port(&home);
    let doctor = home.ok(&["doctor"]);
    assert!(doctor.contains("usermod --add-subuids"), "{doctor}");
}

#[test]
fn every_rung_gives_the_same_digest() {
    let (Some(plain), Some(subordinate), Some(busybox)) = (User::plain(), User::subordinate(), fixtures::busybox())
    else {
        return;
    };
    let [one, other] = [plain, subordinate].map(|user| Home::new(user, &busybox));
    assert_eq!(one.build(DOCKERFILE, &["--reproducible"]), other.build(DOCKERFILE, &["--reproducible"]));
}
