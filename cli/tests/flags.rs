//! Every option of docker's, buildx's and Buildah's builders: taken, or refused with words.
//!
//! The table names for each option the test that shows its effect, and a check sees to it that this test exists.

use std::fs;
use std::path::Path;

use crate::registry::serve::Server;
use crate::runner::Env;

/// What becomes of an option.
enum Kind {
    /// It does what it does there; the test of that name shows it.
    Effect(&'static str),
    /// What it asks for happens anyway.
    Anyway,
    /// It is refused.
    Refused,
}

use Kind::{Anyway, Effect, Refused};

/// Options of `docker build`, `docker buildx build` and `buildah bud`, with a value that they take.
const FLAGS: &[(&str, &str, Kind)] = &[
    ("--add-host", "h:1.2.3.4", Effect("names_are_what_was_asked_for")),
    ("--all-platforms", "", Effect("several_platforms_make_an_index")),
    ("--allow", "network.host", Effect("nobody_is_privileged_without_being_told")),
    ("--annotation", "a=b", Effect("annotations_stand_where_they_are_put")),
    ("--arch", "amd64", Effect("platforms_are_read_as_docker_reads_them")),
    ("--attest", "type=sbom", Effect("what_is_attached_is_said_of_the_image")),
    ("--authfile", "auth.json", Effect("credentials_may_come_with_the_call")),
    ("--build-arg", "A=b", Effect("arguments_labels_and_targets")),
    ("--build-context", "x=.", Effect("named_contexts_come_from_everywhere")),
    ("--builder", "default", Anyway),
    (
        "--cache-from",
        "type=registry,ref=localhost:1/a",
        Effect("a_cache_in_a_registry_gives_the_same_image_and_no_layer"),
    ),
    (
        "--cache-to",
        "type=registry,ref=localhost:1/a",
        Effect("a_cache_in_a_registry_gives_the_same_image_and_no_layer"),
    ),
    ("--cache-ttl", "1h", Effect("old_results_are_not_taken")),
    ("--call", "targets", Effect("targets")),
    ("--cap-add", "SYS_PTRACE", Effect("rights_are_given_by_name_only")),
    ("--cap-drop", "CHOWN", Effect("rights_are_given_by_name_only")),
    ("--cert-dir", ".", Effect("a_registry_that_wants_a_client_certificate")),
    ("--cgroup-parent", "x", Effect("memory_and_processors_are_limited_where_the_machine_lets_us")),
    ("--check", "", Effect("a_clean_file")),
    ("--compress", "", Anyway),
    ("--cpp-flag", "-DX", Refused),
    ("--cpu-period", "100000", Effect("memory_and_processors_are_limited_where_the_machine_lets_us")),
    ("--cpu-quota", "50000", Effect("memory_and_processors_are_limited_where_the_machine_lets_us")),
    ("--cpu-shares", "512", Effect("memory_and_processors_are_limited_where_the_machine_lets_us")),
    ("--cpuset-cpus", "0", Effect("memory_and_processors_are_limited_where_the_machine_lets_us")),
    ("--cpuset-mems", "0", Effect("memory_and_processors_are_limited_where_the_machine_lets_us")),
    ("--creds", "a:b", Effect("credentials_may_come_with_the_call")),
    ("--cw", "x", Refused),
    ("--debug", "", Anyway),
    ("--decryption-key", "x", Refused),
    ("--device", "/dev/null", Effect("folders_devices_and_proxies_of_this_machine")),
    ("--disable-compression", "", Effect("layers_go_out_as_they_are")),
    ("--disable-content-trust", "", Anyway),
    ("--dns", "1.2.3.4", Effect("names_are_what_was_asked_for")),
    ("--dns-option", "ndots:1", Effect("names_are_what_was_asked_for")),
    ("--dns-search", "a.b", Effect("names_are_what_was_asked_for")),
    ("--env", "A=b", Effect("another_base_and_more_variables")),
    ("--file", "Dockerfile", Effect("files_and_commands_become_an_image")),
    ("--force-rm", "", Anyway),
    ("--format", "oci", Effect("the_config_is_as_asked")),
    ("--from", "busybox", Effect("another_base_and_more_variables")),
    ("--group-add", "7", Effect("rights_are_given_by_name_only")),
    ("--hooks-dir", "x", Refused),
    ("--http-proxy", "", Effect("folders_devices_and_proxies_of_this_machine")),
    ("--identity-label", "", Effect("the_config_is_as_asked")),
    ("--ignorefile", "x", Effect("another_ignore_file")),
    ("--iidfile", "id", Effect("files_and_commands_become_an_image")),
    ("--invoke", "sh", Refused),
    ("--jobs", "2", Anyway),
    ("--label", "a=b", Effect("arguments_labels_and_targets")),
    ("--load", "", Anyway),
    ("--manifest", "list", Effect("the_config_is_as_asked")),
    ("--memory", "1g", Effect("memory_and_processors_are_limited_where_the_machine_lets_us")),
    ("--memory-swap", "2g", Effect("memory_and_processors_are_limited_where_the_machine_lets_us")),
    ("--metadata-file", "m", Effect("files_and_commands_become_an_image")),
    ("--network", "none", Effect("names_are_what_was_asked_for")),
    ("--no-cache", "", Effect("nothing_changed_means_nothing_done")),
    ("--no-cache-filter", "x", Effect("nothing_changed_means_nothing_done")),
    ("--no-hostname", "", Effect("names_are_what_was_asked_for")),
    ("--no-hosts", "", Effect("names_are_what_was_asked_for")),
    ("--omit-history", "", Effect("the_config_is_as_asked")),
    ("--os", "linux", Effect("platforms_are_read_as_docker_reads_them")),
    ("--os-feature", "x", Refused),
    ("--os-version", "x", Refused),
    ("--output", "type=cacheonly", Effect("outputs")),
    ("--platform", "linux/amd64", Effect("several_platforms_make_an_index")),
    ("--policy", "x", Refused),
    ("--progress", "plain", Effect("raw_json_is_one_event_a_line")),
    ("--provenance", "", Effect("what_is_attached_is_said_of_the_image")),
    ("--pull", "", Effect("a_policy_for_builds")),
    ("--pull-always", "", Effect("another_base_and_more_variables")),
    ("--pull-never", "", Effect("another_base_and_more_variables")),
    ("--push", "", Effect("a_build_pushes_what_it_made")),
    ("--quiet", "", Effect("quiet_prints_the_id")),
    ("--retry", "1", Effect("busy_registries_are_waited_for")),
    ("--rewrite-timestamp", "", Effect("the_same_inputs_give_the_same_digest")),
    ("--rm", "", Anyway),
    ("--runtime", "x", Refused),
    ("--runtime-flag", "x", Refused),
    ("--sbom", "", Effect("what_is_attached_is_said_of_the_image")),
    ("--secret", "id=x,env=PATH", Effect("a_secret_reaches_its_run_and_nothing_else")),
    ("--security-opt", "no-new-privileges", Effect("rights_are_given_by_name_only")),
    ("--shm-size", "1m", Effect("limits_hold")),
    ("--sign-by", "x", Refused),
    ("--skip-unused-stages", "", Anyway),
    ("--source-date-epoch", "0", Effect("the_same_inputs_give_the_same_digest")),
    ("--squash", "", Effect("layers_are_squashed")),
    ("--ssh", "", Effect("openssh_inside_signs_with_a_key_outside")),
    ("--stdin", "", Effect("folders_devices_and_proxies_of_this_machine")),
    ("--tag", "x", Effect("files_and_commands_become_an_image")),
    ("--target", "x", Effect("arguments_labels_and_targets")),
    ("--timestamp", "0", Effect("the_same_inputs_give_the_same_digest")),
    ("--tls-verify", "", Effect("why_a_certificate_is_not_believed")),
    ("--ulimit", "nofile=10", Effect("limits_hold")),
    ("--unsetenv", "PATH", Effect("the_config_is_as_asked")),
    ("--unsetlabel", "x", Effect("the_config_is_as_asked")),
    ("--userns-uid-map", "0:0:1", Refused),
    ("--variant", "v8", Effect("platforms_are_read_as_docker_reads_them")),
    ("--volume", "/tmp:/x", Effect("folders_devices_and_proxies_of_this_machine")),
];

#[test]
fn every_option_is_taken_or_refused() {
    let env = Env::new();
    env.write("Dockerfile", "FROM scratch AS x\nARG A\nLABEL a=b\n");
    let mut wrong = Vec::new();
    for (flag, value, kind) in FLAGS {
        let written = if value.is_empty() { (*flag).to_owned() } else { format!("{flag}={value}") };
        let said = env.run(&["build", &written, "--no-such-option", "."]);
        let other = said.stderr.contains("--no-such-option");
        let well = match kind {
            Effect(_) | Anyway => other,
            Refused => said.code == 125 && said.stderr.contains("is refused") && said.stderr.contains("hint:"),
        };
        if !well {
            wrong.push(format!("{written}: {}", said.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tests_that_show_effects_are_there() {
    fn texts(dir: &Path, out: &mut String) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                texts(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                out.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut all = String::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for tests in ["tests", "../crates/remote/tests"] {
        texts(&here.join(tests), &mut all);
    }
    let missing: Vec<_> = FLAGS
        .iter()
        .filter_map(|(flag, _, kind)| match kind {
            Effect(test) => (!all.contains(&format!("fn {test}()"))).then(|| format!("{flag}: {test}")),
            Anyway | Refused => None,
        })
        .collect();
    assert!(missing.is_empty(), "no test shows {}", missing.join(", "));
}

#[test]
fn another_base_and_more_variables() {
    let Some(env) = Env::with_busybox() else { return fixtures::skip("another base: there is no busybox") };
    env.write("Dockerfile", "FROM not-here AS one\nENV A=1 B=2\nFROM one\nCMD [\"true\"]\n");
    env.ok(&["build", "--pull-never", "--from", "busybox", "--env", "B=3", "--env", "C=4", "-t", "x", "."]);
    let said = env.ok(&["inspect", "--format", "{{json .Config.Env}}", "x"]);
    for entry in ["\"A=1\"", "\"B=3\"", "\"C=4\""] {
        assert!(said.contains(entry), "{said}");
    }
    assert!(env.fails(1, &["build", "--pull-never", "."]).contains("not-here"));
    // The registry is asked, though the store has the image: the one of this test is blocked.
    assert!(env.fails(1, &["build", "--pull-always", "--from", "busybox", "."]).contains("busybox"));
}

#[test]
fn another_ignore_file() {
    let env = Env::new();
    env.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    env.write(".dockerignore", "kept\n");
    env.write("others", "left-out\n");
    env.write("kept", "1");
    env.write("left-out", "2");
    env.ok(&["build", "--ignorefile", "others", "-o", "out", "."]);
    assert!(env.work().join("out/kept").exists() && !env.work().join("out/left-out").exists());
}

#[test]
fn layers_go_out_as_they_are() {
    let Some(env) = Env::with_busybox() else { return fixtures::skip("layers as they are: there is no busybox") };
    let server = Server::start(&env, &[]);
    let forms = |tag: &str, flags: &[&str]| {
        let name = format!("{}/form:{tag}", server.address);
        let said = env.build("FROM busybox\nRUN echo 1 >/f\n", &[&["-t", &name, "--push"], flags].concat());
        assert_eq!(said.code, 0, "{said:#?}");
        env.ok(&["manifest", "inspect", &name])
    };
    assert!(forms("packed", &[]).contains("tar+gzip"));
    assert!(!forms("plain", &["--disable-compression"]).contains("tar+gzip"));
}
