//! Networks of containers: modes, published ports, the files that tell of them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::runner::Env;

/// A program that carries private networks, if it would work here.
pub(crate) fn has(program: &str) -> bool {
    let tun = std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok();
    let there =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(program).is_file());
    if !(tun && there) {
        fixtures::skip(&format!("{program} or /dev/net/tun is missing"));
    }
    tun && there
}

/// Asks a web server for a file; tries until it listens.
pub(crate) fn get(address: &str, path: &str) -> String {
    let address: SocketAddr = address.trim().parse().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = write!(stream, "GET {path} HTTP/1.0\r\n\r\n");
            let _ = stream.read_to_string(&mut answer);
        }
        if answer.starts_with("HTTP/1") || Instant::now() > until {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

const SERVER: [&str; 8] = ["busybox", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc"];

/// A web server behind a network of each kind, reached from the host; gone with all that served it.
fn published(mode: &str) {
    let Some(env) = Env::with_busybox() else { return };
    let run =
        ["run", "-d", "--name", "web", "--hostname", "served", "--network", mode, "-p", "127.0.0.1::80", "-p", "80"];
    env.ok(&[&run[..], &SERVER].concat());
    let ports = env.ok(&["port", "web", "80"]);
    let local = ports.lines().find(|line| line.starts_with("127.")).unwrap();
    assert!(get(local, "/hostname").ends_with("\r\n\r\nserved"), "{mode}: {ports}");
    let everywhere = ports.lines().find(|line| line.starts_with("0.0.0.0:")).unwrap().replace("0.0.0.0", "127.0.0.1");
    assert!(get(&everywhere, "/hostname").ends_with("served"), "{mode}: {ports}");
    assert!(env.ok(&["port", "web"]).contains(&format!("80/tcp -> {local}\n")));
    assert!(env.fails(1, &["port", "web", "81"]).contains("no public port '81/tcp' published for web"));
    let taken = env.fails(125, &["run", "--rm", "--network", mode, "-p", &format!("{local}:80"), "busybox", "true"]);
    assert!(taken.contains(&format!("port {local}/tcp is taken by ")), "{taken}");
    env.ok(&["rm", "-f", "web"]);
    let address: SocketAddr = local.parse().unwrap();
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_err(), "{mode}: somebody still listens");
}

#[test]
fn ports_are_published_by_pasta() {
    if has("pasta") {
        published("pasta");
    }
}

#[test]
fn ports_are_published_before_slirp4netns() {
    if has("slirp4netns") {
        published("slirp4netns");
    }
}

#[test]
fn a_private_network_has_a_way_out_and_the_others_what_they_say() {
    let Some(env) = Env::with_busybox() else { return };
    let routes = |mode: &str| env.ok(&["run", "--rm", "--network", mode, "busybox", "busybox", "ip", "route"]);
    assert_eq!(routes("none"), "");
    assert_eq!(
        env.ok(&["run", "--rm", "--network", "none", "busybox", "busybox", "ip", "-o", "link"]).lines().count(),
        1
    );
    for mode in ["pasta", "slirp4netns"] {
        if has(mode) {
            assert!(routes(mode).starts_with("default via "), "{mode}");
        }
    }
    let host = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let own =
        |mode: &str| env.ok(&["run", "--rm", "--network", mode, "busybox", "busybox", "readlink", "/proc/self/ns/net"]);
    assert_eq!(own("host").trim(), host);
    assert_ne!(own("none").trim(), host);
    assert!(env.fails(125, &["run", "--network", "host:x", "busybox", "true"]).contains("--network"));
}

#[test]
fn without_a_tun_device_that_is_said_and_ports_are_published_all_the_same() {
    let Some(env) = Env::with_busybox() else { return };
    if !fixtures::is_root() {
        return fixtures::skip("only root hides a device without becoming another user");
    }
    let run = ["run", "-d", "--name", "web", "--hostname", "served", "-p", "127.0.0.1::80"];
    let command = env.command(&[&run[..], &SERVER].concat());
    // The device away, in a mount namespace of the command's own.
    let mut hidden = std::process::Command::new("unshare");
    hidden.args(["-m", "sh", "-c", "mount -t tmpfs none /dev/net && exec \"$@\"", "sh"]);
    hidden.arg(command.get_program()).args(command.get_args());
    hidden.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = hidden.current_dir(env.work()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the container has no way out, only loopback: there is no /dev/net/tun here"), "{said}");
    assert!(get(&env.ok(&["port", "web", "80"]), "/hostname").ends_with("served"));
    env.ok(&["rm", "-f", "web"]);
}

#[test]
fn another_runtime_has_the_network_and_its_files() {
    let Some(env) = Env::with_busybox() else { return };
    for runtime in ["crun", "runc"] {
        let there = ["/usr/bin", "/usr/sbin"].iter().any(|dir| std::path::Path::new(dir).join(runtime).exists());
        if !there {
            fixtures::skip(&format!("{runtime} is not installed"));
        } else if has("pasta") {
            let look = "busybox ip route && busybox cat /etc/hosts";
            let run = ["run", "--rm", "--network", "pasta", "--hostname", "other", "--runtime", runtime, "busybox"];
            let said = env.ok(&[&run[..], &["sh", "-c", look]].concat());
            assert!(said.starts_with("default via ") && said.contains("\tother\n"), "{runtime}: {said}");
        }
    }
}

#[test]
fn a_port_that_is_taken_is_said_with_whose_it_is() {
    let Some(env) = Env::with_busybox() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = env.fails(125, &["run", "--rm", "-p", &format!("127.0.0.1:{port}:80"), "busybox", "true"]);
    let own = std::process::id();
    assert!(said.contains(&format!("port 127.0.0.1:{port}/tcp is taken by ")), "{said}");
    // Into a program that its user may not read, only root may look.
    let is_open = fs::metadata("/proc/self/fd").unwrap().uid() == rustix::process::geteuid().as_raw();
    assert!(!is_open || said.contains(&format!("(process {own})")), "{said}");
    // One of our own has a name.
    env.ok(&["run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox", "sleep", "300"]);
    let host = env.ok(&["port", "web", "80"]);
    let said = env.fails(125, &["run", "--rm", "-p", &format!("{}:80", host.trim()), "busybox", "true"]);
    assert!(said.contains(&format!("port {}/tcp is taken by container web\n", host.trim())), "{said}");
    env.ok(&["rm", "-f", "web"]);
    assert!(
        env.fails(125, &["run", "-p", "203.0.113.9:8080:80", "busybox", "true"]).contains("no address of this host")
    );
    assert!(env.fails(125, &["run", "-p", "8080:80/sctp", "busybox", "true"]).contains("SCTP"));
    assert!(env.fails(125, &["run", "-p", "82-80", "busybox", "true"]).contains("ends before it begins"));
}

#[test]
fn the_network_of_another_container() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&[&["run", "-d", "--name", "web", "--hostname", "served", "--network", "none"][..], &SERVER].concat());
    let script =
        "for i in $(busybox seq 50); do busybox wget -qO- http://127.0.0.1/hostname && exit; busybox sleep 0.1; done";
    let said = env.ok(&["run", "--rm", "--network", "container:web", "busybox", "sh", "-c", script]);
    assert_eq!(said, "served");
    env.ok(&["rm", "-f", "web"]);
    assert!(env.fails(125, &["run", "--rm", "--network", "container:web", "busybox", "true"]).contains("web"));
}

#[test]
fn files_that_tell_of_the_network() {
    let Some(env) = Env::with_busybox() else { return };
    let options =
        ["--dns", "10.9.8.7", "--dns-search", "a.example", "--dns-option", "ndots:3", "--add-host", "db:10.1.2.3"];
    let show = ["busybox", "cat", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname"];
    for mode in ["none", "host", "private"] {
        let run = ["run", "--rm", "--hostname", "me", "--network", mode];
        let text = env.ok(&[&run[..], &options, &show].concat());
        for line in
            ["search a.example", "nameserver 10.9.8.7", "options ndots:3", "10.1.2.3\tdb", "127.0.0.1\tlocalhost"]
        {
            let spaced = line.replace('\t', " ");
            assert!(text.contains(line) || text.contains(&spaced), "{mode}: {line}: {text}");
        }
        assert!(text.contains("\tme\n"), "{mode}: {text}");
        assert_eq!(text.matches("nameserver").count(), 1, "{mode}: {text}");
    }
    let injected = env.fails(125, &["run", "--add-host", "a:1.2.3.4\n6.6.6.6 b", "busybox", "true"]);
    assert!(injected.contains("is not an address"), "{injected}");
}

/// The only name server of a machine that the test makes.
const NAME_SERVER: &str = "192.0.2.53";
/// Said to this program when it is to be that server.
const SERVES: &str = "ESTIBA_TEST_NAME_SERVER";

/// A machine of two interfaces with a name server, which is this program once more; then what is given is executed.
const MACHINE: &str = r#"set -e
ip link set lo up
ip address add "$SERVER/32" dev lo
ip link add way type veth peer name yaw
ip address add 198.51.100.2/24 dev way
ip link set way up
ip link set yaw up
ip route add default via 198.51.100.1
echo "nameserver $SERVER" > resolv.conf
mount --bind resolv.conf /etc/resolv.conf
"$TEST" --exact network::names_are_asked_for_where_the_host_asks > /dev/null &
server=$!
trap 'kill $server' EXIT
while ! test -e serves; do kill -0 $server; sleep 0.05; done
"$@"
"#;

/// Every name has one address. Ends with who ends this process.
fn serve_names() {
    let socket = UdpSocket::bind((NAME_SERVER, 53)).unwrap();
    std::fs::write("serves", "").unwrap();
    let mut question = [0; 512];
    while let Ok((length, who)) = socket.recv_from(&mut question) {
        let head = b"\x81\x80\0\x01\0\x01\0\0\0\0";
        let answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\0\x71\x07";
        let _ = socket.send_to(&[&question[..2], head, &question[12..length], answer].concat(), who);
    }
}

#[test]
fn names_are_asked_for_where_the_host_asks() {
    if std::env::var_os(SERVES).is_some() {
        return serve_names();
    }
    let alone: &[&str] = if fixtures::is_root() { &["-n", "-m"] } else { &["-r", "-n", "-m"] };
    let unshare = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(alone).args(["sh", "-c", script, "sh"]);
        command
    };
    if !has("pasta") {
        return;
    }
    if !unshare("ip link add way type veth peer name yaw").output().is_ok_and(|made| made.status.success()) {
        return fixtures::skip("unshare, ip or what they ask of the kernel is missing");
    }
    let Some(env) = Env::with_busybox() else { return };
    // Its own server is asked as it is; at the address that leads to it, it is asked too.
    for servers in [&[][..], &["--dns", "169.254.1.1"]] {
        let _ = std::fs::remove_file(env.work().join("serves"));
        let run = [
            &["run", "--rm", "--network", "pasta"],
            servers,
            &["busybox", "busybox", "nslookup", "-type=a", "a.example"],
        ];
        let command = env.command(&run.concat());
        let mut machine = unshare(MACHINE);
        machine.arg(command.get_program()).args(command.get_args());
        machine.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        machine.env("SERVER", NAME_SERVER).env("TEST", std::env::current_exe().unwrap()).env(SERVES, "");
        let output = machine.current_dir(env.work()).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("203.0.113.7"), "{servers:?}: {output:?}");
    }
}
