//! Golden tests: `testdata/frontend/lower/<case>/{Dockerfile,options,graph}`.
//!
//! `options` has one option a line: `target NAME`, `build-arg NAME=VALUE`,
//! `label NAME=VALUE`, `context NAME`, `context NAME=IMAGE`, `no-cache-filter
//! NAME`, `platform OS/ARCH`, and `image REFERENCE {configuration}`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use estiba_frontend::{Diagnostic, Lowered, NamedContext, Options, Plan, Provided, SourceText, Wanted};
use oci::{Digest, ImageConfig, Raw};

use crate::corpus;

const USUAL_IMAGE: &str = r#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/bin"],"Cmd":["bash"]},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created_by":"base"}]}"#;

/// Answers a plan's questions from a table, else with [`USUAL_IMAGE`].
pub(crate) fn lower(
    source: &SourceText,
    options: Options,
    images: &BTreeMap<String, String>,
) -> Result<(Lowered, Vec<String>), Vec<Diagnostic>> {
    let mut plan = Plan::new(estiba_frontend::parse(source).dockerfile, source, options)?;
    let mut asked = Vec::new();
    while let Some(wanted) = plan.wanted() {
        assert!(asked.len() < 2_000, "the plan never stops asking");
        let (reference, platform) = match &wanted {
            Wanted::Image { reference, platform, .. } => (reference, platform),
            Wanted::Git { url, reference, checksum, .. } => {
                asked.push(format!("{url} {reference:?} {checksum:?}"));
                let commit = format!("{:040x}", url.len());
                plan.provide(wanted, Provided::Git { commit })?;
                continue;
            }
            Wanted::Http { url, checksum, filename, .. } => {
                asked.push(format!("{url} {filename}"));
                let digest = checksum.unwrap_or_else(|| Digest::sha256(url.as_bytes()));
                plan.provide(wanted, Provided::Http { digest })?;
                continue;
            }
        };
        asked.push(format!("{reference} {platform}"));
        let text = images.get(reference).map_or(USUAL_IMAGE, String::as_str);
        let config: Raw<ImageConfig> = Raw::parse(text.as_bytes().to_vec()).unwrap();
        let manifest = Digest::sha256(reference.as_bytes());
        plan.provide(wanted, Provided::Image { manifest, config })?;
    }
    plan.lower().map(|lowered| (lowered, asked))
}

pub(crate) fn usual_options() -> Options {
    let platform: oci::Platform = "linux/amd64".parse().unwrap();
    Options { platform: platform.clone(), build_platform: platform, ..Options::default() }
}

fn read_options(text: &str) -> (Options, BTreeMap<String, String>) {
    let mut options = usual_options();
    let mut images = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (key, value) = line.split_once(' ').unwrap();
        let (name, rest) = value.split_once('=').unwrap_or((value, ""));
        match key {
            "target" => options.target = Some(value.to_owned()),
            "build-arg" => drop(options.build_args.insert(name.to_owned(), rest.to_owned())),
            "label" => drop(options.labels.insert(name.to_owned(), rest.to_owned())),
            "context" if rest.is_empty() => drop(options.contexts.insert(name.to_owned(), NamedContext::Directory)),
            "context" => drop(options.contexts.insert(name.to_owned(), NamedContext::Image(rest.to_owned()))),
            "no-cache-filter" => drop(options.no_cache_filter.insert(value.to_owned())),
            "platform" => options.platform = value.parse().unwrap(),
            "image" => {
                let (reference, config) = value.split_once(' ').unwrap();
                images.insert(reference.to_owned(), config.to_owned());
            }
            other => panic!("unknown option {other}"),
        }
    }
    (options, images)
}

fn shown(source: &SourceText, lowered: &Lowered, asked: &[String]) -> String {
    let mut out = String::new();
    for line in asked {
        let _ = writeln!(out, "asked {line}");
    }
    for (edge, vertex) in lowered.graph.vertices() {
        if !lowered.graph.reachable(&[lowered.root]).contains(&edge) {
            continue;
        }
        let inputs: Vec<String> = vertex.inputs().iter().map(|input| format!("#{}", input.index())).collect();
        let op = serde_json::to_string(vertex.op()).unwrap();
        let cache = if vertex.meta().ignore_cache { " no-cache" } else { "" };
        let _ = writeln!(out, "#{} ({}) {}{cache}\n   {op}", edge.index(), inputs.join(" "), vertex.meta().name);
    }
    let base = lowered.base.map_or("scratch".to_owned(), |edge| format!("#{}", edge.index()));
    let _ = writeln!(out, "root #{} on {base}", lowered.root.index());
    for entry in &lowered.config.history {
        let layer = if entry.empty_layer { ' ' } else { '+' };
        let _ = writeln!(out, "{layer} {}", entry.created_by.replace('\n', "\\n"));
    }
    let _ = writeln!(out, "config {}", serde_json::to_string(&lowered.config.config).unwrap());
    let platform = lowered.config.platform();
    let _ = writeln!(out, "image {platform} author {:?} epoch {:?}", lowered.config.author, lowered.epoch);
    let _ = writeln!(out, "args {:?} unused {:?}", lowered.used_args, lowered.unused_args);
    for warning in &lowered.warnings {
        let _ = writeln!(out, "{}", warning.render(source, false));
    }
    out
}

#[test]
fn graphs_of_the_corpus() {
    for case in corpus::cases("lower") {
        let source = corpus::read(&case.join("Dockerfile"));
        let (options, images) = read_options(&std::fs::read_to_string(case.join("options")).unwrap_or_default());
        corpus::parse(&source);
        let found = match lower(&source, options, &images) {
            Ok((lowered, asked)) => shown(&source, &lowered, &asked),
            Err(errors) => errors.iter().map(|error| error.render(&source, false) + "\n").collect(),
        };
        corpus::golden(&case.join("graph"), &found);
    }
}

#[test]
fn a_signature_in_an_address_is_kept_nowhere() {
    let text = "FROM scratch\nARG T=x\nADD https://u:SECRET@h/one?sig=SECRET$T /\n\
                ADD [\"https://h/two?a=b SECRET\", \"/\"]\nADD --link \"https://h/three?sig=SECRET\" https://h/four /x/\n";
    let source = SourceText::new("Dockerfile", text.as_bytes().to_vec()).unwrap();
    let (lowered, asked) = lower(&source, usual_options(), &BTreeMap::new()).unwrap();
    assert!(asked.iter().any(|url| url.contains("https://h/two?a=b SECRET")), "it is asked for with all of it");
    let shown = format!("{lowered:?}");
    assert!(!shown.contains("SECRET") && shown.contains("https://h/three"), "{shown}");
}
