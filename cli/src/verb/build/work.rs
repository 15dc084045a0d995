//! A build that has something to do, with progress and an ear for signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;
use std::thread;

use builder::failed::Failed;
use builder::{Cancel, Event, Request, Sandbox};
use remote::Client;
use store::Store;
use sys::signal::SignalSet;

use super::logfile::LogFile;
use super::report::Report;
use crate::error::{Error, Result, While, code};
use crate::record::Recorder;
use crate::ui::progress::{self, Mode};
use crate::ui::{self, style};
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
    let mut recorder = Recorder::new(store.layout());
    let mut logfile = report.logfile().map(LogFile::create).transpose()?;
    let result = thread::scope(|scope| {
        let mut see = |event: &Event| {
            recorder.see(event);
            if let Some(logfile) = &mut logfile {
                logfile.see(event);
            }
            report.shows(event)
        };
        let display = thread::Builder::new()
            .name("display".to_owned())
            .spawn_scoped(scope, move || progress::follow(mode, shown, &events, &mut see));
        let result = builder::run_in(&request, store, sandbox.as_ref(), client.as_ref(), sender, &cancel);
        // A display that could not start shows nothing; the build is worth more.
        drop(display.map(thread::ScopedJoinHandle::join));
        result
    });
    let build = recorder.build.clone();
    let recorded = report.record(store, recorder, result.as_ref());
    let result = match (result, &sandbox) {
        (Err(error), Some(sandbox)) if report.wants_shell() && matches!(error, builder::Error::Vertex { .. }) => {
            Err(look_around(&report, error, store, sandbox, build.as_deref()))
        }
        (result, _) => result.map_err(|error| report.fail(error)),
    };
    recorded?;
    let result = match (result, report.verify) {
        (Ok(built), true) => {
            verify(&request, &report, store, sandbox.as_ref(), client.as_ref(), &cancel).map(|()| built)
        }
        (result, _) => result,
    };
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

/// Builds again from nothing, and tells every difference.
fn verify(
    request: &Request,
    report: &Report,
    store: &Arc<Store>,
    sandbox: Option<&Sandbox>,
    client: Option<&Client>,
    cancel: &Cancel,
) -> Result {
    let mode = report.mode;
    let (sender, events) = mpsc::channel();
    drop(sender.send(Event::Note { message: "verify: building again, from nothing".to_owned() }));
    let found = thread::scope(|scope| {
        let display = thread::Builder::new()
            .name("display".to_owned())
            .spawn_scoped(scope, move || progress::follow(mode, 0, &events, &mut |_| true));
        let found = builder::verify::verify(request, store, sandbox, client, sender, cancel);
        drop(display.map(thread::ScopedJoinHandle::join));
        found
    });
    let found = found.map_err(|error| report.fail(error))?;
    if found.is_empty() {
        if mode != Mode::Quiet {
            ui::err(&format!("{} both builds gave the same\n", style::good("verified")));
        }
        return Ok(());
    }
    let line = |one: &builder::verify::Difference| match request.is_for_several() {
        true => format!("{} {}: {}", one.platform, one.place, one.what),
        false => format!("{}: {}", one.place, one.what),
    };
    let lines: String = found.iter().map(|one| style::harmless(&line(one)) + "\n").collect();
    ui::out(&lines)?;
    let count = if found.len() == 1 { "1 difference".to_owned() } else { format!("{} differences", found.len()) };
    let failed = Error::failed(format!("the build is not reproducible: {count}"));
    Err(match request.options.epoch {
        Some(_) => failed,
        None => failed.hint("--reproducible, or SOURCE_DATE_EPOCH, sets the times that every build writes anew"),
    })
}

/// Tells why a build failed, and opens a shell there. Gives the error that is left: an exit code.
fn look_around(
    report: &Report,
    error: builder::Error,
    store: &Store,
    sandbox: &Sandbox,
    build: Option<&str>,
) -> crate::error::Error {
    let failed = report.fail(error);
    failed.report();
    // A step that did not run left nothing to look at: that was said already.
    if let Some(Ok(Some(kept))) = build.map(|build| Failed::of(store, build))
        && let Err(error) = crate::shell::open(store, sandbox, &kept)
    {
        error.report();
    }
    crate::error::Error::silent(failed.exit_code())
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
