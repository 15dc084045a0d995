//! `--secret` and `--ssh`: what a RUN gets, and that nothing else ever holds it. As root, with subordinate ids, with one id.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fixtures::User;
use tempfile::TempDir;

use crate::runner::Env;

/// Nobody's password, and long enough to be looked for.
const TOKEN: &str = "correct-horse-battery-staple-0123456789";

/// Whether any file below `dir`, or its name, holds the text.
fn holds(dir: &Path, text: &str) -> Vec<PathBuf> {
    let output = Command::new("grep").args(["-rlaF", text]).arg(dir).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect()
}

const EVERYWHERE: &str = "FROM busybox\n\
    RUN --mount=type=secret,id=token,required \
        test \"$(cat /run/secrets/token)\" = \"$(printf '%s' \"$(cat /run/secrets/token)\")\" && \
        stat -c '%a %u:%g' /run/secrets/token && wc -c < /run/secrets/token && cat /run/secrets/token && test \"$(ulimit -Hc)\" = 0\n\
    RUN --mount=type=secret,id=token,env=TOKEN,target=/in/a/file,mode=0444 \
        test \"$TOKEN\" = \"$(cat /in/a/file)\" && echo \"it is $TOKEN\" && echo x > /x\n\
    RUN test ! -e /run/secrets && test ! -e /in && test -z \"$TOKEN\"\n";

#[test]
fn a_secret_reaches_its_run_and_nothing_else() {
    let Some(env) = Env::with_busybox() else { return };
    // Beside the context, so that the search for it finds copies only.
    let file = env.root().with_file_name("token");
    fs::write(&file, TOKEN).unwrap();
    env.write("Dockerfile", EVERYWHERE);
    let secret = format!("id=token,src={}", file.display());
    let arguments = ["build", "--progress=plain", "-t", "app", "--secret", &secret, "--metadata-file", "meta", "."];
    let said = env.run(&arguments);
    assert_eq!(said.code, 0, "{said:#?}");
    for part in ["400 0:0", "39", "***", "it is ***"] {
        assert!(said.stderr.contains(part), "{part} is not in {said:#?}");
    }
    assert!(!said.stderr.contains(TOKEN), "{said:#?}");
    let cached = env.run(&arguments);
    assert!(cached.code == 0 && cached.stderr.contains("CACHED [2/4]"), "{cached:#?}");
    env.ok(&["build", "-q", "--secret", &secret, "-o", "type=oci,dest=out,tar=false", "."]);
    env.ok(&["save", "-o", "app.tar", "app"]);
    assert_eq!(holds(env.root().parent().unwrap(), TOKEN), [file], "the one file that was given");
}

#[test]
fn another_secret_is_no_other_key() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=T,env=T echo \"${#T}\" > /x\n");
    let build = |value: &str| {
        let mut command = env.command(&["build", "--progress=plain", "--secret", "id=T", "."]);
        String::from_utf8(command.env("T", value).output().unwrap().stderr).unwrap()
    };
    assert!(!build("one").contains("CACHED [2/2]"));
    let again = build("another");
    assert!(again.contains("CACHED [2/2]"), "{again}");
}

#[test]
fn missing_huge_and_binary_secrets() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=t,required cat /run/secrets/t | md5sum\n");
    let error = env.fails(1, &["build", "."]);
    assert!(error.contains("secret \"t\" is required") && error.contains("--secret id=t,"), "{error}");
    let error = env.fails(1, &["build", "--secret", "id=t,src=nowhere", "."]);
    assert!(error.contains("nowhere"), "{error}");
    assert!(env.fails(1, &["build", "--secret", "id=t,src=.", "."]).contains("is a folder"));
    fs::write(env.work().join("huge"), vec![b'x'; (500 << 10) + 1]).unwrap();
    let error = env.fails(1, &["build", "--secret", "id=t,src=huge", "."]);
    assert!(error.contains("more than 500 KiB"), "{error}");
    // A pipe says its size only when it is read.
    let pipe = env.work().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer =
        Command::new("sh").args(["-c", "cat huge > pipe"]).current_dir(env.work()).stderr(Stdio::null()).spawn();
    let error = env.fails(1, &["build", "--secret", "id=t,src=pipe", "."]);
    assert!(error.contains("more than 500 KiB"), "{error}");
    writer.unwrap().wait().unwrap();
    let binary: Vec<u8> = (0..300_000u32).map(|n| (n * 31 % 256) as u8).collect();
    let path = env.write("binary", &binary);
    let sum = Command::new("md5sum").stdin(fs::File::open(path).unwrap()).output().unwrap();
    let said = env.run(&["build", "--progress=plain", "--secret", "id=t,src=binary", "."]);
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert!(said.code == 0 && said.stderr.contains(sum.split(' ').next().unwrap()), "{said:#?}");
    env.write("Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=t,env=T true\n");
    let error = env.fails(1, &["build", "--secret", "id=t,src=binary", "."]);
    assert!(error.contains("is no text") && error.contains("$T"), "{error}");
    env.write("Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=t test ! -e /run/secrets/t\n");
    env.ok(&["build", "-q", "."]);
}

#[test]
fn what_is_given_wrongly_is_said_before_anything_starts() {
    let env = Env::new();
    env.write("Dockerfile", "FROM scratch\n");
    for (arguments, word) in [
        (["--secret", "src=x"], "id="),
        (["--secret", "id=a,type=vault"], "vault"),
        (["--ssh", "default=/no/such/key"], "/no/such/key"),
        (["--ssh", "default"], "SSH_AUTH_SOCK"),
        (["--allow", "network.everything"], "network.everything"),
        (["--ulimit", "nofile=2:1"], "soft"),
        (["--add-host", "db"], "HOST:IP"),
        (["--memory", "much"], "much"),
        (["--device", "/etc/passwd"], "/dev"),
        (["--isolation", "hyperv"], "doctor"),
    ] {
        let said = env.run(&[&["build"], &arguments[..], &["."]].concat());
        assert!(said.code != 0 && said.stderr.contains(word), "{arguments:?}: {said:#?}");
    }
    let key = env.write("key", "no key at all\n");
    let error = env.fails(1, &["build", "--ssh", &format!("default={}", key.display()), "."]);
    assert!(error.contains("no private key") && !error.contains("no key at all"), "{error}");
}

/// A user's own folder, with the binary, a base image and a key.
struct Home {
    user: User,
    dir: TempDir,
    binary: PathBuf,
}

impl Home {
    fn new(user: User, busybox: &Path) -> Self {
        let dir = user.temp_dir().unwrap();
        let binary = user.install(Path::new(env!("CARGO_BIN_EXE_estiba")), dir.path()).unwrap();
        fixtures::Image::busybox(busybox).layout_in(dir.path(), "layout").unwrap();
        fs::create_dir(dir.path().join("context")).unwrap();
        let home = Self { user, dir, binary };
        let said = home.run(&["load", "-q", "--tag", "busybox", "-i", &home.path("layout")]);
        assert!(said.status.success(), "{said:?}");
        home
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command: Command = self.user.command("env");
        command.arg(format!("ESTIBA_ROOT={}", self.path("store"))).arg(&self.binary).args(arguments);
        command.output().unwrap()
    }

    fn build(&self, dockerfile: &str, arguments: &[&str]) -> String {
        fs::write(self.dir.path().join("context/Dockerfile"), dockerfile).unwrap();
        let output = self.run(&[&["build", "--progress=plain"], arguments, &[&self.path("context")]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {said}", self.user.name);
        said
    }

    /// A file that this user alone may read.
    fn private(&self, name: &str, content: &[u8]) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&path, Some(self.user.uid), Some(self.user.gid)).unwrap();
        path.display().to_string()
    }
}

/// Secrets and agents as an ordinary user; the owner of a file is what the rung can show.
fn as_user(user: Option<User>) {
    let (Some(user), Some(busybox)) = (user, fixtures::busybox()) else { return };
    let home = Home::new(user, &busybox);
    let token = home.private("token", TOKEN.as_bytes());
    let secret = format!("id=token,src={token}");
    home.build(EVERYWHERE, &["--secret", &secret]);
    let owned = "FROM busybox\nRUN --mount=type=secret,id=token,uid=33,gid=33 stat -c 'owner=%u:%g' /run/secrets/token\n\
         USER 33\nRUN --mount=type=secret,id=token,uid=33,gid=33 test -s /run/secrets/token\n";
    let said = home.build(owned, &["--secret", &secret]);
    assert!(said.contains("owner=33:33") || home.user.name == "estiba-plain", "{said}");
    let key = home.private("key", &fs::read(make_key(home.dir.path())).unwrap());
    let agent = "FROM busybox\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo \"agent at $SSH_AUTH_SOCK\"\n\
         USER 33\nRUN --mount=type=ssh,uid=33,gid=33,required test -w $SSH_AUTH_SOCK\n";
    let said = home.build(agent, &["--ssh", &format!("default={key}")]);
    assert!(said.contains("agent at /run/buildkit/ssh_agent.0"), "{said}");
    for name in ["token", "key", "made"] {
        let _ = fs::remove_file(home.dir.path().join(name));
    }
    assert_eq!(holds(&home.dir.path().join("store"), TOKEN), Vec::<PathBuf>::new());
}

/// A key without a passphrase, made by OpenSSH; anything at all where it is not installed.
fn make_key(dir: &Path) -> PathBuf {
    let path = dir.join("made");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
    assert!(made.is_ok_and(|made| made.success()), "ssh-keygen makes the key of this test");
    path
}

#[test]
fn with_subordinate_ids() {
    as_user(User::subordinate());
}

#[test]
fn with_a_single_id() {
    as_user(User::plain());
}

/// `ssh-add` and what it needs of this machine, as a tree: a RUN that speaks to an agent with OpenSSH itself.
#[test]
fn openssh_inside_signs_with_a_key_outside() {
    let Some(env) = Env::with_busybox() else { return };
    let key = make_key(env.root().parent().unwrap());
    let libraries = Command::new("ldd").arg("/usr/bin/ssh-add").output().unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    let files = libraries.split_whitespace().filter(|word| word.starts_with('/')).chain(["/usr/bin/ssh-add"]);
    for file in files {
        let to = env.work().join("tree").join(&file[1..]);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    let dockerfile = "FROM busybox\nCOPY tree /\n\
        RUN echo root:x:0:0:root:/root:/bin/sh > /etc/passwd\n\
        RUN --mount=type=ssh,id=work,target=/sock SSH_AUTH_SOCK=/sock ssh-add -L && ! ssh-add -D\n\
        RUN --mount=type=ssh test -z \"$SSH_AUTH_SOCK\"\n";
    let said = env.build(dockerfile, &["--ssh", &format!("work={}", key.display())]);
    assert_eq!(said.code, 0, "{said:#?}");
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    assert!(said.stderr.contains(public.split(' ').nth(1).unwrap()), "{said:#?}");
    let said = env.build("FROM busybox\nRUN --mount=type=ssh,required true\n", &[]);
    assert!(said.code == 1 && said.stderr.contains("--ssh default"), "{said:#?}");
}
