//! `estiba build`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use crate::runner::Env;

#[test]
fn files_and_commands_become_an_image() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("hello", "hello\n");
    let said = env.build(
        "FROM busybox\nCOPY hello /hello\nRUN cat /hello > /copy && echo ran\nCMD [\"cat\", \"/copy\"]\n",
        &["-t", "app"],
    );
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.stderr.contains("ran"), "{said:#?}");
    assert_eq!(env.ok(&["run", "--rm", "app"]), "hello\n");
}

#[test]
fn nothing_changed_means_nothing_done() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("a", "a");
    let dockerfile = "FROM busybox\nCOPY a /a\nRUN echo once\n";
    assert_eq!(env.build(dockerfile, &["-t", "app", "--iidfile", "id"]).code, 0);
    let first = fs::read_to_string(env.work().join("id")).unwrap();
    let again = env.build(dockerfile, &["-t", "app", "--iidfile", "id"]);
    assert_eq!(again.code, 0, "{again:#?}");
    assert!(again.stderr.contains("CACHED [3/3] RUN echo once\n") && !again.stderr.contains("DONE"), "{again:#?}");
    assert_eq!(fs::read_to_string(env.work().join("id")).unwrap(), first);
}

#[test]
fn quiet_prints_the_id() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nENV A=1\n");
    let id = env.ok(&["build", "-q", "--metadata-file", "meta.json", "-t", "a:1", "-t", "a:2", "."]);
    assert!(id.starts_with("sha256:") && id.trim().len() == 71, "{id}");
    let meta: serde_json::Value = serde_json::from_slice(&fs::read(env.work().join("meta.json")).unwrap()).unwrap();
    assert_eq!(meta["containerimage.config.digest"], id.trim());
    assert_eq!(meta["image.name"], "docker.io/library/a:1,docker.io/library/a:2");
    assert_eq!(env.ok(&["run", "--rm", id.trim(), "sh", "-c", "echo $A"]), "1\n");
}

#[test]
fn a_failing_step_shows_its_place() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.build("FROM busybox\nRUN echo before && exit 7\n", &[]);
    assert_eq!(said.code, 1, "{said:#?}");
    for part in ["before", "Dockerfile:2", ">>> RUN echo before", "exit code 7"] {
        assert!(said.stderr.contains(part), "{part} is not in {said:#?}");
    }
}

#[test]
fn mistakes_have_a_place_and_a_next_step() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.build("FROM busybox\nCPY a b\n", &[]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("Dockerfile:2:1") && said.stderr.contains("did you mean `COPY`?"), "{said:#?}");
    let said = env.build("FROM busybax\n", &[]);
    assert!(
        said.stderr.contains("Dockerfile:1:6")
            && said.stderr.contains("did you mean `busybox`?")
            && said.stderr.contains("docker.io/library/busybax"),
        "{said:#?}"
    );
    env.write("main.c", "");
    let said = env.build("FROM busybox\nCOPY man.c /\n", &[]);
    for part in [">>> COPY man.c /", "did you mean \"main.c\"?"] {
        assert!(said.code == 1 && said.stderr.contains(part), "{part} is not in {said:#?}");
    }
    let said = env.build("FROM busybox\nUSER nobody-here\nRUN true\n", &[]);
    assert!(said.stderr.trim_end().ends_with("no such entry in the image's /etc/passwd"), "{said:#?}");
    env.write("Dockerfile.dev", "FROM busybox\n");
    let error = env.fails(1, &["build", "-f", "Dockerfile.dve", "."]);
    assert!(error.contains("did you mean -f ./Dockerfile.dev"), "{error}");
    assert!(env.fails(1, &["build", "nowhere"]).contains("nowhere"));
}

#[test]
fn standard_input_is_a_dockerfile() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.run_with(&["build", "-q", "-"], b"FROM busybox\nLABEL a=b\n");
    assert_eq!(said.code, 0, "{said:#?}");
    env.write("x", "x");
    let said = env.run_with(&["build", "-q", "-f", "-", "."], b"FROM busybox\nCOPY x /x\n");
    assert_eq!(said.code, 0, "{said:#?}");
    let said = env.run_with(&["build", "-"], &[0x1f, 0x8b, 8, 0]);
    assert!(said.code == 1 && said.stderr.contains("the context on standard input"), "{said:#?}");
}

#[test]
fn the_graph_can_be_printed() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox AS a\nRUN x\nFROM scratch\nCOPY --from=a /x /\n");
    assert!(env.ok(&["build", "--print=graph", "."]).contains("exec"));
    assert!(env.ok(&["build", "--print=graph=dot", "."]).starts_with("digraph build {"));
    let json: serde_json::Value = serde_json::from_str(&env.ok(&["build", "--print=graph=json", "."])).unwrap();
    assert!(json["vertices"].as_array().unwrap().len() >= 3);
    assert_eq!(env.ok(&["images", "-q", "--filter", "dangling=true"]), "", "nothing was built");
}

#[test]
fn arguments_labels_and_targets() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox AS one\nARG V=none\nENV V=$V\nFROM one AS two\nENV V=two\n");
    env.write("missing", "");
    let mut command =
        env.command(&["build", "-q", "--target", "one", "--build-arg", "V", "--label", "l=1", "-t", "one", "."]);
    let output = command.env("V", "from-env").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let inspected = env.ok(&["inspect", "-f", "{{json .Config.Env}} {{.Config.Labels.l}}", "one"]);
    assert!(inspected.contains("V=from-env") && inspected.ends_with(" 1\n"), "{inspected}");
    let said = env.build("FROM busybox\n", &["--target", "tow"]);
    assert_eq!(said.code, 1, "{said:#?}");
}

#[test]
fn outputs() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("a", "content");
    env.write("Dockerfile", "FROM scratch\nCOPY a /dir/a\n");
    env.ok(&["build", "-o", "out", "."]);
    assert_eq!(fs::read_to_string(env.work().join("out/dir/a")).unwrap(), "content");
    env.ok(&["build", "-o", "type=oci,dest=image.tar", "-t", "x", "."]);
    assert_eq!(env.ok(&["load", "-i", "image.tar"]), "Loaded image: x:latest\n");
    let said = env.run(&["build", "-o", "type=tar,dest=-", "."]);
    assert!(said.code == 0 && said.stdout.contains("dir/a"), "{said:#?}");
    assert!(env.fails(125, &["build", "-o", "type=registry", "."]).contains("no name to push to"));
}

#[test]
fn copies_between_stages_keep_owners_and_hard_links() {
    let Some(env) = Env::with_busybox() else { return };
    env.write(
        "Dockerfile",
        "FROM busybox AS made\nRUN mkdir /d && echo x > /d/a && ln /d/a /d/b && chown -R 33:33 /d\n\
         FROM scratch\nCOPY --from=made /d /d\nCOPY --from=made --chown=0 /d/a /c\n",
    );
    env.ok(&["build", "-o", "type=tar,dest=out.tar", "."]);
    let tar =
        std::process::Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(env.work().join("out.tar")).output();
    let listing = String::from_utf8(tar.unwrap().stdout).unwrap();
    let line = |name: &str| listing.lines().find(|line| line.contains(name)).unwrap_or_default();
    assert!(line(" d/a").contains(" 33/33 "), "{listing}");
    assert!(line(" d/b").ends_with(" link to d/a"), "{listing}");
    assert!(line(" c").contains(" 0/0 "), "{listing}");
}

#[test]
fn the_same_inputs_give_the_same_digest() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("a", "a");
    let dockerfile = "FROM busybox\nCOPY a /a\nRUN echo x > /x\n";
    env.write("Dockerfile", dockerfile);
    let first = env.ok(&["build", "-q", "--reproducible", "--no-cache", "."]);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(env.ok(&["build", "-q", "--reproducible", "--no-cache", "."]), first);
}

#[test]
fn control_c_ends_it_with_130() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nRUN echo started && sleep 60\n");
    let mut child =
        env.command(&["build", "--progress=plain", "."]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // The second one is of the step: the first has it in its command.
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.ends_with(" started")), "it does not start");
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let started = Instant::now();
    let status = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(130), "{:?}", rest.join());
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn raw_json_is_one_event_a_line() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nRUN echo x\n");
    let said = env.run(&["build", "--progress=rawjson", "."]);
    assert_eq!(said.code, 0, "{said:#?}");
    let events: Vec<serde_json::Value> = said.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.first().unwrap()["event"], "plan");
    assert!(events.iter().any(|event| event["event"] == "log" && event["text"] == "x\n"), "{events:#?}");
}

#[test]
fn a_miss_is_explained() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("src/a.txt", "one");
    let dockerfile = "FROM busybox\nARG REV=1\nCOPY src /src\nRUN echo $REV\n";
    assert_eq!(env.build(dockerfile, &[]).code, 0);
    env.write("src/a.txt", "two");
    let said = env.build(dockerfile, &["--explain"]);
    assert!(said.stderr.contains("src/a.txt") || said.stderr.contains("a.txt"), "{said:#?}");
    let said = env.build(dockerfile, &["--explain", "--build-arg", "REV=2"]);
    assert!(said.stderr.contains("REV"), "{said:#?}");
}

#[test]
fn an_epoch_of_the_environment_is_no_stray_argument() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nENV A=1\n");
    let output = env
        .command(&["build", "--progress=plain", "-t", "app", "."])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !stderr.contains("warning"), "{stderr}");
    assert_eq!(env.ok(&["inspect", "-f", "{{.Created}}", "app"]), "2023-11-14T22:13:20Z\n");
}
