//! Runs one container: `sandbox_run SPEC.json [root|subordinate-ids|single-id|spawner|keep-fds]…`, where SPEC.json is a
//! [`Spec`] as serde writes it. Exits as the container did; says on stderr why it didn't start.
//!
//! It is how the tests run containers, which only a process with one thread can. `subordinate-ids` and `single-id` enter
//! that rung of the ladder first; `spawner` goes by way of one; `keep-fds` leaves a descriptor of the host's `/` open
//! across everything, as a careless caller would.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use estiba_runtime::container::{Finished, Spec, StartError, Stdio, run};
use estiba_runtime::ladder::{self, Rung};
use estiba_runtime::spawner::{Spawner, SpawnerError};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let spec: Spec = serde_json::from_slice(&std::fs::read(args.next().ok_or("which specification?")?)?)?;
    let modes: Vec<String> = args.collect();
    let mode = |name: &str| modes.iter().any(|mode| mode == name);
    let _kept = if mode("keep-fds") { Some(rustix::io::dup(std::fs::File::open("/")?)?) } else { None };
    if let Some(rung) = rung(&mode)? {
        ladder::enter(&rung)?;
    }
    let finished = if mode("spawner") { by_spawner(&spec) } else { directly(&spec) };
    let code = match finished {
        Ok(finished) => finished.status.code(),
        Err(error) => {
            writeln!(std::io::stderr(), "{error}")?;
            error.exit_code()
        }
    };
    Ok(ExitCode::from(code))
}

/// What the machine has of the rung that was asked for.
fn rung(mode: &dyn Fn(&str) -> bool) -> Result<Option<Rung>, Box<dyn std::error::Error>> {
    if mode("single-id") {
        return Ok(Some(Rung::SingleId));
    }
    if !mode("subordinate-ids") {
        return Ok(None);
    }
    match ladder::probe(&std::env::temp_dir()) {
        ladder::Probe { rung: rung @ Rung::SubordinateIds { .. }, .. } => Ok(Some(rung)),
        probe => Err(format!("no subordinate ids here: {probe:?}").into()),
    }
}

fn stdio() -> std::io::Result<Stdio> {
    Ok(Stdio {
        stdin: Some(std::io::stdin().as_fd().try_clone_to_owned()?),
        stdout: Some(std::io::stdout().as_fd().try_clone_to_owned()?),
        stderr: Some(std::io::stderr().as_fd().try_clone_to_owned()?),
        ..Stdio::default()
    })
}

fn directly(spec: &Spec) -> Result<Finished, StartError> {
    let stdio = stdio().map_err(|error| StartError::Invalid(error.to_string()))?;
    let mut running = run(spec, stdio)?;
    copy_terminal(running.terminal());
    running.wait()
}

fn by_spawner(spec: &Spec) -> Result<Finished, StartError> {
    let stdio = stdio().map_err(|error| StartError::Invalid(error.to_string()))?;
    let ran = Spawner::fork().and_then(|spawner| {
        let mut child = spawner.spawn(spec, stdio)?;
        copy_terminal(child.terminal());
        child.wait()
    });
    ran.map_err(|error| match error {
        SpawnerError::Start(error) => error,
        other => StartError::Invalid(other.to_string()),
    })
}

/// Everything that the container's terminal shows; EIO is its end.
fn copy_terminal(terminal: Option<OwnedFd>) {
    let Some(mut terminal) = terminal.map(std::fs::File::from) else { return };
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = terminal.read(&mut buffer) {
        if std::io::stdout().write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}
