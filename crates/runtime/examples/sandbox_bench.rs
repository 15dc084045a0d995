//! How long a container takes: `sandbox_bench ROOTFS [COUNT] [init|net|subordinate]`, where ROOTFS holds `/bin/true`.
//!
//! Prints the median over COUNT runs from before the clone to after the wait, in the process that it is called in. Compare
//! with `bwrap` and `crun` in the same minute.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use estiba_runtime::container::{CapSet, Network, RootFs, Seccomp, Spec, Stdio, run};

#[expect(clippy::print_stdout, reason = "an example is there to print")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let rootfs = PathBuf::from(args.next().ok_or("which root file system?")?);
    let count: usize = args.next().map_or(Ok(200), |text| text.parse())?;
    let modes: Vec<String> = args.collect();
    let scratch = tempfile::tempdir()?;
    let mut times: Vec<(Duration, Duration)> = Vec::new();
    for n in 0..count {
        let (upper, work) = (scratch.path().join(format!("u{n}")), scratch.path().join(format!("w{n}")));
        std::fs::create_dir(&upper)?;
        std::fs::create_dir(&work)?;
        let layers = RootFs::Overlay { lowers: vec![rootfs.clone()], upper, work };
        let mut spec = Spec::new(layers, vec!["/bin/true".to_owned()]);
        spec.init = modes.iter().any(|mode| mode == "init");
        if modes.iter().any(|mode| mode == "net") {
            spec.network = Network::None;
        }
        let before = Instant::now();
        let running = run(&spec, Stdio::default())?;
        let started = before.elapsed();
        let finished = running.wait()?;
        assert!(finished.status.success(), "{finished:?}");
        times.push((before.elapsed(), started));
    }
    let before = Instant::now();
    for _ in 0..100 {
        std::hint::black_box(Seccomp::Default.program(CapSet::docker())?);
    }
    println!("the default filter is made in {:?}", before.elapsed() / 100);
    times.sort_unstable();
    let (whole, _) = times[times.len() / 2];
    let mut starts: Vec<_> = times.iter().map(|(_, started)| *started).collect();
    starts.sort_unstable();
    println!(
        "{count} runs {modes:?}: median {whole:?}, of which start {:?}; fastest {:?}",
        starts[count / 2],
        times[0].0
    );
    Ok(())
}
