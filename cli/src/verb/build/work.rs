//! A build that has something to do, with progress and an ear for signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;
use std::thread;

use builder::{Cancel, Event, Request, Sandbox};
use remote::Client;
use store::Store;
use sys::signal::SignalSet;

use super::report::Report;
use crate::error::{Result, While, code};
use crate::ui::progress;
use crate::verb::pull;

/// The signals that end a build, finished work kept.
const ENDING: [i32; 3] = [1, 2, 15];

/// Builds, and tells how it ended. `notes` are shown first.
pub(crate) fn build(
    request: Request,
    report: Report,
    store: &Arc<Store>,
    sandbox: Option<Sandbox>,
    client: Option<Client>,
    notes: Vec<String>,
) -> Result<u8> {
    let (mode, shown) = (report.mode, report.shown);
    let probe = sandbox.as_ref().map(|sandbox| sandbox.probe.clone());
    let cancel = Cancel::new();
    let (signal, before) = listen(&cancel)?;
    let (sender, events) = mpsc::channel();
    for message in notes {
        drop(sender.send(Event::Note { message }));
    }
    let result = thread::scope(|scope| {
        let display = thread::Builder::new()
            .name("display".to_owned())
            .spawn_scoped(scope, move || progress::follow(mode, shown, &events));
        let result = builder::run(request, store, sandbox, client, sender, &cancel).map_err(|error| report.fail(error));
        // A display that could not start shows nothing; the build is worth more.
        drop(display.map(thread::ScopedJoinHandle::join));
        result
    });
    match result {
        Ok(built) => {
            pull::settle(store, built.fresh.clone());
            // From here on a signal ends us, as it ends every program: what is pushed by then need not be sent again.
            before.block()?;
            report.finish(store, &built, probe.as_ref())
        }
        Err(failed) => match signal.load(Ordering::SeqCst) {
            number if number > 0 && failed.exit_code() == code::INTERRUPTED => {
                Err(failed.code(128 + u8::try_from(number).unwrap_or(2)))
            }
            _ => Err(failed),
        },
    }
}

/// Throws the switch at the first signal, and gives up at the second. Gives the place where the
/// signal's number will be, and the signals that were blocked before.
#[expect(
    clippy::disallowed_methods,
    reason = "the second signal means now: the build's own ending is what takes too long"
)]
fn listen(cancel: &Cancel) -> Result<(Arc<AtomicI32>, SignalSet)> {
    let signal = Arc::new(AtomicI32::new(0));
    let set = SignalSet::of(&ENDING);
    // Before any thread is there, so that none of them is interrupted.
    let before = set.block()?;
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
    Ok((signal, before))
}
