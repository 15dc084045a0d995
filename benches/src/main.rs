//! `estiba-benches [--dir DIR] [--estiba FILE] [--rounds N] [WORKLOAD...]`: prints a table of figures.
//!
//! `benches/run.sh` calls this on a file system that is fit to be measured on.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use benches::{Bed, Report, WORKLOADS};

const USAGE: &str = "usage: estiba-benches [--dir DIR] [--estiba FILE] [--rounds N] [WORKLOAD...]";

struct Arguments {
    dir: PathBuf,
    estiba: PathBuf,
    rounds: usize,
    workloads: Vec<String>,
}

fn arguments() -> Option<Arguments> {
    let mut out = Arguments {
        dir: std::env::temp_dir().join("estiba-bench"),
        estiba: PathBuf::from("target/release/estiba"),
        rounds: 7,
        workloads: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--dir" => out.dir = words.next()?.into(),
            "--estiba" => out.estiba = words.next()?.into(),
            "--rounds" => out.rounds = words.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            _ if WORKLOADS.iter().any(|workload| workload.name.eq_ignore_ascii_case(&word)) => out.workloads.push(word),
            _ => return None,
        }
    }
    Some(out)
}

fn main() -> ExitCode {
    if let Some(code) = benches::helper() {
        return code;
    }
    if let Some(code) = benches::sink() {
        return code;
    }
    let Some(arguments) = arguments() else {
        return fail(USAGE);
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(why: &str) -> ExitCode {
    // Where standard error is closed, the exit code is what is left.
    let _ = writeln!(io::stderr(), "{why}");
    ExitCode::from(2)
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let estiba = arguments.estiba.canonicalize()?;
    let bed = Bed::new(&arguments.dir, &estiba)?;
    let mut report = Report::default();
    for workload in WORKLOADS {
        let named = |word: &String| word.eq_ignore_ascii_case(workload.name);
        if arguments.workloads.is_empty() || arguments.workloads.iter().any(named) {
            (workload.run)(&bed, &mut report, arguments.rounds)?;
        }
    }
    Ok(())
}
