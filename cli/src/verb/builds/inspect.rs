//! `estiba builds inspect`.

use serde_json::{Value, json};

use super::ls::took;
use crate::context::Context;
use crate::error::Result;
use crate::record::{self, Line, Step};
use crate::ui::{self, style};

/// Arguments of `estiba builds inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The build: its id, the beginning of it, or `latest`
    #[arg(value_name = "BUILD", default_value = "latest")]
    build: String,
    /// `json` or a Go template
    #[arg(short, long, value_name = "FORM")]
    format: Option<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let layout = store::Layout::new(context.root()?);
    let line = record::find(&layout, &args.build)?;
    let steps = record::steps(&layout, &line.id)?;
    match &args.format {
        Some(format) => ui::out(&ui::object(format, &object(&line, &steps)?)?)?,
        None => ui::out(&in_words(&line, &steps))?,
    }
    Ok(0)
}

fn object(line: &Line, steps: &[Step]) -> Result<Value> {
    let mut all = serde_json::to_value(line)?;
    let vertex = |step: &Step| {
        json!({
            "number": step.number(), "name": step.info.name, "kind": step.info.kind, "stage": step.info.stage,
            "state": step.state.word(), "began": step.began, "ended": step.ended, "took": step.took(),
            "why": step.why, "message": step.message, "inputs": step.info.inputs.iter().map(|input| input.0 + 1).collect::<Vec<_>>(),
        })
    };
    all["vertices"] = steps.iter().map(vertex).collect();
    Ok(all)
}

fn in_words(line: &Line, steps: &[Step]) -> String {
    let mut out = format!("build    {}\noutcome  {}\ntook     {}\n", line.id, line.outcome.word(), took(line.took));
    let facts = [
        ("file", line.subject.file.clone()),
        ("context", line.subject.context.clone()),
        ("target", line.subject.target.clone().unwrap_or_default()),
        ("names", line.tags.join(" ")),
        ("image", line.image.clone().unwrap_or_default()),
        ("failed", line.failed.clone().unwrap_or_default()),
    ];
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        out.push_str(&format!("{name:8} {}\n", style::harmless(&value)));
    }
    if steps.is_empty() {
        let why = if line.outcome == record::Outcome::Cached {
            "every step was in the cache"
        } else {
            "the steps are not recorded"
        };
        out.push_str(&format!("\n{why}\n"));
        return out;
    }
    out.push('\n');
    for step in steps {
        let time = step.took().map(took).unwrap_or_default();
        out.push_str(&format!(
            "{:>4}  {:10}  {time:>8}  {}\n",
            format!("#{}", step.number()),
            step.state.word(),
            style::harmless(&step.info.name)
        ));
        for said in [&step.why, &step.message].into_iter().filter(|said| !said.is_empty()) {
            out.push_str(&format!("      {}\n", style::dim(&style::harmless(said))));
        }
    }
    out
}
