//! Every check is seen; every page tells the truth; every fix leaves what is built alone.

use super::*;

fn rules(text: &str) -> Vec<&'static str> {
    let source = SourceText::new("Dockerfile", text.as_bytes().to_vec()).unwrap();
    check(&source).iter().map(|finding| finding.rule).collect()
}

/// The block of a page under a heading, as a Dockerfile.
fn example(page: &str, heading: &str) -> String {
    let (_, rest) = page.split_once(&format!("## {heading}\n")).unwrap();
    let block = rest.split("\n## ").next().unwrap();
    let lines: Vec<&str> = block.lines().map(|line| line.strip_prefix("    ").unwrap_or("")).collect();
    let text = lines.join("\n").trim().to_owned() + "\n";
    let is_whole = text.lines().any(|line| line.to_ascii_uppercase().starts_with("FROM "));
    if is_whole { text } else { format!("FROM debian:12 AS base\n\n{text}") }
}

/// Checks that need what is not in the file: a context, an image.
const ELSEWHERE: [&str; 2] = ["CopyIgnoredFile", "InvalidBaseImagePlatform"];

#[test]
fn pages_tell_the_truth() {
    for rule in &TABLE {
        assert!(rule.page.starts_with(&format!("# {}\n", rule.name)), "{}", rule.name);
        let fixed = rule.page.contains("--fix`\n\nYes");
        assert_eq!(fixed, rule.fixable, "{}", rule.name);
        if ELSEWHERE.contains(&rule.name) {
            continue;
        }
        let wrong = example(rule.page, "Instead of");
        assert!(rules(&wrong).contains(&rule.name), "{}: {:?} in\n{wrong}", rule.name, rules(&wrong));
        let right = example(rule.page, "Write");
        assert!(!rules(&right).contains(&rule.name), "{} in\n{right}", rule.name);
    }
}

#[test]
fn names_are_unique_and_have_addresses() {
    let names: std::collections::BTreeSet<&str> = TABLE.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), TABLE.len());
    assert_eq!(TABLE.iter().filter(|rule| rule.set != Set::Estiba).count(), 22);
    let url = |name: &str| find(name).unwrap().url();
    assert_eq!(
        url("jsonargsrecommended").unwrap(),
        "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"
    );
    assert!(url("FromAsCasing").unwrap().ends_with("/from-as-casing/"));
    assert_eq!(url("AptAsks"), None);
}

#[test]
fn checks_of_ours() {
    for (body, expected) in [
        ("RUN apt-get update && apt-get install -y --no-install-recommends a && rm -rf /var/lib/apt/lists/*", &[][..]),
        (
            "RUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install -yq --no-install-recommends a",
            &[],
        ),
        ("RUN --mount=type=cache,target=/var/cache apt-get update", &["AptListsLeft", "AptUpdateAlone"]),
        ("RUN apt-get update && apt-get install a", &["AptAsks", "AptListsLeft", "AptRecommends"]),
        ("RUN <<EOF\napt-get update\napt-get install -y --no-install-recommends a\nEOF", &["AptListsLeft"]),
        ("RUN [\"sh\", \"-c\", \"pip install x\"]", &["PackageCacheLeft"]),
        ("ENV PIP_NO_CACHE_DIR=1\nRUN pip install x", &[]),
        ("RUN apk add --no-cache x", &[]),
        ("RUN dnf install -y x && dnf clean all", &[]),
        ("COPY . .\nRUN make", &[]),
        ("COPY go.mod .\nRUN go mod download\nCOPY . .", &[]),
        ("COPY . /src\nRUN go mod download", &["CopyBeforeInstall"]),
        ("RUN curl -o /tmp/a https://x.org/a\nRUN rm /tmp/a", &["RemovedLater"]),
        ("RUN curl -o /tmp/a https://x.org/a && rm /tmp/a", &[]),
        ("COPY a /app/\nRUN chown -R 1:1 /app", &["OwnerChangedLater"]),
        ("ADD a.tar.gz /", &[]),
        ("ADD a b /x/", &["AddForCopy"]),
        ("ADD https://x.org/y.git /y", &[]),
        ("RUN export A=1", &["LostShellState"]),
        ("RUN cd /x && make", &[]),
        ("RUN set -o pipefail && curl x | tar x", &[]),
        ("RUN wget -O- x | tar x", &["PipeHidesFailure"]),
        ("RUN git clone https://me:$TOKEN@x.org/y", &[]),
    ] {
        assert_eq!(rules(&format!("FROM debian:12\n{body}\n")), expected, "{body}");
    }
    for base in
        ["debian:12", "scratch", "debian@sha256:0000000000000000000000000000000000000000000000000000000000000000"]
    {
        assert!(!rules(&format!("FROM {base}\n")).contains(&"UnpinnedBase"), "{base}");
    }
    assert!(!rules("FROM debian:12 AS a\nFROM a\n").contains(&"UnpinnedBase"));
}

#[test]
fn a_build_leaves_ours_out_unless_asked() {
    let built = |text: &str| {
        let source = SourceText::new("D", text.as_bytes().to_vec()).unwrap();
        crate::parse(&source).diagnostics.iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    assert!(built("FROM debian\nRUN cd /x\n").is_empty());
    assert_eq!(built("# check=experimental=UnpinnedBase\nFROM debian\nRUN cd /x\n"), ["UnpinnedBase"]);
    assert_eq!(built("# check=experimental=all;skip=UnpinnedBase\nFROM debian\nRUN cd /x\n"), ["LostShellState"]);
}

#[test]
fn every_stage_is_looked_at() {
    let found = rules("FROM debian:12 AS unused\nCMD a\n\nFROM scratch\nCOPY $nothing /\n");
    assert_eq!(found, ["JSONArgsRecommended", "UndefinedVar"]);
    // What an image sets is not known.
    assert!(rules("FROM debian:12\nENV A=$JAVA_HOME\n").is_empty());
}

fn fixed(text: &str) -> String {
    String::from_utf8(fix("Dockerfile", text.as_bytes()).0).unwrap()
}

#[test]
fn fixes() {
    for (before, after) in [
        ("FROM a:1 AS Build\n", "FROM a:1 AS build\n"),
        ("FROM a:1 as b\r\nRUN x\r\n", "FROM a:1 AS b\r\nRUN x\r\n"),
        ("from a:1 AS b\nrun x\nRUN y\n", "from a:1 as b\nrun x\nrun y\n"),
        ("FROM a:1\nRUN x \\\n\n  \n y\n\nRUN z\n", "FROM a:1\nRUN x \\\n y\n\nRUN z\n"),
        ("FROM a:1\nENV A b\n", "FROM a:1\nENV A=b\n"),
        ("FROM a:1\nENV A  b c $D \n", "FROM a:1\nENV A=\"b c $D\" \n"),
        ("FROM a:1\nENV A b \"c\"\n", "FROM a:1\nENV A b \"c\"\n"),
        ("FROM a:1\nENV A b \\\n c\n", "FROM a:1\nENV A b \\\n c\n"),
        ("FROM --platform=$TARGETPLATFORM  a:1\n", "FROM a:1\n"),
        ("FROM a:1\nEXPOSE 80/TCP 81/udp\n", "FROM a:1\nEXPOSE 80/tcp 81/udp\n"),
        ("# what\nARG A=1\nFROM a:1\n", "# what\n\nARG A=1\nFROM a:1\n"),
        ("# what\r\nARG A=1\r\nFROM a:1\r\n", "# what\r\n\r\nARG A=1\r\nFROM a:1\r\n"),
        ("# check=skip=StageNameCasing\nFROM a:1 AS B\n", "# check=skip=StageNameCasing\nFROM a:1 AS B\n"),
        ("FROM a:1\nCPY x\n", "FROM a:1\nCPY x\n"),
    ] {
        assert_eq!(fixed(before), after, "{before:?}");
    }
}

#[test]
fn bytes_elsewhere_stay() {
    let before = b"\xef\xbb\xbf# cafe\r\n\r\nFROM a:1 as b\r\n\tRUN x\t \r\n# \xff\n".to_vec();
    let (after, count) = fix("D", &before);
    assert_eq!(count, 1);
    let expected: Vec<u8> = {
        let at = before.windows(2).position(|pair| pair == b"as").unwrap();
        let mut bytes = before.clone();
        bytes[at..at + 2].copy_from_slice(b"AS");
        bytes
    };
    assert_eq!(after, expected);
}

/// What a Dockerfile without images comes to.
fn meaning(text: &str) -> Option<(oci::Digest, String)> {
    let source = SourceText::new("D", text.as_bytes().to_vec()).unwrap();
    let parsed = crate::parse(&source);
    let lowered = crate::Plan::new(parsed.dockerfile, &source, crate::Options::default()).ok()?.lower().ok()?;
    let config = serde_json::to_value(&lowered.config.config).unwrap().to_string();
    Some((*lowered.graph.vertex(lowered.root).digest().digest(), config))
}

proptest::proptest! {
    #[test]
    fn a_fix_changes_nothing_that_is_built(
        lines in proptest::collection::vec(proptest::sample::select(&[
            "run make", "RUN make", "Run x \\\n\n y", "ENV A b", "env A b c", "ENV A 'b c' d", "ENV A=1", "LABEL a b $A", "EXPOSE 1/TCP",
            "expose 2/Udp", "FROM scratch as Next", "from scratch AS other", "FROM --platform=$TARGETPLATFORM scratch", "# note", "ARG A=2",
            "COPY --from=Next /a /b", "COPY a b", "", "  ", "WORKDIR x", "USER  me",
        ][..]), 0..12),
        ending in proptest::sample::select(&["\n", "\r\n"][..]),
    ) {
        let text = format!("FROM scratch AS First\n{}\n", lines.join("\n")).replace('\n', ending);
        let after = fixed(&text);
        proptest::prop_assert_eq!(meaning(&text), meaning(&after), "{} became {}", text, after);
        proptest::prop_assert_eq!(fixed(&after), after.clone(), "{}", text);
    }
}

fn severities(text: &str) -> Vec<(&'static str, crate::Severity)> {
    let source = SourceText::new("D", text.as_bytes().to_vec()).unwrap();
    crate::parse(&source).diagnostics.iter().map(|finding| (finding.rule, finding.severity)).collect()
}

#[test]
fn warnings_by_name() {
    let warning = crate::Severity::Warning;
    for (text, rule) in [
        ("FROM a AS B\n", "StageNameCasing"),
        ("FROM a as b\n", "FromAsCasing"),
        ("FROM a AS scratch\n", "ReservedStageName"),
        ("FROM a AS b\nFROM c AS b\n", "DuplicateStageName"),
        ("FROM a\nrun x\nENV A=1\n", "ConsistentInstructionCasing"),
        ("FROM a\nRUN x \\\n\n y\n", "NoEmptyContinuation"),
        ("FROM a\nMAINTAINER me\n", "MaintainerDeprecated"),
        ("FROM a\nENV A b\n", "LegacyKeyValueFormat"),
        ("FROM a\nARG API_TOKEN\n", "SecretsUsedInArgOrEnv"),
    ] {
        assert_eq!(severities(text), [(rule, warning)], "{text}");
    }
    assert!(severities("from a as b\nenv PUBLIC_KEY=1\n").is_empty());
}

#[test]
fn check_skips_and_makes_errors() {
    assert!(severities("# check=skip=StageNameCasing\nFROM a AS B\n").is_empty());
    assert!(severities("# check=skip=all\nFROM a AS B\nMAINTAINER x\n").is_empty());
    assert_eq!(severities("# check=error=true\nFROM a AS B\n"), [("StageNameCasing", crate::Severity::Error)]);
    assert_eq!(severities("# check=skip=x,fromascasing;error=true\nFROM a as b\n"), []);
}
