//! Progress as a live tree on a terminal.
//!
//! What is over scrolls away as one line a step; what runs stays below it: a spinner a step with
//! the last lines of its log, under one line for the whole build.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use builder::{Event, VertexId};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::{Display, INTERNAL, last_state, take_lines};
use super::style;

/// Log lines shown under a running step.
const SHOWN_LOG_LINES: usize = 5;

/// The display.
pub(crate) struct Tree {
    area: MultiProgress,
    head: ProgressBar,
    started: Instant,
    steps: HashMap<VertexId, Step>,
    over: usize,
}

struct Step {
    name: String,
    started: Instant,
    running: Option<Running>,
    done: String,
}

/// The lines of a step that runs.
struct Running {
    spinner: ProgressBar,
    log: Vec<ProgressBar>,
    shown: VecDeque<String>,
    rest: String,
}

impl Tree {
    /// A tree with nothing in it.
    pub(crate) fn new() -> Self {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(15));
        let head = area.add(ProgressBar::new_spinner().with_style(bare("{msg}")));
        Self { area, head, started: Instant::now(), steps: HashMap::new(), over: 0 }
    }

    fn line(&self, text: &str) {
        // Lost output is not worth failing a build for.
        drop(self.area.println(text));
    }

    fn show_head(&self) {
        let elapsed = self.started.elapsed().as_secs_f64();
        // What a build reads of its own accord is no step, and never reported as one.
        let steps = self.steps.values().filter(|step| !step.name.starts_with(INTERNAL)).count();
        let counts = format!("[+] building {elapsed:.1}s ({}/{steps})", self.over);
        self.head.set_message(counts);
    }

    fn start(&mut self, vertex: VertexId) {
        let Some(step) = self.steps.get_mut(&vertex) else { return };
        step.started = Instant::now();
        let spinner = self.area.add(ProgressBar::new_spinner().with_style(bare(" {spinner} {wide_msg} {prefix:>7}")));
        spinner.set_message(style::harmless(&step.name));
        spinner.enable_steady_tick(Duration::from_millis(120));
        step.running = Some(Running { spinner, log: Vec::new(), shown: VecDeque::new(), rest: String::new() });
    }

    fn log(&mut self, vertex: VertexId, text: &str) {
        let Some(running) = self.steps.get_mut(&vertex).and_then(|step| step.running.as_mut()) else { return };
        for line in take_lines(&mut running.rest, text) {
            if running.shown.len() == SHOWN_LOG_LINES {
                running.shown.pop_front();
            }
            running.shown.push_back(line);
        }
        while running.log.len() < running.shown.len() {
            let above = running.log.last().unwrap_or(&running.spinner);
            let bar = self.area.insert_after(above, ProgressBar::new_spinner().with_style(bare("   {wide_msg}")));
            running.log.push(bar);
        }
        for (bar, line) in running.log.iter().zip(&running.shown) {
            bar.set_message(style::dim(line));
        }
    }

    /// Ends a step and prints its line.
    fn end(&mut self, vertex: VertexId, mark: &str, time: bool) {
        self.over += 1;
        let Some(step) = self.steps.get_mut(&vertex) else { return };
        let took = step.started.elapsed().as_secs_f64();
        if let Some(running) = step.running.take() {
            for bar in running.log.iter().chain([&running.spinner]) {
                bar.finish_and_clear();
                self.area.remove(bar);
            }
        }
        let name = style::harmless(&step.name);
        let took = if time { style::dim(&format!("  {took:.1}s")) } else { String::new() };
        self.line(&format!(" {mark} {name}{took}"));
        self.show_head();
    }

    fn progress(&mut self, vertex: Option<VertexId>, words: &str) {
        match vertex.and_then(|vertex| self.steps.get_mut(&vertex)) {
            Some(step) => {
                step.done = words.to_owned();
                if let Some(running) = &step.running {
                    running.spinner.set_message(format!("{}  {}", style::harmless(&step.name), style::dim(words)));
                }
            }
            None => self.head.set_message(format!("[+] exporting {words}")),
        }
    }
}

fn bare(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Display for Tree {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Plan { vertices, .. } => {
                for vertex in vertices {
                    let step =
                        Step { name: vertex.name.clone(), started: Instant::now(), running: None, done: String::new() };
                    self.steps.insert(vertex.vertex, step);
                }
                self.show_head();
            }
            Event::Cached { vertex } => self.end(*vertex, &style::dim("= cached"), false),
            Event::Missed { vertex, why } => {
                let name = self.steps.get(vertex).map(|step| step.name.clone()).unwrap_or_default();
                self.line(&format!(" {} {}: {}", style::hint("?"), style::harmless(&name), style::harmless(why)));
            }
            Event::Started { vertex, .. } => self.start(*vertex),
            Event::Waiting { vertex } => self.progress(Some(*vertex), "waiting for another build"),
            Event::Log { vertex, text, .. } => self.log(*vertex, text),
            Event::Progress { vertex, unit, done, total } => {
                let of = if *total > 0 { format!(" of {}", count(unit, *total)) } else { String::new() };
                self.progress(*vertex, &format!("{}{of} {unit}", count(unit, *done)));
            }
            Event::Done { vertex, .. } => self.end(*vertex, &style::good("✓"), true),
            Event::Failed { vertex, message, .. } => {
                self.end(*vertex, &style::error("✗"), true);
                self.line(&format!("   {}", last_state(message)));
            }
            Event::Cancelled { vertex } => self.end(*vertex, &style::dim("- cancelled"), false),
            Event::Note { message } => self.line(&format!("{} {message}", style::hint("note:"))),
            Event::Exporting { what } => self.head.set_message(format!("[+] exporting {what}")),
            Event::Built { .. } => {}
        }
    }

    fn tick(&mut self) {
        self.show_head();
        for step in self.steps.values() {
            if let Some(running) = &step.running {
                running.spinner.set_prefix(format!("{:.1}s", step.started.elapsed().as_secs_f64()));
            }
        }
    }

    fn finish(&mut self) {
        self.head.finish_and_clear();
        drop(self.area.clear());
    }
}

fn count(unit: &str, number: u64) -> String {
    if unit == "bytes" { crate::duration::size(number) } else { number.to_string() }
}
