//! W9: a cache of 200 layers in a registry, read by a store that has nothing but the base, with nothing to build.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use crate::registry::server::{Running, Server};
use crate::report::Report;
use crate::tool::{Bed, Tool};
use crate::workload::by_turns;

/// Steps, each with a layer of its own.
const LAYERS: usize = 200;

/// A file a step, so that each step has a layer.
fn content(context: &Path) -> io::Result<()> {
    fs::create_dir_all(context)?;
    let mut dockerfile = String::from("FROM busybox\n");
    for number in 0..LAYERS {
        fs::write(context.join(format!("f{number}")), format!("{number}\n"))?;
        dockerfile.push_str(&format!("COPY f{number} /f{number}\n"));
    }
    fs::write(context.join("Dockerfile"), dockerfile)
}

/// How many requests a registry of ours has answered, those for its own figures left out.
fn answered(running: &Running) -> io::Result<u64> {
    let mut stream = TcpStream::connect(("127.0.0.1", running.port))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let counts = answer.lines().filter(|line| line.contains("requests_total{") && !line.contains("metrics"));
    Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// See the module.
pub(crate) fn import(bed: &Bed, report: &mut Report, rounds: usize) -> io::Result<()> {
    let context = bed.context("w9");
    content(&context)?;
    let root = bed.context("w9-registry");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    let running = Server::Estiba.start(bed.estiba(), &root)?;
    let place = format!("type=registry,ref=127.0.0.1:{}/cache:w9", running.port);
    bed.reset(Tool::Estiba)?;
    let mut first = bed.build(Tool::Estiba, &context, false);
    first.args(["--cache-to", &format!("{place},mode=max")]);
    bed.run(&first)?;
    let build = |tool| {
        let mut command = bed.build(tool, &context, false);
        command.args(["--cache-from", &place]);
        command
    };
    let empty = |tool, _| bed.reset(tool);
    let before = answered(&running)?;
    let samples = by_turns(bed, &[Tool::Estiba], rounds, empty, build)?;
    let asked = answered(&running)? - before;
    report.row("W9 200-layer cache, nothing to build", &samples)?;
    report.count("W9 requests for it", asked as f64 / rounds as f64, rounds)
}
