//! The worker of a build: this program, executed again on the first miss.
//!
//! The first process may not enter namespaces for good, since the fast path must stay free of
//! their cost; and a process may only do so while it has one thread. So the plan goes into a file in
//! memory, the program executes itself under the same process id, enters the namespaces, forks the
//! spawner, and only then starts threads. Terminal and working folder stay as they were.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;
use std::thread;

use builder::{Cancel, Event, Request, Sandbox};
use runtime::spawner::Spawner;
use serde::{Deserialize, Serialize};
use store::Store;
use sys::signal::SignalSet;

use crate::error::{Error, Result, While, code};
use crate::sandbox;
use crate::ui::progress;
use crate::verb::Report;

/// The first argument of a worker, which no user types.
const MARK: &str = "\u{1}estiba-worker";

/// The signals that end a build, finished work kept.
const ENDING: [i32; 3] = [1, 2, 15];

/// What a worker does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The store.
    pub(crate) root: PathBuf,
    /// The build.
    pub(crate) request: Request,
    /// What to tell at its end.
    pub(crate) report: Report,
}

/// The number of the plan's descriptor, when this process is a worker.
pub(crate) fn entry(arguments: &[OsString]) -> Option<u32> {
    match arguments {
        [_, mark, descriptor] if mark == MARK => descriptor.to_str()?.parse().ok(),
        _ => None,
    }
}

/// Becomes the worker of `plan`. Returns only when that fails.
pub(crate) fn execute(plan: &Plan) -> Result<u8> {
    let file = sys::memfd::sealed("estiba-plan", &serde_json::to_vec(plan)?)?;
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
    // Not current_exe(): its path is wrong once the binary was replaced by an upgrade.
    let error = Command::new("/proc/self/exe").arg0("estiba").arg(MARK).arg(file.as_raw_fd().to_string()).exec();
    Err(Error::failed(format!("execute the worker: {error}")))
}

/// The worker's whole life.
pub(crate) fn main(descriptor: u32) -> Result<u8> {
    let plan: Plan = read_plan(descriptor)?;
    let layout = store::Layout::new(&plan.root);
    let probe = sandbox::enter(&layout)?;
    if !sandbox::can_run(&probe.rung) {
        return Err(sandbox::refused(&probe, "RUN"));
    }
    let spawner = Spawner::fork()?;
    // Opened after the fork: a database connection must not cross one.
    let store = Store::open(&plan.root)?;
    let note = sandbox::overlay_note(&probe);
    build(plan, &store, Some(Sandbox { probe, spawner }), note)
}

fn read_plan(descriptor: u32) -> Result<Plan> {
    let path = format!("/proc/self/fd/{descriptor}");
    let file = File::open(&path).during("open the worker's plan")?;
    let plan = serde_json::from_reader(BufReader::new(file)).during("read the worker's plan")?;
    // Nothing of ours above standard error may be open in a container.
    sys::exec::close_on_exec_from(3)?;
    Ok(plan)
}

/// Builds with progress and an ear for signals.
pub(crate) fn build(plan: Plan, store: &Store, sandbox: Option<Sandbox>, note: Option<String>) -> Result<u8> {
    let Plan { request, report, .. } = plan;
    let keeps_image = request.outputs.contains(&builder::Output::Image);
    let mode = report.mode;
    let cancel = Cancel::new();
    let signal = listen(&cancel)?;
    let (sender, events) = mpsc::channel();
    if let Some(message) = note {
        drop(sender.send(Event::Note { message }));
    }
    let result = thread::scope(|scope| {
        let display = thread::Builder::new()
            .name("display".to_owned())
            .spawn_scoped(scope, move || progress::follow(mode, &events));
        let result = builder::run(request, store, sandbox, None, sender, &cancel).map_err(|error| report.fail(error));
        // A display that could not start shows nothing; the build is worth more.
        drop(display.map(thread::ScopedJoinHandle::join));
        result
    });
    match result {
        Ok(built) => report.finish(keeps_image, store, &built),
        Err(failed) => match signal.load(Ordering::SeqCst) {
            number if number > 0 && failed.exit_code() == code::INTERRUPTED => {
                Err(failed.code(128 + u8::try_from(number).unwrap_or(2)))
            }
            _ => Err(failed),
        },
    }
}

/// Throws the switch at the first signal, and gives up at the second. Gives the place where the
/// signal's number will be.
#[expect(
    clippy::disallowed_methods,
    reason = "the second signal means now: the build's own ending is what takes too long"
)]
fn listen(cancel: &Cancel) -> Result<Arc<AtomicI32>> {
    let signal = Arc::new(AtomicI32::new(0));
    let set = SignalSet::of(&ENDING);
    // Before any thread is there, so that none of them is interrupted.
    set.block()?;
    let (cancel, number) = (cancel.clone(), Arc::clone(&signal));
    let wait = move || {
        while let Ok(received) = set.wait() {
            if number.swap(received, Ordering::SeqCst) != 0 {
                std::process::exit(128 + received);
            }
            cancel.cancel();
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).during("start the thread for signals")?;
    Ok(signal)
}
