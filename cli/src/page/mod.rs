//! `estiba build --report`: one page about one build, which needs nothing but itself. Its data stand in it as JSON, and its own
//! script draws them; what steps said goes in as text and is never read as markup.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use builder::{Kind, Request, VertexId, VertexInfo};
use serde_json::{Value, json};
use store::Layout;

use crate::error::{Result, While};
use crate::record::{self, Line, State, Step};
use crate::ui::style;

const PAGE: &str = include_str!("page.html");

/// What of a step's log a page shows: its end, since errors stand there.
const MAX_LOG: u64 = 128 << 10;

/// What of all logs a page shows: browsers get slow beyond.
const MAX_LOGS: u64 = 8 << 20;

/// Writes the page of a build.
pub(crate) fn write(path: &Path, layout: &Layout, line: &Line, steps: &[Step]) -> Result {
    let text = render(layout, line, steps)?;
    std::fs::write(path, text).during(format!("--report {}", path.display()))
}

/// The page of a build.
pub(crate) fn render(layout: &Layout, line: &Line, steps: &[Step]) -> Result<String> {
    let mut room = MAX_LOGS;
    let folder = record::folder(layout, &line.id);
    let vertices: Vec<Value> = steps.iter().map(|step| vertex(step, line.started, &folder, &mut room)).collect();
    let data = json!({ "version": env!("CARGO_PKG_VERSION"), "build": line, "vertices": vertices });
    Ok(PAGE.replacen("{{DATA}}", &inert(&serde_json::to_string(&data)?), 1))
}

/// JSON that no reader of HTML takes for anything else.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn vertex(step: &Step, start: i64, folder: &Path, room: &mut u64) -> Value {
    let (log, cut) = log(&folder.join(format!("{}.log", step.number())), room);
    json!({
        "name": style::harmless(&step.info.name),
        "stage": step.info.stage,
        "kind": step.info.kind,
        "state": step.state.word(),
        "began": step.began.map(|began| began - start),
        "ended": step.ended.map(|ended| ended - start),
        "why": style::harmless(&step.why),
        "message": style::harmless(&step.message),
        "inputs": step.info.inputs.iter().map(|input| input.0).collect::<Vec<_>>(),
        "place": step.info.location.as_ref().map(|at| format!("{}:{}", at.file, at.first_line)),
        "log": log,
        "cut": cut,
    })
}

/// The end of a log, and how many bytes before it were left out.
fn log(path: &Path, room: &mut u64) -> (String, u64) {
    let Ok(mut file) = File::open(path) else { return (String::new(), 0) };
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let shown = size.min(MAX_LOG).min(*room);
    *room -= shown;
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(size - shown)).and_then(|_| file.take(shown).read_to_end(&mut bytes));
    if read.is_err() {
        return (String::new(), size);
    }
    let text = String::from_utf8_lossy(&bytes);
    (text.lines().map(|line| style::harmless(line) + "\n").collect(), size - shown)
}

/// The steps of a build that found everything.
pub(crate) fn cached_steps(request: &Request) -> Vec<Step> {
    let roots: Vec<_> = request.images.iter().map(|image| image.root).collect();
    let order = request.graph.reachable(&roots);
    let number = |at: usize| VertexId(u32::try_from(at).unwrap_or(u32::MAX));
    let step = |(at, edge): (usize, &graph::Edge)| {
        let vertex = request.graph.vertex(*edge);
        let inputs =
            vertex.inputs().iter().filter_map(|input| order.iter().position(|known| known == input).map(number));
        let info = VertexInfo {
            vertex: number(at),
            digest: *vertex.digest().digest(),
            name: vertex.meta().name.clone(),
            stage: vertex.meta().stage.clone(),
            location: vertex.meta().location.clone(),
            inputs: inputs.collect(),
            kind: Kind::of(vertex.op()),
        };
        Step { info, state: State::Cached, began: None, ended: None, why: String::new(), message: String::new() }
    };
    order.iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_leave_their_element() {
        assert_eq!(inert("\"</script><!--&\""), "\"\\u003c/script\\u003e\\u003c!--\\u0026\"");
        assert!(PAGE.contains("{{DATA}}"));
        assert!(
            !PAGE.contains("http://")
                || PAGE.matches("http://").count() == PAGE.matches("http://www.w3.org/2000/svg").count()
        );
        assert!(!PAGE.contains("https://"));
    }
}
