//! The command line itself: verbs, mistakes, help.

use crate::runner::Env;

#[test]
fn a_mistyped_verb_is_guessed() {
    let env = Env::new();
    let error = env.fails(125, &["buidl", "."]);
    assert_eq!(error, "error: `buidl` is not a verb of estiba\n hint: did you mean `estiba build`?\n");
}

#[test]
fn what_comes_later_says_so() {
    let env = Env::new();
    assert!(env.fails(125, &["search", "alpine"]).contains("`search` comes in a later version of estiba"));
    for (arguments, option) in
        [(&["run", "--secret", "id=x", "x"][..], "`--secret`"), (&["run", "--rm", "--secret=id=x", "x"], "`--secret`")]
    {
        let error = env.fails(125, arguments);
        assert!(error.contains(option) && error.contains("later version") && !error.contains("image"), "{error}");
    }
}

#[test]
fn an_unknown_option_is_named() {
    let env = Env::new();
    let error = env.fails(125, &["build", "--targt", "x", "."]);
    assert!(error.contains("--targt") && error.contains("--target"), "{error}");
    let error = env.fails(125, &["run", "--entrypiont", "sh", "x"]);
    assert_eq!(error, "error: `estiba run` has no option `--entrypiont`\n hint: did you mean `--entrypoint`?\n");
}

#[test]
fn help_reads_well_everywhere() {
    let env = Env::new();
    let help = env.ok(&["--help"]);
    for verb in ["build", "run", "images", "doctor"] {
        assert!(help.contains(verb), "{help}");
        let help = env.ok(&[verb, "--help"]);
        assert!(help.contains("Examples:") && !help.starts_with("Arguments"), "{help}");
    }
    // -h is the host name of `run`, as in docker.
    assert!(env.fails(125, &["run", "-h"]).contains("hostname"));
}

#[test]
fn nothing_is_made_by_looking() {
    let env = Env::new();
    assert_eq!(env.ok(&["images", "-q"]), "");
    env.fails(1, &["inspect", "nothing"]);
    assert!(!env.root().exists());
}

#[test]
fn colours_are_for_terminals() {
    let env = Env::new();
    assert!(!env.fails(125, &["buidl"]).contains('\x1b'));
    let forced = env.command(&["buidl"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(String::from_utf8_lossy(&forced.stderr).contains('\x1b'));
    let refused = env.command(&["buidl"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().unwrap();
    assert!(!String::from_utf8_lossy(&refused.stderr).contains('\x1b'));
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let env = Env::new();
    let said = env.command(&["completions", "bash"]).stdout(std::process::Stdio::piped()).spawn().map(|mut child| {
        drop(child.stdout.take());
        child.wait_with_output().unwrap()
    });
    let said = said.unwrap();
    assert!(!String::from_utf8_lossy(&said.stderr).contains("panicked"));
    let Some(env) = Env::with_busybox() else { return };
    let said = env.command(&["save", "busybox"]).stdout(std::process::Stdio::piped()).spawn().map(|mut child| {
        drop(child.stdout.take());
        child.wait().unwrap()
    });
    assert_eq!(said.unwrap().code(), Some(141), "nobody reads: no error of ours");
}
