//! The parts of a build by themselves: `cargo bench -p estiba-benches`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set up has nothing to measure")]

use std::io::{self, Write};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use frontend::{Options, Plan, Provided, SourceText};
use layer::{Entry, Kind, TarWriter};
use oci::{Digest, HashingWriter, ImageConfig, Platform, Raw};

fn main() {
    divan::main();
}

/// The Dockerfile of workload W1.
const SMALL: &str = "FROM busybox\nENV A=1 B=2\nARG V=1\nWORKDIR /app\nRUN echo one > one\nRUN mkdir -p d && echo two > d/two\n\
     COPY src /app/src\nCOPY app.conf /etc/app.conf\nRUN ls /app/src | wc -l > n\nLABEL x=y\nEXPOSE 80\nCMD [\"sh\"]\n";

/// Twelve instructions, or a thousand stages that each build on the one before.
fn text(stages: usize) -> String {
    if stages == 1 {
        return SMALL.to_owned();
    }
    let stage = |number: usize| {
        let base = if number == 0 { "busybox".to_owned() } else { format!("s{}", number - 1) };
        format!("FROM {base} AS s{number}\nARG V=${{N:-{number}}}\nRUN echo $V\nCOPY f{number} /f\n")
    };
    (0..stages).map(stage).collect()
}

fn source(text: &str) -> SourceText {
    SourceText::new("Dockerfile".to_owned(), text.as_bytes().to_vec()).unwrap()
}

#[divan::bench(args = [1, 1000])]
fn parse(bencher: Bencher, stages: usize) {
    let text = text(stages);
    bencher.counter(BytesCount::of_str(&text)).bench(|| frontend::parse(&source(&text)));
}

fn lowered(text: &str) -> frontend::Lowered {
    let source = source(text);
    let parsed = frontend::parse(&source);
    let mut plan = Plan::new(parsed.dockerfile, &source, Options::default()).unwrap();
    while let Some(wanted) = plan.wanted() {
        let config = Raw::encode(ImageConfig::empty(&Platform::host())).unwrap();
        plan.provide(wanted, Provided::Image { manifest: Digest::sha256(b"base"), config }).unwrap();
    }
    plan.lower().unwrap()
}

/// From text to a graph with digests.
#[divan::bench(args = [1, 1000])]
fn parse_and_lower(bencher: Bencher, stages: usize) {
    let text = text(stages);
    bencher.counter(ItemsCount::new(stages)).bench(|| lowered(&text));
}

const FILES: usize = 2000;
const FILE_SIZE: usize = 10_240;

/// The canonical tar of as many files as W1 has, into `out`.
fn write_tar(out: impl Write, content: &[u8]) -> io::Result<()> {
    let mut tar = TarWriter::new(out);
    for number in 0..FILES {
        let mut entry = Entry::new(format!("f{number:05}"), Kind::File);
        entry.size = content.len() as u64;
        tar.append(&entry, &mut &content[..]).map_err(io::Error::other)?;
    }
    tar.finish().map_err(io::Error::other).map(drop)
}

/// What a layer costs beside reading its files: headers, and sha256 over everything.
#[divan::bench]
fn tar_and_hash(bencher: Bencher) {
    let content = vec![b'x'; FILE_SIZE];
    bencher.counter(BytesCount::new(FILES * FILE_SIZE)).bench(|| {
        let mut hashing = HashingWriter::new(io::sink());
        write_tar(&mut hashing, &content).unwrap();
        hashing.finish().1
    });
}

/// A layer of 2,000 small files onto the disk.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn apply(bencher: Bencher) {
    let mut tar = Vec::new();
    write_tar(&mut tar, &[b'x'; 1024]).unwrap();
    bencher.counter(ItemsCount::new(FILES)).with_inputs(|| tempfile::tempdir().unwrap()).bench_values(|dir| {
        let root = sys::root::Root::open(dir.path()).unwrap();
        runtime::tree::apply(&tar[..], &root, &runtime::tree::ApplyOptions::default()).unwrap();
        dir
    });
}

/// A build of which everything is cached: the path that a user waits for most often.
#[divan::bench]
fn solve_warm(bencher: Bencher) {
    let dir = tempfile::tempdir().unwrap();
    let context = dir.path().join("context");
    std::fs::create_dir(&context).unwrap();
    for number in 0..FILES {
        std::fs::write(context.join(format!("f{number:05}")), [b'x'; 100]).unwrap();
    }
    let store = store::Store::open(dir.path().join("store")).unwrap();
    let lowered = lowered("FROM scratch\nCOPY . /all/\nCOPY f00001 /one\nWORKDIR /work\nCMD [\"/one\"]\n");
    let request = builder::Request {
        graph: lowered.graph,
        root: lowered.root,
        config: lowered.config,
        platform: Platform::host(),
        contexts: vec![builder::LocalContext {
            name: "context".to_owned(),
            dir: context,
            rules: graph::pattern::IgnoreRules::default(),
        }],
        options: builder::Options::default(),
        tags: vec!["docker.io/library/warm:latest".to_owned()],
        outputs: vec![builder::Output::Image],
    };
    let (events, _kept) = std::sync::mpsc::channel();
    builder::run(request.clone(), &store, None, None, events, &builder::Cancel::new()).unwrap();
    bencher.bench(|| match builder::cached(&request, &store).unwrap() {
        builder::Cached::Hit(built) => built,
        builder::Cached::Miss { .. } => panic!("nothing changed, and yet something must run"),
    });
}
