//! Keeping the record while a build runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use builder::Event;
use serde::Serialize;
use store::Layout;
use sys::lock::Lock;

use super::{EVENTS, HISTORY, Line};

/// Folders of logs that are kept: the newest so many.
const KEPT: usize = 300;

/// The history is cut to its newer half beyond this: some tens of thousands of builds.
const MAX_HISTORY: u64 = 8 << 20;

/// Milliseconds since 1970.
pub(crate) fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Adds a build to the history: one write, so that builds side by side do not mix their lines.
pub(crate) fn append(layout: &Layout, line: &Line) -> io::Result<()> {
    let folder = layout.logs();
    let path = folder.join(HISTORY);
    let text = serde_json::to_string(line)? + "\n";
    let open = || OpenOptions::new().append(true).create(true).open(&path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(&folder)?;
            open()?
        }
        other => other?,
    };
    file.write_all(text.as_bytes())?;
    if file.metadata()?.len() > MAX_HISTORY {
        halve(&path)?;
    }
    Ok(())
}

fn halve(path: &Path) -> io::Result<()> {
    let text = fs::read_to_string(path)?;
    let half = text.len() / 2;
    let at = text.as_bytes()[half..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| half + at + 1);
    let partial = path.with_extension(std::process::id().to_string());
    fs::write(&partial, &text[at..])?;
    fs::rename(&partial, path)
}

/// An event and when it came.
#[derive(Serialize)]
struct Timed<'e> {
    at: i64,
    #[serde(flatten)]
    event: &'e Event,
}

/// Writes a build's events down as they come. What cannot be written is left out: a record is worth less than a build.
pub(crate) struct Recorder {
    layout: Layout,
    file: Option<Lock>,
    /// The build's id, once it has one.
    pub(crate) build: Option<String>,
    /// When the recorder was made.
    pub(crate) started: i64,
}

impl Recorder {
    /// A recorder for a build that begins.
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone(), file: None, build: None, started: now_millis() }
    }

    /// Takes an event.
    pub(crate) fn see(&mut self, event: &Event) {
        if let Event::Plan { build, .. } = event {
            self.build = Some(build.clone());
            self.file = self.open(build).ok();
            sweep(&self.layout);
        }
        let Some(lock) = &self.file else { return };
        // What steps say is in files of their own, and how far they are is of no interest afterwards.
        if matches!(event, Event::Plan { .. } | Event::Log { .. } | Event::Progress { .. }) {
            return;
        }
        if let Ok(mut text) = serde_json::to_vec(&Timed { at: now_millis(), event }) {
            text.push(b'\n');
            drop(lock.file().write_all(&text));
        }
    }

    fn open(&self, build: &str) -> io::Result<Lock> {
        let folder = self.layout.logs().join(build);
        fs::create_dir_all(&folder)?;
        let file: File = OpenOptions::new().append(true).create(true).open(folder.join(EVENTS))?;
        Lock::exclusive(file).map_err(io::Error::other)
    }
}

/// Removes the folders of builds that nobody asks for any more.
fn sweep(layout: &Layout) {
    let Ok(entries) = fs::read_dir(layout.logs()) else { return };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != HISTORY && super::read::started(name).is_some());
    if names.len() <= KEPT {
        return;
    }
    names.sort_by_key(|name| super::read::started(name));
    for name in &names[..names.len() - KEPT] {
        if !super::is_running(layout, name) {
            drop(fs::remove_dir_all(layout.logs().join(name)));
        }
    }
}
