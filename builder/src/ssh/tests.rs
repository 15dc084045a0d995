//! The agent, asked by OpenSSH's own tools.

use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

fn has_openssh() -> bool {
    let has = Command::new("ssh-keygen").arg("-?").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !has {
        fixtures::skip("ssh-keygen is not installed");
    }
    has
}

fn keygen(path: &Path, arguments: &[&str]) {
    let made =
        Command::new("ssh-keygen").args(["-q", "-C", "me@here", "-f"]).arg(path).args(arguments).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

const OPEN: Access = Access { mode: 0o600, owner: None };

/// Signs with the agent's key and lets OpenSSH check the signature.
fn signs(socket: &Path, public: &Path) {
    let dir = public.parent().unwrap();
    let text = dir.join("text");
    std::fs::write(&text, "signed\n").unwrap();
    let _ = std::fs::remove_file(dir.join("text.sig"));
    let sign =
        |arguments: &[&str]| Command::new("ssh-keygen").args(arguments).env("SSH_AUTH_SOCK", socket).output().unwrap();
    let (public_text, text) = (public.to_str().unwrap(), text.to_str().unwrap());
    let signed = sign(&["-Y", "sign", "-n", "file", "-f", public_text, text]);
    assert!(signed.status.success(), "{public_text}: {signed:?}");
    let checked = Command::new("ssh-keygen")
        .args(["-Y", "check-novalidate", "-n", "file", "-s", &format!("{text}.sig")])
        .stdin(std::fs::File::open(text).unwrap())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{public_text}: {checked:?}");
}

#[test]
fn keys_of_every_kind_sign_for_openssh() {
    if !has_openssh() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (name, arguments) in [
        ("ed25519", &["-t", "ed25519", "-N", ""][..]),
        ("rsa", &["-t", "rsa", "-b", "2048", "-N", ""]),
        ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]),
        ("rsa-pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", ""]),
        ("p256", &["-t", "ecdsa", "-b", "256", "-N", ""]),
        ("p384", &["-t", "ecdsa", "-b", "384", "-N", ""]),
        ("p256-pkcs8", &["-t", "ecdsa", "-b", "256", "-m", "PKCS8", "-N", ""]),
    ] {
        keygen(&path(name), arguments);
        let source = AgentSource { id: name.to_owned(), place: AgentPlace::Keys(vec![path(name)]) };
        let agents = Agents::new(vec![source]);
        agents.read_all().unwrap();
        let listener = agents.listen(name, &path("run").join(name), OPEN).unwrap().unwrap();
        let listed = Command::new("ssh-add").arg("-L").env("SSH_AUTH_SOCK", listener.path()).output().unwrap();
        let public = std::fs::read_to_string(path(&format!("{name}.pub"))).unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let words = |text: &str| text.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&listed), words(&public), "{name}");
        signs(listener.path(), &path(&format!("{name}.pub")));
        let gone = listener.path().to_path_buf();
        drop(listener);
        assert!(!gone.exists());
    }
}

#[test]
fn a_running_agent_signs_and_keeps_its_keys() {
    if !has_openssh() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (socket, key) = (dir.path().join("agent"), dir.path().join("key"));
    keygen(&key, &["-t", "ed25519", "-N", ""]);
    let mut agent = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..500 {
        if socket.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let add = |socket: &Path, arguments: &[&str]| {
        Command::new("ssh-add").args(arguments).env("SSH_AUTH_SOCK", socket).output().unwrap().status.success()
    };
    assert!(add(&socket, &[key.to_str().unwrap()]));
    let agents = Agents::new(vec![AgentSource { id: "default".to_owned(), place: AgentPlace::Socket(socket.clone()) }]);
    let listener = agents.listen("default", &dir.path().join("run"), OPEN).unwrap().unwrap();
    signs(listener.path(), &dir.path().join("key.pub"));
    assert!(!add(listener.path(), &["-D"]), "who is inside removes no key");
    assert!(!add(listener.path(), &[key.to_str().unwrap()]), "nor adds one");
    assert!(add(&socket, &["-l"]), "the key is there");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn a_passphrase_is_for_an_agent() {
    if !has_openssh() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    keygen(&key, &["-t", "ed25519", "-N", "hunter22"]);
    let agents = Agents::new(vec![AgentSource { id: "a".to_owned(), place: AgentPlace::Keys(vec![key]) }]);
    assert!(matches!(agents.read_all(), Err(KeyError::Passphrase { .. })));
    assert!(agents.listen("other", dir.path(), OPEN).unwrap().is_none());
}
