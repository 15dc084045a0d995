//! `estiba build --check` and `--call`: the shapes and exit codes of buildx.

use serde_json::Value;

use crate::runner::Env;

const URL: &str = "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/";

#[test]
fn a_clean_file() {
    let env = Env::new();
    env.write("Dockerfile", "FROM scratch\nCMD [\"x\"]\n");
    assert_eq!(env.ok(&["build", "--check", "."]), "Check complete, no warnings found.\n");
    let all: Value = serde_json::from_str(&env.ok(&["build", "--call=check,format=json", "."])).unwrap();
    assert_eq!(all["warnings"], Value::Array(Vec::new()));
    assert_eq!(all["sources"][0]["filename"], "Dockerfile");
}

#[test]
fn warnings_have_their_form() {
    let env = Env::new();
    env.write("Dockerfile", "FROM scratch\nWORKDIR /app\nCMD npm start\n");
    let said = env.run(&["build", "--check", "."]);
    assert_eq!(said.code, 1);
    let expected = format!(
        "Check complete, 1 warning has been found!\n\nWARNING: JSONArgsRecommended - {URL}\n\
         a shell runs this CMD, and signals do not reach the program (write it as a JSON array)\n\
         Dockerfile:3\n--------------------\n   1 |     FROM scratch\n   2 |     WORKDIR /app\n   3 | >>> CMD npm start\n   4 |     \n--------------------\n"
    );
    assert_eq!(said.stdout, expected);
    let said = env.run(&["build", "--call=check,format=json", "."]);
    assert_eq!(said.code, 1);
    let all: Value = serde_json::from_str(&said.stdout).unwrap();
    let warning = &all["warnings"][0];
    assert_eq!((warning["ruleName"].as_str(), warning["url"].as_str()), (Some("JSONArgsRecommended"), Some(URL)));
    assert_eq!(warning["location"]["ranges"][0]["start"]["line"], 3);
    assert_eq!(env.run(&["build", "--call=check,ignorestatus", "."]).code, 0);
    // Nothing was built, and a build of it works.
    assert_eq!(env.run(&["build", "--call", "lint", "."]).code, 1);
}

#[test]
fn an_ignored_file_is_told_before_it_fails() {
    let env = Env::new();
    env.write("Dockerfile", "FROM scratch\nCOPY README.md src /doc/\nCOPY --from=other README.md /\n");
    env.write("README.md", "x");
    env.write("src/a", "x");
    env.write("other/README.md", "x");
    env.write(".dockerignore", "# docs\n*.md\n");
    let said = env.run(&["build", "--check", "--build-context", "other=other", "."]);
    assert_eq!(said.code, 1);
    assert_eq!(said.stdout.matches("WARNING: CopyIgnoredFile").count(), 1, "{said:#?}");
    assert!(said.stdout.contains("line 2 of the ignore file decides"), "{said:#?}");
    let said = env.run(&["build", "--build-context", "other=other", "."]);
    assert!(said.stderr.contains("(CopyIgnoredFile)"), "{said:#?}");
}

#[test]
fn directives_and_their_argument() {
    let env = Env::new();
    env.write("Dockerfile", "# check=skip=JSONArgsRecommended\nFROM scratch\nCMD x\n");
    env.ok(&["build", "--check", "."]);
    env.write("Dockerfile", "# check=error=true\nFROM scratch\nCMD x\n");
    let said = env.run(&["build", "--check", "."]);
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("WARNING: JSONArgsRecommended"), "{said:#?}");
    assert_eq!(env.run(&["build", "."]).code, 1);
    env.ok(&["build", "--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", "."]);
    env.ok(&["build", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", "."]);
}

#[test]
fn an_error_is_told_after_the_warnings() {
    let env = Env::new();
    env.write("Dockerfile", "FROM scratch as a\nCPY x y\n");
    let said = env.run(&["build", "--check", "."]);
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("WARNING: FromAsCasing"), "{said:#?}");
    assert!(said.stderr.contains("unknown instruction `CPY`") && said.stderr.contains(" 2 | >>> CPY x y"), "{said:#?}");
    let said = env.run(&["build", "--call=check,format=json", "."]);
    let all: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(all["buildError"]["message"], "unknown instruction `CPY`");
}

const SEVERAL: &str = "\
# VERSION of the tools
ARG VERSION=1.2

# base what the others stand on
FROM scratch AS base
ARG UNUSED=1

# test runs the tests
FROM base AS test
ARG VERSION
ARG MODE=fast
RUN --mount=type=secret,id=npm,required=true --mount=type=cache,target=/root/.npm --mount=type=ssh x

FROM scratch
COPY --from=base / /
";

#[test]
fn targets() {
    let env = Env::new();
    env.write("Dockerfile", SEVERAL);
    let table = env.ok(&["build", "--call=targets", "."]);
    assert_eq!(
        table,
        "TARGET    DESCRIPTION\nbase      what the others stand on\ntest      runs the tests\n(default) \n"
    );
    let all: Value = serde_json::from_str(&env.ok(&["build", "--call=targets,format=json", "."])).unwrap();
    assert_eq!(all["targets"][1]["name"], "test");
    assert_eq!(all["targets"][1]["base"], "base");
    assert_eq!(all["targets"][2]["default"], true);
}

#[test]
fn outline() {
    let env = Env::new();
    env.write("Dockerfile", SEVERAL);
    let said = env.ok(&["build", "--call=outline", "--target", "test", "--build-arg", "MODE=slow", "."]);
    let lines = [
        "TARGET:      test",
        "DESCRIPTION: runs the tests",
        "",
        "BUILD ARG   VALUE   DESCRIPTION",
        "UNUSED      1       ",
        "VERSION     1.2     ",
        "MODE        slow    ",
        "",
        "SECRET   REQUIRED",
        "npm      true",
        "",
        "SSH       REQUIRED",
        "default   ",
        "",
        "CACHE MOUNT",
        "/root/.npm",
        "",
        "",
    ];
    let expected = lines.join("\n");
    assert_eq!(said, expected);
    let all: Value =
        serde_json::from_str(&env.ok(&["build", "--call=outline,format=json", "--target=test", "."])).unwrap();
    assert_eq!(all["secrets"][0]["required"], true);
    assert_eq!(all["args"][0]["name"], "UNUSED");
}

#[test]
fn an_unknown_method_is_refused() {
    let env = Env::new();
    env.write("Dockerfile", "FROM scratch\n");
    assert!(env.fails(125, &["build", "--call=chek", "."]).contains("expected check, outline or targets"));
    assert!(env.ok(&["build", "--call=subrequests.describe", "."]).starts_with("NAME"));
}
