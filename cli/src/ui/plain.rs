//! Progress as lines, in the form that readers of BuildKit's logs know:
//!
//! ```text
//! #5 [2/3] RUN make
//! #5 0.412 cc -o app main.c
//! #5 DONE 1.3s
//! ```

use std::collections::HashMap;
use std::time::Instant;

use builder::{Event, VertexId};

use super::progress::{Display, last_state, take_lines};
use super::style;

/// Lines, numbered by vertex.
pub(crate) struct Lines {
    steps: HashMap<VertexId, Step>,
    next: usize,
}

struct Step {
    name: String,
    /// Numbers are given in the order in which steps first show.
    number: Option<usize>,
    started: Instant,
    rest: String,
    /// Why the cache had nothing for it: told when it starts, since a search goes from the last step to the first.
    why: Option<String>,
}

impl Lines {
    /// A display that goes on after so many steps.
    pub(crate) fn after(shown: usize) -> Self {
        Self { steps: HashMap::new(), next: shown + 1 }
    }

    /// The step's number; its name is printed the first time.
    fn number(&mut self, vertex: VertexId) -> usize {
        let next = &mut self.next;
        let Some(step) = self.steps.get_mut(&vertex) else { return 0 };
        *step.number.get_or_insert_with(|| {
            let number = *next;
            *next += 1;
            super::err(&format!("#{number} {}\n", style::harmless(&step.name)));
            number
        })
    }

    fn say(&mut self, vertex: VertexId, words: &str) {
        let number = self.number(vertex);
        super::err(&format!("#{number} {words}\n"));
    }

    fn log(&mut self, vertex: VertexId, text: &str) {
        let number = self.number(vertex);
        let Some(step) = self.steps.get_mut(&vertex) else { return };
        let elapsed = step.started.elapsed().as_secs_f64();
        let out: String =
            take_lines(&mut step.rest, text).iter().map(|line| format!("#{number} {elapsed:.3} {line}\n")).collect();
        super::err(&out);
    }

    /// Ends a step: an unfinished line of its log is shown, too.
    fn end(&mut self, vertex: VertexId, words: impl FnOnce(f64) -> String) {
        let rest = self.steps.get_mut(&vertex).map(|step| std::mem::take(&mut step.rest)).unwrap_or_default();
        if !rest.is_empty() {
            self.log(vertex, &format!("{}\n", last_state(&rest)));
        }
        let elapsed = self.steps.get(&vertex).map_or(0.0, |step| step.started.elapsed().as_secs_f64());
        self.say(vertex, &words(elapsed));
    }
}

impl Display for Lines {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Plan { vertices, .. } => {
                for vertex in vertices {
                    let (name, started) = (vertex.name.clone(), Instant::now());
                    let step = Step { name, number: None, started, rest: String::new(), why: None };
                    self.steps.insert(vertex.vertex, step);
                }
            }
            Event::Cached { vertex } => self.say(*vertex, "CACHED"),
            Event::Missed { vertex, why } => {
                if let Some(step) = self.steps.get_mut(vertex) {
                    step.why = Some(why.clone());
                }
            }
            Event::Started { vertex, .. } => {
                self.number(*vertex);
                let Some(step) = self.steps.get_mut(vertex) else { return };
                step.started = Instant::now();
                if let Some(why) = step.why.take() {
                    self.say(*vertex, &format!("why: {}", style::harmless(&why)));
                }
            }
            Event::Waiting { vertex } => self.say(*vertex, "waiting for another build that makes the same"),
            Event::Log { vertex, text, .. } => self.log(*vertex, text),
            Event::Progress { .. } => {}
            Event::Done { vertex, .. } => self.end(*vertex, |elapsed| format!("DONE {elapsed:.1}s")),
            Event::Failed { vertex, message, .. } => {
                self.end(*vertex, |_| format!("ERROR: {}", style::harmless(message)))
            }
            Event::Cancelled { vertex } => self.end(*vertex, |_| "CANCELED".to_owned()),
            Event::Note { message } => super::err(&format!("{} {message}\n", style::hint("note:"))),
            Event::Exporting { what } => super::err(&format!("exporting {what}\n")),
            Event::Built { .. } => {}
        }
    }
}
