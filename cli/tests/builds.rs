//! The record of builds: `estiba builds`, `estiba logs`, `--report`, and what a failed step leaves.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::runner::Env;

/// The builds of a store, the newest first.
fn builds(env: &Env) -> Vec<Value> {
    env.ok(&["builds", "-n", "0", "--format", "json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_build_is_in_the_history() {
    let Some(env) = Env::with_busybox() else { return };
    assert_eq!(builds(&env).len(), 0);
    assert_eq!(env.build("FROM busybox\nRUN echo hello\n", &["-t", "app"]).code, 0);
    assert_eq!(env.build("FROM busybox\nRUN echo hello\n", &["-t", "app"]).code, 0);
    assert_eq!(env.build("FROM busybox\nRUN echo no; exit 3\n", &[]).code, 1);
    let all = builds(&env);
    let outcomes: Vec<_> = all.iter().map(|build| build["Outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["failed", "cached", "built"]);
    assert!(all[0]["Failed"].as_str().unwrap().ends_with("exit code 3"), "{all:#?}");
    assert_eq!(all[1]["Cached"], "1/1");
    assert_eq!(all[2]["Name"], "app:latest");
    assert_eq!(env.ok(&["logs", "latest"]), "#2 [2/2] RUN echo no; exit 3\nno\n");
    let built = all[2]["ID"].as_str().unwrap();
    assert_eq!(env.ok(&["logs", built, "RUN echo"]), "hello\n");
    assert!(env.fails(1, &["logs", built, "RUN ecko hello"]).contains("no step"));
    assert!(env.fails(1, &["logs", all[1]["ID"].as_str().unwrap()]).contains("it ran no step"));
    let shown = env.ok(&["builds", "inspect", built]);
    assert!(shown.contains("outcome  built") && shown.contains("ran "), "{shown}");
    let whole: Value = serde_json::from_str(&env.ok(&["builds", "inspect", built, "-f", "json"])).unwrap();
    let run = whole["vertices"].as_array().unwrap().iter().find(|vertex| vertex["kind"] == "run").unwrap();
    assert_eq!(run["state"], "ran");
    assert!(run["took"].as_u64().is_some());
    env.ok(&["builds", "rm", built]);
    assert_eq!(builds(&env).len(), 2);
    assert!(!env.root().join("logs").join(built).exists());
    env.ok(&["builds", "rm", "--all"]);
    assert_eq!(builds(&env).len(), 0);
}

#[test]
fn a_cached_build_appends_one_line_and_nothing_else() {
    let Some(env) = Env::with_busybox() else { return };
    let text = "FROM busybox\nRUN echo hello\n";
    assert_eq!(env.build(text, &[]).code, 0);
    let folders = || fs::read_dir(env.root().join("logs")).unwrap().count();
    let (before, history) = (folders(), env.root().join("logs/history.jsonl"));
    let lines = || fs::read_to_string(&history).unwrap().lines().count();
    let had = lines();
    assert_eq!(env.build(text, &[]).code, 0);
    assert_eq!((folders(), lines()), (before, had + 1));
}

#[test]
fn a_logfile_takes_the_progress() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.build("FROM busybox\nRUN echo hello\n", &["--logfile", "log"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:#?}");
    let log = fs::read_to_string(env.work().join("log")).unwrap();
    assert!(log.contains("#2 [2/2] RUN echo hello\n#2 hello\n#2 [2/2] RUN echo hello: DONE\n"), "{log}");
}

#[test]
fn logs_follow_a_build_that_runs() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nRUN echo first; while [ ! -e /cache/go ]; do sleep 0.05; done; echo last\n");
    let text = "FROM busybox\nRUN echo first; sleep 2; echo last\n";
    env.write("Dockerfile", text);
    let mut building = env.command(&["build", "-q", "."]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !builds(&env).iter().any(|build| build["Outcome"] == "running") {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(env.fails(1, &["builds", "rm", "latest"]).contains("at work"));
    assert_eq!(env.ok(&["logs", "-f", "latest", "RUN"]), "first\nlast\n");
    assert!(building.wait().unwrap().success());
    assert_eq!(builds(&env)[0]["Outcome"], "built");
}

#[test]
fn a_killed_build_is_lost() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nRUN sleep 30\n");
    let mut building = env.command(&["build", "-q", "."]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !builds(&env).iter().any(|build| build["Outcome"] == "running") {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(50));
    }
    building.kill().unwrap();
    building.wait().unwrap();
    let begun = Instant::now();
    while builds(&env)[0]["Outcome"] != "lost" {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:#?}", builds(&env));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_failed_steps_files_are_kept() {
    let Some(env) = Env::with_busybox() else { return };
    let said = env.build("FROM busybox\nENV A=b\nWORKDIR /w\nRUN echo kept > /w/file; exit 7\n", &[]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("estiba builds shell "), "{said:#?}");
    let first = builds(&env)[0]["ID"].as_str().unwrap().to_owned();
    let said = env.run_with(&["builds", "shell"], b"pwd; cat file; echo $A; echo changed > file; exit 5\n");
    assert_eq!((said.code, said.stdout.as_str()), (5, "/w\nkept\nb\n"), "{said:#?}");
    // What a shell changes goes with it.
    let said = env.run_with(&["builds", "shell", &first], b"cat file; which vi\n");
    assert!(said.stdout.starts_with("kept\n"), "{said:#?}");
    // A prune of what is old leaves it; one of everything takes it.
    env.ok(&["prune", "-f"]);
    assert_eq!(env.run_with(&["builds", "shell", &first], b"cat file\n").stdout, "kept\n");
    // The project's next failure takes its place.
    assert_eq!(env.build("FROM busybox\nRUN echo again > /file; exit 1\n", &[]).code, 1);
    assert_eq!(env.run_with(&["builds", "shell"], b"cat /file\n").stdout, "again\n");
    let said = env.run_with(&["builds", "shell", &first], b"");
    assert!(said.code != 0 && said.stderr.contains("a later failure took its place"), "{said:#?}");
    env.ok(&["prune", "-a", "-f"]);
    assert!(env.run_with(&["builds", "shell"], b"").code != 0);
}

#[test]
fn a_shell_opens_on_an_error() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("Dockerfile", "FROM busybox\nRUN echo here > /file; exit 9\n");
    let said = env.run_with(&["build", "--on-error=shell", "."], b"cat /file\nexit 0\n");
    assert_eq!((said.code, said.stdout.as_str()), (1, "here\n"), "{said:#?}");
    assert!(said.stderr.contains("exit code 9") && said.stderr.contains("shell:"), "{said:#?}");
}

#[test]
fn a_shell_opens_in_an_image_that_has_none() {
    let Some(env) = Env::with_busybox() else { return };
    // One static program, under a name that no shell has.
    env.write(
        "Dockerfile",
        "FROM scratch\nCOPY --from=busybox /bin/busybox /tool\nENV PATH=/nowhere\nRUN [\"/tool\", \"false\"]\n",
    );
    let said = env.run_with(&["build", "--on-error=shell", "."], b"ls /\n");
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("tool"), "{said:#?}");
    assert!(said.stderr.contains("the image has no shell"), "{said:#?}");
}

#[test]
fn the_report_is_one_page() {
    let Some(env) = Env::with_busybox() else { return };
    let text = "FROM busybox\nRUN echo '</script><b>'\nRUN exit 4\n";
    assert_eq!(env.build(text, &["--report", "out.html"]).code, 1);
    let page = fs::read_to_string(env.work().join("out.html")).unwrap();
    assert!(page.starts_with("<!doctype html>"));
    assert_eq!(page.matches("</script>").count(), 2, "what a step says must not end the script");
    assert!(!page.contains("src=") && !page.contains("href="), "it is self-contained");
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["build"]["outcome"], "failed");
    let states: Vec<_> = data["vertices"].as_array().unwrap().iter().map(|vertex| vertex["state"].clone()).collect();
    assert_eq!(states, ["cached", "ran", "failed"]);
    assert_eq!(data["vertices"][1]["log"], "</script><b>\n");
    assert_eq!(data["vertices"][1]["why"], "first build of this step");
    // The reasons were for the page alone.
    let fixed = "FROM busybox\nRUN echo '</script><b>'\n";
    let said = env.build(fixed, &["--report", "out.html"]);
    assert!(said.code == 0 && !said.stderr.contains("why:"), "{said:#?}");
    assert_eq!(env.build(fixed, &["--report", "out.html"]).code, 0);
    let page = fs::read_to_string(env.work().join("out.html")).unwrap();
    assert!(page.contains("\"outcome\":\"cached\""));
    assert_eq!(env.ok(&["builds", "report", "latest"]).matches("<!doctype html>").count(), 1);
}
