//! What the steps of a build said.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::record::{self, Step};
use crate::ui::{self, style};

/// How often a running build's logs are looked at.
const POLL: Duration = Duration::from_millis(100);

/// Prints a build's log, or that of one step.
pub(super) fn print(build: &str, step: Option<&str>, follow: bool, context: &Context) -> Result<u8> {
    let layout = store::Layout::new(context.root()?);
    let line = record::find(&layout, build)?;
    let folder = record::folder(&layout, &line.id);
    let steps = chosen(record::steps(&layout, &line.id)?, step)?;
    if steps.is_empty() && !folder.exists() {
        let why = if line.outcome == record::Outcome::Cached { "it ran no step" } else { "they were pruned" };
        return Err(Error::failed(format!("build {} has no logs: {why}", line.id)));
    }
    let headed = steps.len() > 1;
    let mut open: Vec<Follower> = steps.iter().map(|step| Follower::new(step, &folder)).collect();
    loop {
        // Asked before reading: what comes last is read, too.
        let running = follow && record::is_running(&layout, &line.id);
        let mut last = None;
        for (number, follower) in open.iter_mut().enumerate() {
            let text = follower.more()?;
            if text.is_empty() {
                continue;
            }
            if headed && last != Some(number) {
                ui::out(&format!(
                    "{}\n",
                    style::dim(&format!("#{} {}", follower.number, style::harmless(&follower.name)))
                ))?;
            }
            last = Some(number);
            let shown: String = text.lines().map(|line| format!("{}\n", style::harmless(line))).collect();
            ui::out(&shown)?;
        }
        if !running {
            return Ok(0);
        }
        thread::sleep(POLL);
    }
}

/// The steps that a word means; all without one.
fn chosen(steps: Vec<Step>, word: Option<&str>) -> Result<Vec<Step>> {
    let Some(word) = word else { return Ok(steps) };
    let number: Option<u32> = word.trim_start_matches('#').parse().ok();
    let names: Vec<String> = steps.iter().map(|step| step.info.name.clone()).collect();
    let is_meant = |step: &Step| Some(step.number()) == number || (number.is_none() && step.info.name.contains(word));
    let found: Vec<Step> = steps.into_iter().filter(is_meant).collect();
    if found.is_empty() {
        let error = Error::failed(format!("the build has no step {word}"));
        return Err(match crate::near::nearest(word, names.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`estiba builds inspect BUILD` lists them"),
        });
    }
    Ok(found)
}

/// A log, read as it grows.
struct Follower {
    number: u32,
    name: String,
    path: PathBuf,
    at: u64,
}

impl Follower {
    fn new(step: &Step, folder: &std::path::Path) -> Self {
        let number = step.number();
        Self { number, name: step.info.name.clone(), path: folder.join(format!("{number}.log")), at: 0 }
    }

    /// What was written since the last time.
    fn more(&mut self) -> Result<String> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(String::new()) };
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        self.at += file.read_to_end(&mut bytes)? as u64;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
