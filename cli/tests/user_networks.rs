//! Networks of the user: made, joined, seen by name, kept apart, and what is left of them when their keeper is killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fixtures::User;
use serde_json::Value;
use tempfile::TempDir;

use crate::runner::Env;

/// How long something may take that takes moments.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user's store; what runs in it ends with it.
struct Home {
    /// `None`: who runs the tests.
    user: Option<User>,
    dir: TempDir,
    binary: PathBuf,
}

impl Home {
    fn new(user: Option<User>, busybox: &Path) -> Self {
        let built = Path::new(env!("CARGO_BIN_EXE_estiba"));
        let dir = user.as_ref().map_or_else(|| tempfile::tempdir().unwrap(), |user| user.temp_dir().unwrap());
        let installed = user.as_ref().map(|user| user.install(built, dir.path()).unwrap());
        let binary = installed.unwrap_or_else(|| built.to_owned());
        fixtures::Image::busybox(busybox).layout_in(dir.path(), "layout").unwrap();
        let home = Self { user, dir, binary };
        home.ok(&["load", "-q", "--tag", "busybox", "-i", &home.dir.path().join("layout").display().to_string()]);
        home
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = self.user.as_ref().map_or_else(|| Command::new("env"), |user| user.command("env"));
        command.arg(format!("ESTIBA_ROOT={}", self.dir.path().join("store").display()));
        let output = command.arg(&self.binary).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    fn name(&self) -> &str {
        self.user.as_ref().map_or("we", |user| user.name.as_ref())
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.0, 0, "{} {arguments:?}: {said:#?}", self.name());
        said.1
    }

    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.0, code, "{} {arguments:?}: {said:#?}", self.name());
        said.2
    }

    /// The keeper's process, as it wrote it down.
    fn keeper(&self) -> Option<u64> {
        let leases = std::fs::read(self.dir.path().join("store/networks/.leases")).ok()?;
        serde_json::from_slice::<Value>(&leases).unwrap()["keeper"]["pid"].as_u64()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.run(&["rm", "--all", "--force"]);
        until("the keeper's end", || self.keeper().is_none());
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() && !std::thread::panicking() {
        assert!(started.elapsed() < PATIENCE, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Who runs the tests, who has subordinate ids, and who has one id; the latter two where there are such users.
fn users() -> Vec<Option<User>> {
    [User::subordinate(), User::plain()].into_iter().flatten().map(Some).fold(vec![None], |mut all, user| {
        all.push(user);
        all
    })
}

const SERVER: [&str; 8] = ["busybox", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc"];

/// Looks a name up and fetches from there, and tries until somebody answers. (A static busybox looks names up by `nslookup` alone.)
fn fetch(name: &str) -> String {
    let look =
        format!("busybox nslookup {name} | busybox sed -n 's/^Address: \\([0-9.]*\\)$/\\1/p' | busybox head -n 1");
    let get = "printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 2 $a 80 | busybox tail -n 1";
    format!(
        "for i in $(busybox seq 50); do a=$({look}); [ $a ] && r=$({get}); [ $r ] && printf $r && exit 0; busybox sleep 0.1; done; exit 1"
    )
}

/// Whether a name has an address.
fn known(name: &str) -> String {
    format!("busybox nslookup {name} | busybox grep '^Address: '")
}

fn names_and_walls(user: Option<User>, busybox: &Path) {
    let home = Home::new(user, busybox);
    let id = home.ok(&["network", "create", "--label", "for=test", "front"]);
    assert_eq!(id.trim_end().len(), 64);
    home.ok(&["network", "create", "--internal", "--ipv6", "back"]);
    let web = ["run", "-d", "--name", "web", "--hostname", "served", "--network", "back", "--network-alias", "store"];
    home.ok(&[&web[..], &SERVER].concat());
    for name in ["web", "store", "served", "web.back"] {
        let said = home.ok(&["run", "--rm", "--network", "back", "busybox", "sh", "-c", &fetch(name)]);
        assert_eq!(said, "served", "{name}");
    }
    let linked = ["run", "--rm", "--network", "back", "--link", "web:peer", "busybox", "sh", "-c", &fetch("peer")];
    assert_eq!(home.ok(&linked), "served");
    // From another network: neither by name nor by address.
    let shown: Value = serde_json::from_str(&home.ok(&["network", "inspect", "back"])).unwrap();
    let members = shown[0]["Containers"].as_object().unwrap();
    // One that has just ended may be among them for a moment.
    let web = members.values().find(|member| member["Name"] == "web").unwrap();
    let address = web["IPv4Address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    let knock = format!("busybox nc -w 2 {address} 80 < /dev/null");
    for script in [known("web"), knock.clone()] {
        home.fails(1, &["run", "--rm", "--network", "front", "busybox", "sh", "-c", &script]);
    }
    home.ok(&["run", "--rm", "--network", "back", "busybox", "sh", "-c", &knock]);
    // Of both at once; the first leads out.
    let both = ["run", "--rm", "--network", "front", "--network", "back", "busybox"];
    assert_eq!(home.ok(&[&both[..], &["sh", "-c", &fetch("web")]].concat()), "served");
    assert!(home.ok(&[&both[..], &["busybox", "ip", "route"]].concat()).starts_with("default via "));
    assert_eq!(
        home.ok(&["run", "--rm", "--network", "back", "busybox", "busybox", "ip", "route"]).matches("default").count(),
        0
    );
    // In use, and then not.
    let used = home.fails(1, &["network", "rm", "back"]);
    assert!(used.contains("in use by web"), "{used}");
    assert_eq!(home.ok(&["network", "prune", "-f"]), "Deleted Networks:\nfront\n");
    home.ok(&["rm", "-f", "web"]);
    until("the network's end", || home.run(&["network", "rm", "back"]).0 == 0);
    assert_eq!(home.ok(&["network", "ls", "-q"]), "");
}

#[test]
fn names_resolve_within_a_network_and_walls_hold() {
    let Some(busybox) = fixtures::busybox() else { return };
    for user in users() {
        names_and_walls(user, &busybox);
    }
}

#[test]
fn a_container_moves_between_networks_while_it_runs() {
    let Some(busybox) = fixtures::busybox() else { return };
    for user in users().into_iter().take(2) {
        let home = Home::new(user, &busybox);
        for name in ["front", "back"] {
            home.ok(&["network", "create", name]);
        }
        home.ok(&[&["run", "-d", "--name", "web", "--hostname", "served", "--network", "front"][..], &SERVER].concat());
        let script = fetch("web");
        let from =
            |network: &str| ["run", "--rm", "--network", network, "busybox", "sh", "-c", &script].map(str::to_owned);
        home.ok(&["network", "connect", "--alias", "other", "back", "web"]);
        assert_eq!(home.ok(&from("back").each_ref().map(String::as_str)), "served");
        assert!(home.fails(1, &["network", "connect", "back", "web"]).contains("already"));
        home.ok(&["network", "disconnect", "front", "web"]);
        home.fails(1, &["run", "--rm", "--network", "front", "busybox", "sh", "-c", &known("web")]);
        // What it was connected to is what it is started with again.
        home.ok(&["restart", "-t", "0", "web"]);
        assert_eq!(home.ok(&from("back").each_ref().map(String::as_str)), "served");
        assert!(home.fails(1, &["network", "disconnect", "front", "web"]).contains("not in network front"));
    }
}

#[test]
fn a_keeper_that_is_killed_is_followed_by_another_without_a_command() {
    let Some(busybox) = fixtures::busybox() else { return };
    for user in users().into_iter().take(2) {
        let home = Home::new(user, &busybox);
        home.ok(&["network", "create", "front"]);
        home.ok(&[&["run", "-d", "--name", "web", "--hostname", "served", "--network", "front"][..], &SERVER].concat());
        home.ok(&["run", "-d", "--name", "peer", "--network", "front", "busybox", "sleep", "1000"]);
        for _ in 0..2 {
            let keeper = home.keeper().unwrap();
            assert!(Command::new("kill").args(["-9", &keeper.to_string()]).status().unwrap().success());
            until("another keeper", || home.keeper().is_some_and(|another| another != keeper));
            assert_eq!(home.ok(&["exec", "peer", "sh", "-c", &fetch("web")]), "served");
        }
        // One that is long in coming holds no supervisor up.
        home.ok(&["run", "-d", "--name", "other", "--network", "front", "busybox", "sleep", "1000"]);
        let start = std::fs::File::open(home.dir.path().join("store/networks/.start")).unwrap();
        let start = sys::lock::Lock::exclusive(start).unwrap();
        let keeper = home.keeper().unwrap();
        assert!(Command::new("kill").args(["-9", &keeper.to_string()]).status().unwrap().success());
        home.ok(&["stop", "-t", "0", "other"]);
        drop(start);
        until("another keeper", || home.keeper().is_some_and(|another| another != keeper));
        home.ok(&["rm", "-f", "peer"]);
        // A supervisor that is killed takes its container out of the network.
        until("the peer's leave", || {
            let shown: Value = serde_json::from_str(&home.ok(&["network", "inspect", "front"])).unwrap();
            shown[0]["Containers"].as_object().unwrap().len() == 1
        });
        let leases: Value =
            serde_json::from_slice(&std::fs::read(home.dir.path().join("store/networks/.leases")).unwrap()).unwrap();
        let supervisor = leases["attachments"][0]["supervisor"]["pid"].as_u64().unwrap();
        assert!(Command::new("kill").args(["-9", &supervisor.to_string()]).status().unwrap().success());
        until("the keeper's end", || home.keeper().is_none());
    }
}

#[test]
fn a_port_of_a_container_in_a_network_is_published() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["network", "create", "front"]);
    let run = ["run", "-d", "--name", "web", "--hostname", "served", "--network", "front", "-p", "127.0.0.1::80"];
    env.ok(&[&run[..], &SERVER].concat());
    let at = env.ok(&["port", "web", "80"]);
    let mut answer = String::new();
    until("the server's start", || {
        use std::io::{Read as _, Write as _};
        answer.clear();
        let Ok(mut stream) = std::net::TcpStream::connect(at.trim()) else { return false };
        let _ = stream.write_all(b"GET /hostname HTTP/1.0\r\n\r\n");
        let _ = stream.read_to_string(&mut answer);
        answer.ends_with("served")
    });
    env.ok(&["rm", "-f", "web"]);
    until("the keeper's end", || !env.root().join("networks/.leases").exists());
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["network", "create", "--subnet", "10.199.7.0/29", "--gateway", "10.199.7.6", "small"]);
    for (arguments, code, words) in [
        (&["network", "create", "host"][..], 1, "a kind of network"),
        (&["network", "create", "../x"], 1, "cannot name a network"),
        (&["network", "create", "\u{1b}[2Jx"], 1, "cannot name a network"),
        (&["network", "create", "small"], 1, "already"),
        (&["network", "create", "--subnet", "10.199.0.0/16", "large"], 1, "overlaps"),
        (&["network", "create", "--driver", "macvlan", "lan"], 125, "only `bridge`"),
        (&["network", "create", "--opt", "colour=red", "lan"], 125, "unknown option"),
        (&["network", "inspect", "gone"], 1, "there is no network gone"),
        (&["network", "rm", "gone"], 1, "there is no network gone"),
        (&["network", "ls", "--filter", "colour=red"], 125, "unknown filter"),
        (&["run", "--rm", "--network", "gone", "busybox", "true"], 125, "there is no network gone"),
        (&["run", "--rm", "--network", "small", "--ip", "10.199.7.6", "busybox", "true"], 125, "gateway's"),
        (&["run", "--rm", "--network", "small", "--ip", "10.3.0.1", "busybox", "true"], 125, "10.199.7.0/29"),
        (&["run", "--rm", "--network", "host", "--network", "small", "busybox", "true"], 125, "--network"),
        (&["run", "--rm", "--network", "none", "--network-alias", "x", "busybox", "true"], 125, "--network-alias"),
    ] {
        let said = env.fails(code, arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let address =
        ["run", "--rm", "--network", "small:ip=10.199.7.3,mac=02:00:00:00:00:07", "busybox", "busybox", "ip", "addr"];
    let said = env.ok(&address);
    assert!(said.contains("10.199.7.3/29") && said.contains("02:00:00:00:00:07"), "{said}");
    assert_eq!(env.ok(&["network", "ls", "--format", "{{.Name}} {{.Driver}}"]), "small bridge\n");
    env.ok(&["run", "-d", "--name", "apart", "--network", "none", "busybox", "sleep", "300"]);
    assert!(env.fails(1, &["network", "connect", "small", "apart"]).contains("no network"));
    env.ok(&["rm", "-f", "apart"]);
    until("the keeper's end", || !env.root().join("networks/.leases").exists());
}
