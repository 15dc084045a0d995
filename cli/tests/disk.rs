//! Containers that fill what they write to, and a store whose disk is full.

use std::path::Path;
use std::process::Command;

use crate::runner::Env;

/// How it begins what is said of one that was stopped for its size.
const TAKE: &str = "exited 137 disk limit: its files take ";
/// More than the fastest disk takes in a look and a measurement, in bytes.
const MOST: u64 = 1 << 30;

/// What becomes of one in the background.
fn fate(env: &Env, name: &str) -> String {
    env.ok(&["wait", name]);
    env.ok(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}", name])
}

#[test]
fn a_container_larger_than_its_size_is_stopped() {
    let Some(env) = Env::with_busybox() else { return };
    let run = ["run", "-d", "--network", "none", "--storage-opt", "size=20m", "--restart", "always", "--name"];
    let one = "while :; do head -c 1000000 /dev/zero >> /one; done";
    let many = "i=0; while :; do head -c 9000 /dev/zero > /f$i; i=$((i+1)); done";
    for (name, script) in [("one", one), ("many", many)] {
        env.ok(&[&run[..], &[name, "busybox", "sh", "-c", script]].concat());
        let said = fate(&env, name);
        assert!(said.starts_with(TAKE) && said.contains("20971520"), "{said}");
        let bytes: u64 = said[TAKE.len()..].split(' ').next().unwrap().parse().unwrap();
        assert!(bytes < MOST, "{said}");
        assert!(env.ok(&["events", "--since", "1h", "--until", "0s"]).contains("disk_full"));
        assert!(env.fails(1, &["start", name]).contains("disk limit"), "it would be stopped at once");
        assert_eq!(env.ok(&["inspect", "-f", "{{.HostConfig.StorageOpt.size}}", name]), "20971520\n");
    }
    // What it wrote is there, and goes with it.
    env.ok(&["cp", "many:/f0", "f0"]);
    assert_eq!(std::fs::read(env.work().join("f0")).unwrap().len(), 9000);
    env.ok(&["rm", "one", "many"]);
    // Who stays is told. What is in memory, or somebody else's folder, is not its own.
    let foreground = ["run", "--rm", "--network", "none", "--storage-opt", "size=5m"];
    let said = env.run(&[&foreground[..], &["busybox", "sh", "-c", one]].concat());
    assert!(said.code == 137 && said.stderr.contains("note: disk limit"), "{said:#?}");
    std::fs::create_dir(env.work().join("host")).unwrap();
    let elsewhere = "head -c 9000000 /dev/zero > /h/f; head -c 9000000 /dev/zero > /dev/shm/f; sleep 1";
    env.ok(&[&foreground[..], &["-v", "./host:/h", "busybox", "sh", "-c", elsewhere]].concat());
    for bad in ["size=", "size=0", "size=x", "inodes=5", "20m"] {
        assert!(env.fails(125, &["run", "--rm", "--storage-opt", bad, "busybox"]).contains("size=10g"), "{bad}");
    }
}

#[test]
fn what_is_deep_or_has_no_name_is_no_way_around() {
    let Some(env) = Env::with_busybox() else { return };
    let run = ["run", "-d", "--network", "none", "--storage-opt", "size=20m", "--name"];
    // Where it is not stopped it leaves room on the disk, and fails here later.
    let fill = "for i in $(seq 1000); do head -c 1000000 /dev/zero";
    let deep = format!("p=$(yes d | head -n 650 | tr '\\n' /); mkdir -p $p; cd $p; {fill} >> f; done; sleep 300");
    let nameless = format!("exec 3>/x; rm /x; {fill} >&3; done; sleep 300");
    for (name, script, expected) in
        [("deep", &deep, "exited 137 disk limit: 1 of its directories lie too deep"), ("nameless", &nameless, TAKE)]
    {
        env.ok(&[&run[..], &[name, "busybox", "sh", "-c", script]].concat());
        let said = fate(&env, name);
        assert!(said.starts_with(expected), "{said}");
    }
    assert!(env.fails(1, &["start", "deep"]).contains("too deep"), "it would be stopped at once");
    env.ok(&["rm", "deep", "nameless"]);
}

#[test]
fn the_limit_of_the_store_holds_for_containers() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["config", "store.limit", "64m"]);
    let log = "while :; do echo something to say; sleep 0.05; done";
    env.ok(&["run", "-d", "--network", "none", "--name", "calm", "--restart", "always", "busybox", "sh", "-c", log]);
    let lines = || env.ok(&["logs", "calm"]).lines().count();
    for (name, options) in [("own", &[][..]), ("volume", &["-v", "data:/d"])] {
        let script = "while :; do head -c 1000000 /dev/zero >> /d/one || sleep 0.1; done";
        let run = [&["run", "-d", "--network", "none", "--name", name], options, &["busybox", "sh", "-c"]].concat();
        env.ok(&[&run[..], &[&format!("mkdir -p /d; {script}")]].concat());
        let said = fate(&env, name);
        assert!(said.contains("exited 137 disk limit: store") && said.contains("limit of 67108864 bytes"), "{said}");
        // What filled it is still there, and who does not is left alone.
        let most = lines() + 20;
        while lines() < most {
            assert!(env.ok(&["inspect", "-f", "{{.State.Status}}{{.State.Error}}", "calm"]).starts_with("running\n"));
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        env.ok(&["rm", "-v", name]);
    }
    env.ok(&["rm", "-f", "calm"]);
    env.ok(&["volume", "rm", "data"]);
    env.ok(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", "echo small > /small"]);
}

/// A disk in memory with a store on it, for one user. Unmounted when dropped.
struct SmallDisk {
    user: Option<fixtures::User>,
    dir: tempfile::TempDir,
}

impl SmallDisk {
    fn new(user: Option<fixtures::User>, options: &str) -> Option<Self> {
        let dir = match &user {
            Some(user) => user.temp_dir().unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        let disk = dir.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let options = format!("size=96m,mode=777,{options}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "disk"]).arg(&disk).status();
        if !mounted.is_ok_and(|status| status.success()) {
            fixtures::skip("no small disk: mounts are refused");
            return None;
        }
        Some(Self { user, dir })
    }

    /// Runs a script with a store on the disk, which is `$1`; `e` is the binary.
    fn script(&self, text: &str) {
        let Some(busybox) = fixtures::busybox() else { return };
        let dir = self.dir.path();
        fixtures::Image::busybox(&busybox).layout_in(dir, "layout").unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_estiba"));
        let (mut command, binary) = match &self.user {
            Some(user) => (user.command("sh"), user.install(binary, dir).unwrap()),
            None => (Command::new("sh"), binary.to_path_buf()),
        };
        let script = format!(
            "set -ex; cd \"$1/disk\"; export ESTIBA_ROOT=\"$1/disk/store\"; estiba=$2; e() {{ \"$estiba\" \"$@\"; }}\n\
             e load -q --tag busybox -i ../layout >/dev/null\n\
             trap 'e rm -af >/dev/null 2>&1' EXIT\n{text}"
        );
        let output = command.args(["-c", &script, "sh"]).arg(dir).arg(&binary).output().unwrap();
        let who = self.user.as_ref().map_or("root", |user| &user.name);
        assert!(output.status.success(), "{who}: {output:#?}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.dir.path().join("disk")).status());
    }
}

fn everybody() -> Vec<Option<fixtures::User>> {
    if !fixtures::is_root() {
        fixtures::skip("only root makes a small disk, for itself and for others");
        return Vec::new();
    }
    let users = [fixtures::User::subordinate(), fixtures::User::plain()].into_iter().flatten().map(Some);
    users.chain([None]).collect()
}

#[test]
fn one_container_does_not_fill_the_disk() {
    for user in everybody() {
        let Some(disk) = SmallDisk::new(user, "nr_inodes=20000") else { return };
        disk.script(
            "e run -d --name calm --network none busybox sh -c 'head -c 20000000 /dev/zero > /f; touch /done; sleep 300' >/dev/null\n\
             until e exec calm test -e /done; do sleep 0.1; done; sleep 1\n\
             e run -d --name one --network none busybox sh -c \
               'while :; do head -c 300000 /dev/zero >> /f || sleep 0.1; done' >/dev/null\n\
             test $(e wait one) = 137\n\
             e inspect -f '{{.State.Error}}' one | grep -q '^disk full: it wrote'\n\
             e rm one >/dev/null\n\
             e run -d --name many --network none busybox sh -c \
               'i=0; while :; do touch /f$((i+=1)) 2>/dev/null || sleep 0.1; done' >/dev/null\n\
             test $(e wait many) = 137\n\
             e inspect -f '{{.State.Error}}' many | grep -q '^disk full: it made'\n\
             e rm many >/dev/null\n\
             # At once, as far as the file system lets it.\n\
             e run -d --name all --network none busybox sh -c \
               'while :; do dd if=/dev/zero of=/f bs=96M count=1 2>/dev/null; sleep 0.1; done' >/dev/null\n\
             test $(e wait all) = 137\n\
             test \"$(e inspect -f '{{.State.Status}}' calm)\" = running\n\
             e rm all >/dev/null; e rm -f calm >/dev/null\n\
             e run --rm --network none busybox true\n",
        );
    }
}

#[test]
fn on_a_full_disk_containers_are_looked_at_ended_and_removed() {
    for user in everybody() {
        let Some(disk) = SmallDisk::new(user, "") else { return };
        disk.script(
            "e run -d --name up --network none busybox sh -c 'echo said; sleep 300' >/dev/null\n\
             e run --name down --network none busybox echo before\n\
             cat /dev/zero > ballast 2>/dev/null || true\n\
             e ps --format '{{.Names}}' | grep -qx up\n\
             test \"$(e logs up)\" = said; e exec up true\n\
             for verb in run create; do\n\
               said=$(e $verb --network none busybox true 2>&1) && exit 1\n\
               case $said in *'No space left'*|*'disk is full'*) ;; *) echo \"$said\"; exit 1 ;; esac\n\
             done\n\
             e stop -t 0 up >/dev/null\n\
             test \"$(e ps -a --format '{{.Names}} {{.State}}' | sort | tr '\\n' ' ')\" = 'down exited up exited '\n\
             e start up >/dev/null; test \"$(e inspect -f '{{.State.Status}}' up)\" = running\n\
             kill -9 $(e inspect -f '{{.State.SupervisorPid}}' up)\n\
             test \"$(e wait up)\" = 137; test \"$(e inspect -f '{{.State.Status}}' up)\" = exited\n\
             e start --attach down >/dev/null\n\
             e rm -f up >/dev/null; e rm down >/dev/null; test -z \"$(e ps -aq)\"\n\
             test -z \"$(ls store/containers/names)$(ls store/pins)\"\n\
             e prune -f >/dev/null; rm ballast\n\
             test -z \"$(ls -A store/containers | grep -E '[0-9a-f]{64}')\"\n\
             test \"$(e run --rm --network none busybox echo again)\" = again\n",
        );
    }
}
