//! `estiba lint`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::runner::Env;

#[test]
fn findings_in_words_and_their_exit_code() {
    let env = Env::new();
    env.write("Dockerfile", "FROM debian as base\nRUN apt-get update\n");
    env.write("sub/app.Dockerfile", "FROM debian:12\n");
    env.write("node_modules/x/Dockerfile", "FROM debian\n");
    let said = env.run(&["lint"]);
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("Dockerfile:1:13: warning:"), "{said:#?}");
    for rule in ["FromAsCasing", "UnpinnedBase", "AptListsLeft", "AptUpdateAlone"] {
        assert!(said.stdout.contains(&format!("({rule})")), "{rule}: {said:#?}");
    }
    assert!(said.stderr.contains("4 findings in 1 file"), "{said:#?}");
    assert!(said.stderr.contains("--fix` mends 1 of them"));
    let said = env.run(&["lint", "sub"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    let skipped = ["lint", "--skip", "UnpinnedBase,FromAsCasing,AptListsLeft,aptupdatealone", "Dockerfile"];
    assert_eq!(env.run(&skipped).code, 0);
    assert!(env.fails(125, &["lint", "--skip", "UnpinedBase"]).contains("did you mean `UnpinnedBase`?"));
    assert!(env.fails(1, &["lint", "nothing"]).contains("nothing"));
    // It needs no store.
    assert!(!env.root().exists());
}

#[test]
fn fixes_touch_nothing_else() {
    let env = Env::new();
    let before =
        b"\xef\xbb\xbf# check=skip=UnpinnedBase\r\nFROM debian as Base\r\n# caf\xe9\r\nENV A b c\r\nRUN x \\\r\n\r\n y"
            .to_vec();
    let path = env.write("Dockerfile", &before);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let said = env.run(&["lint", "--fix"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.stderr.contains("4 places mended"), "{said:#?}");
    let after =
        b"\xef\xbb\xbf# check=skip=UnpinnedBase\r\nFROM debian AS base\r\n# caf\xe9\r\nENV A=\"b c\"\r\nRUN x \\\r\n y"
            .to_vec();
    assert_eq!(fs::read(&path).unwrap(), after);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    // A second time there is nothing to do, and the file is not written.
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    env.ok(&["lint", "--fix"]);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
}

#[test]
fn json_and_sarif() {
    let env = Env::new();
    env.write("a b.Dockerfile", "FROM debian as x\nCPY a b\n");
    let said = env.run(&["lint", "--format", "json"]);
    let all: Value = serde_json::from_str(&said.stdout).unwrap();
    let findings = all["files"][0]["findings"].as_array().unwrap();
    let error = findings.iter().find(|one| one["severity"] == "error").unwrap();
    assert_eq!((error["rule"].as_str(), error["line"].as_u64()), (Some("UnknownInstruction"), Some(2)));
    let said = env.run(&["lint", "--format", "sarif"]);
    assert_eq!(said.code, 1);
    let log: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "a%20b.Dockerfile");
    let cased = results.iter().find(|one| one["ruleId"] == "FromAsCasing").unwrap();
    assert_eq!(rules[cased["ruleIndex"].as_u64().unwrap() as usize]["id"], "FromAsCasing");
    let replacement = &cased["fixes"][0]["artifactChanges"][0]["replacements"][0];
    assert_eq!(replacement["insertedContent"]["text"], "AS");
    assert_eq!(replacement["deletedRegion"]["startColumn"], 13);
}

#[test]
fn pages_of_why() {
    let env = Env::new();
    let page = env.ok(&["lint", "--explain", "aptlistsleft"]);
    assert!(page.starts_with("# AptListsLeft\n") && page.contains("## Why"), "{page}");
    let list = env.ok(&["lint", "--explain"]);
    assert!(list.lines().count() >= 36 && list.contains("CopyIgnoredFile"), "{list}");
    assert!(env.fails(125, &["lint", "--explain", "AptListLeft"]).contains("did you mean `AptListsLeft`?"));
}

#[test]
fn standard_input() {
    let env = Env::new();
    let said = env.run_with(&["lint", "-"], b"FROM debian:12\nCMD x\n");
    assert_eq!(said.code, 1);
    assert!(said.stdout.starts_with("Dockerfile:2:1: warning:"), "{said:#?}");
    assert_eq!(env.run_with(&["lint", "-"], b"FROM a\0").code, 1);
}
