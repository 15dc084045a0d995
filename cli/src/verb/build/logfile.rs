//! `--logfile`: what the display would say, into a file.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use builder::{Event, VertexId};

use crate::error::{Result, While};
use crate::ui::style;

/// A file that takes a build's progress as lines.
pub(super) struct LogFile {
    file: File,
    names: HashMap<VertexId, String>,
}

impl LogFile {
    /// Begins the file anew.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).during(format!("--logfile {}", path.display()))?;
        Ok(Self { file, names: HashMap::new() })
    }

    /// Takes an event. What cannot be written is left out: the build is worth more.
    pub(super) fn see(&mut self, event: &Event) {
        let said = match event {
            Event::Plan { vertices, .. } => {
                self.names = vertices.iter().map(|info| (info.vertex, info.name.clone())).collect();
                return;
            }
            Event::Log { vertex, text, .. } => {
                let number = vertex.0 + 1;
                text.lines().map(|line| format!("#{number} {}\n", style::harmless(line))).collect()
            }
            Event::Started { vertex, .. } => self.line(*vertex, ""),
            Event::Cached { vertex } => self.line(*vertex, ": CACHED"),
            Event::Done { vertex, .. } => self.line(*vertex, ": DONE"),
            Event::Failed { vertex, message, .. } => {
                self.line(*vertex, &format!(": ERROR: {}", style::harmless(message)))
            }
            Event::Note { message } => format!("note: {}\n", style::harmless(message)),
            Event::Exporting { what } => format!("exporting {what}\n"),
            _ => return,
        };
        drop(self.file.write_all(said.as_bytes()));
    }

    fn line(&self, vertex: VertexId, words: &str) -> String {
        let name = self.names.get(&vertex).map(String::as_str).unwrap_or_default();
        format!("#{} {}{words}\n", vertex.0 + 1, style::harmless(name))
    }
}
