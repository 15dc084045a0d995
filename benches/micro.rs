//! The parts of a build by themselves: `cargo bench -p estiba-benches`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set up has nothing to measure")]

use std::io::{self, Write};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use frontend::{Options, Plan, Provided, SourceText};
use layer::{Chunked, ChunkedForm, Compression, Entry, Kind, TarWriter};
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

/// A thousand lines as people write them: everything that `estiba lint` finds in them.
#[divan::bench]
fn lint(bencher: Bencher) {
    let stage = |number: usize| {
        format!(
            "FROM debian:12 AS stage-{number}\nARG VERSION=1.{number}\nENV PATH=/opt/bin:$PATH LANG=C.UTF-8\nWORKDIR /src\n\
             # what is needed\nRUN apt-get update \\\n && apt-get install -y --no-install-recommends curl git \\\n\
             && rm -rf /var/lib/apt/lists/*\nCOPY . .\nRUN npm ci && npm run build -- --mode $VERSION\n\
             RUN curl -fsSL https://example.org/x | tar x -C /opt\nADD config.yaml /etc/app/\nEXPOSE 80/TCP\n\
             LABEL name some words\nRUN --mount=type=cache,target=/root/.cache pip install -r r.txt\nUSER app\nCMD start --now\n\n"
        )
    };
    let text: String = (0..56).map(stage).collect();
    let lines = text.lines().count();
    assert!(lines >= 1_000, "{lines}");
    bencher.counter(ItemsCount::new(lines)).bench(|| frontend::lint::check(&source(&text)));
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

/// Lines as logs have them, and bytes that won't shrink: half and half.
fn half_text(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut bytes = Vec::with_capacity(length + 100);
    while bytes.len() < length / 2 {
        let line = format!("2026-11-22T07:25:{:02} info id={:08x} took {} ms\n", next() % 60, next(), next() % 1000);
        bytes.extend_from_slice(line.as_bytes());
    }
    while bytes.len() < length {
        bytes.extend_from_slice(&(next() as u32).to_le_bytes()[..3]);
    }
    bytes
}

const STREAM: usize = 32 << 20;

fn compressed(compression: Compression, threads: usize, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = compression.encoder_on(threads, Vec::new(), None).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a push does to a layer.
#[divan::bench(args = [1, 2], consts = [false, true], sample_count = 5, sample_size = 1)]
fn compress<const ZSTD: bool>(bencher: Bencher, threads: usize) {
    let bytes = half_text(STREAM);
    let compression = if ZSTD { Compression::Zstd } else { Compression::Gzip };
    bencher.counter(BytesCount::new(STREAM)).bench(|| compressed(compression, threads, &bytes));
}

/// The same with a table of contents: 2,000 small files and one large one.
#[divan::bench(args = [1, 2], consts = [false, true], sample_count = 5, sample_size = 1)]
fn compress_chunked<const ZSTD: bool>(bencher: Bencher, threads: usize) {
    let (content, large) = (half_text(FILE_SIZE), half_text(STREAM));
    let mut tar = TarWriter::new(Vec::new());
    let files = (0..FILES).map(|number| (format!("f{number:05}"), &content));
    for (name, content) in files.chain([("large".to_owned(), &large)]) {
        let mut entry = Entry::new(name, Kind::File);
        entry.size = content.len() as u64;
        tar.append(&entry, &mut &content[..]).unwrap();
    }
    let tar = tar.finish().unwrap();
    let form = if ZSTD { ChunkedForm::Zstd } else { ChunkedForm::Estargz };
    bencher.counter(BytesCount::new(tar.len())).bench(|| {
        let mut chunked = Chunked::on(threads, form, Vec::new(), None).unwrap();
        chunked.write_all(&tar).unwrap();
        chunked.finish().unwrap().0
    });
}

/// What a pull does to a layer that a push made.
#[divan::bench(consts = [false, true], sample_count = 5, sample_size = 1)]
fn decompress<const ZSTD: bool>(bencher: Bencher) {
    let blob = compressed(if ZSTD { Compression::Zstd } else { Compression::Gzip }, 2, &half_text(STREAM));
    bencher.counter(BytesCount::new(STREAM)).bench(|| {
        let (_, mut decoder) = Compression::detecting(Box::new(&blob[..])).unwrap();
        io::copy(&mut decoder, &mut io::sink()).unwrap()
    });
}

/// A compressed layer of 2,000 small files onto the disk, and its tar from there again.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn unpack_and_assemble(bencher: Bencher) {
    let mut tar = Vec::new();
    write_tar(&mut tar, &[b'x'; 1024]).unwrap();
    let blob = compressed(Compression::Gzip, 2, &tar);
    bencher.counter(ItemsCount::new(FILES)).with_inputs(|| tempfile::tempdir().unwrap()).bench_values(|dir| {
        let root = sys::root::Root::open(dir.path()).unwrap();
        let options = runtime::tree::ApplyOptions::default();
        let (unpacked, split) = runtime::tree::unpack_recorded(&blob[..], &root, &options, Vec::new()).unwrap();
        let (diff_id, _, _) = runtime::tree::assemble(&split[..], &root, io::sink()).unwrap();
        assert_eq!(diff_id, unpacked.diff_id);
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
        images: vec![builder::Image {
            platform: Platform::host(),
            root: lowered.root,
            config: lowered.config,
            base: lowered.base,
        }],
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
