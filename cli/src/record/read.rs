//! Reading the record back.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::PathBuf;

use builder::{Event, VertexId, VertexInfo};
use serde::Deserialize;
use store::Layout;
use sys::lock::Lock;

use super::{EVENTS, HISTORY, Line, Outcome, Subject};
use crate::error::{Error, Result, While};

/// An event and when it came, in milliseconds since 1970.
#[derive(Debug, Deserialize)]
pub(crate) struct Timed {
    pub(crate) at: i64,
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// What became of a vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody had to look at it: what stands on it was there.
    Unneeded,
    /// Its result was there.
    Cached,
    /// It is at work.
    Running,
    /// It ran.
    Ran,
    /// It came from a registry.
    Pulled,
    /// A context: a step that ran read it.
    Read,
    /// It failed.
    Failed,
    /// It was given up.
    Cancelled,
}

impl State {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unneeded => "not needed",
            Self::Cached => "cached",
            Self::Running => "running",
            Self::Ran => "ran",
            Self::Pulled => "pulled",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A vertex and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) info: VertexInfo,
    pub(crate) state: State,
    /// Milliseconds since 1970.
    pub(crate) began: Option<i64>,
    pub(crate) ended: Option<i64>,
    /// Why the cache had nothing, where that was asked.
    pub(crate) why: String,
    /// What went wrong.
    pub(crate) message: String,
}

impl Step {
    /// The step's number, from 1: its log is `N.log`.
    pub(crate) fn number(&self) -> u32 {
        self.info.vertex.0 + 1
    }

    /// How long it worked, in milliseconds.
    pub(crate) fn took(&self) -> Option<u64> {
        u64::try_from(self.ended? - self.began?).ok()
    }
}

/// A build's folder.
pub(crate) fn folder(layout: &Layout, build: &str) -> PathBuf {
    layout.logs().join(build)
}

/// When a build of this id began; `None` where it is no id of a build.
pub(crate) fn started(id: &str) -> Option<i64> {
    i64::from_str_radix(id.split_once('-')?.0, 16).ok()
}

/// Whether the process that writes a build's record lives.
pub(crate) fn is_running(layout: &Layout, build: &str) -> bool {
    let Ok(file) = File::open(folder(layout, build).join(EVENTS)) else { return false };
    matches!(Lock::try_shared(file), Ok(Err(_)))
}

/// The history, oldest first. What is no line of it is passed over.
pub(crate) fn history(layout: &Layout) -> Result<Vec<Line>> {
    let path = layout.logs().join(HISTORY);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).during(path.display()),
    }
}

/// The history with what is at work now and what ended without a word, oldest first.
pub(crate) fn list(layout: &Layout) -> Result<Vec<Line>> {
    let mut lines = history(layout)?;
    let known: HashSet<String> = lines.iter().map(|line| line.id.clone()).collect();
    for entry in fs::read_dir(layout.logs()).into_iter().flatten().flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        let Some(began) = started(&id).filter(|_| !known.contains(&id) && entry.path().is_dir()) else { continue };
        let running = is_running(layout, &id);
        let took = if running { super::now_millis() - began } else { 0 };
        lines.push(Line {
            id,
            started: began,
            took: u64::try_from(took).unwrap_or(0),
            outcome: if running { Outcome::Running } else { Outcome::Lost },
            subject: Subject::default(),
            tags: Vec::new(),
            image: None,
            cached: 0,
            steps: 0,
            failed: None,
        });
    }
    lines.sort_by_key(|line| line.started);
    Ok(lines)
}

/// The build that a word means: an id, the beginning of one, or `latest`.
pub(crate) fn find(layout: &Layout, word: &str) -> Result<Line> {
    let lines = list(layout)?;
    if let Some(exact) = lines.iter().find(|line| line.id == word) {
        return Ok(exact.clone());
    }
    if word == "latest" {
        let last = lines.into_iter().next_back();
        return last.ok_or_else(|| Error::failed("there is no build in the history"));
    }
    let mut matching: Vec<Line> = lines.into_iter().filter(|line| line.id.starts_with(word)).collect();
    match (matching.len(), matching.pop()) {
        (1, Some(line)) => Ok(line),
        (0, _) => Err(Error::failed(format!("there is no build {word}")).hint("`estiba builds` lists them")),
        (count, _) => Err(Error::failed(format!("{word} begins the ids of {count} builds: give more of it"))),
    }
}

/// Removes a build's folder and its line.
pub(crate) fn remove(layout: &Layout, ids: &HashSet<String>) -> Result<u64> {
    for id in ids {
        match fs::remove_dir_all(folder(layout, id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).during(format!("remove the logs of {id}"));
            }
            _ => {}
        }
    }
    let path = layout.logs().join(HISTORY);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(ids.len() as u64) };
    let stays = |line: &&str| !serde_json::from_str::<Line>(line).is_ok_and(|line| ids.contains(&line.id));
    let kept: String = text.lines().filter(stays).map(|line| format!("{line}\n")).collect();
    let partial = path.with_extension(std::process::id().to_string());
    fs::write(&partial, kept).and_then(|()| fs::rename(&partial, &path)).during(path.display())?;
    Ok(ids.len() as u64)
}

/// The vertices of a build that had something to do, and what became of each; empty where there is no record.
pub(crate) fn steps(layout: &Layout, build: &str) -> Result<Vec<Step>> {
    let folder = folder(layout, build);
    let Ok(plan) = fs::read(folder.join("build.json")) else { return Ok(Vec::new()) };
    let Event::Plan { vertices, .. } = serde_json::from_slice(&plan)? else { return Ok(Vec::new()) };
    let blank = |info: VertexInfo| Step {
        info,
        state: State::Unneeded,
        began: None,
        ended: None,
        why: String::new(),
        message: String::new(),
    };
    let mut steps: Vec<Step> = vertices.into_iter().map(blank).collect();
    let places: HashMap<VertexId, usize> =
        steps.iter().enumerate().map(|(place, step)| (step.info.vertex, place)).collect();
    let text = fs::read_to_string(folder.join(EVENTS)).unwrap_or_default();
    // A line that a killed build left half, or one of a later version, is passed over.
    for timed in text.lines().filter_map(|line| serde_json::from_str::<Timed>(line).ok()) {
        if let Some(step) = vertex_of(&timed.event).and_then(|vertex| steps.get_mut(*places.get(&vertex)?)) {
            take(step, timed);
        }
    }
    mark_read(&mut steps);
    Ok(steps)
}

/// Of contexts nothing is told: what a step that ran reads was read.
fn mark_read(steps: &mut [Step]) {
    let worked = |step: &&Step| matches!(step.state, State::Ran | State::Running | State::Failed);
    let read: HashSet<VertexId> = steps.iter().filter(worked).flat_map(|step| step.info.inputs.clone()).collect();
    for step in steps.iter_mut().filter(|step| step.info.kind == builder::Kind::Context) {
        if read.contains(&step.info.vertex) {
            step.state = State::Read;
        }
    }
}

fn vertex_of(event: &Event) -> Option<VertexId> {
    match event {
        Event::Cached { vertex }
        | Event::Missed { vertex, .. }
        | Event::Started { vertex, .. }
        | Event::Done { vertex, .. }
        | Event::Failed { vertex, .. }
        | Event::Cancelled { vertex } => Some(*vertex),
        _ => None,
    }
}

fn take(step: &mut Step, Timed { at, event }: Timed) {
    match event {
        Event::Cached { .. } => {
            step.state = State::Cached;
            step.ended = Some(at);
        }
        Event::Missed { why, .. } => step.why = why,
        Event::Started { time, .. } => {
            step.state = State::Running;
            step.began = Some(time);
        }
        Event::Done { time, .. } => {
            let pulled = step.info.kind == builder::Kind::Image;
            step.state = if pulled { State::Pulled } else { State::Ran };
            step.ended = Some(time);
        }
        Event::Failed { time, message, .. } => {
            step.state = State::Failed;
            step.ended = Some(time);
            step.message = message;
        }
        Event::Cancelled { .. } => {
            step.state = State::Cancelled;
            step.ended = step.began.map(|_| at);
        }
        _ => {}
    }
}
