//! `estiba ps`.
//!
//! It reads the containers' folders and nothing else: no index, no namespace. Only sizes, and the filter by ancestor, look into
//! the store.

mod filter;
mod pattern;
mod ports;
mod row;
mod size;

use containers::time::Moment;
use containers::{Container, Containers};
use serde_json::{Map, Value};

use crate::chosen;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;
use crate::ui::table::{Column, Table};

use filter::Filters;
pub(in crate::verb) use row::networks;
pub(in crate::verb) use size::Sizes;

const EXAMPLES: &str = "\
Examples:
  estiba ps
  estiba ps -a --filter status=exited --filter exited=1
  estiba ps -q --filter label=app=web
  estiba ps --format '{{.Names}}: {{.Status}}'
  estiba ps --format 'table {{.ID}}\\t{{.Ports}}'";

/// Arguments of `estiba ps`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// Only containers that match: id, name, label, status, health, ancestor, volume, network, exited, since, before,
    /// publish, expose
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Print by a Go template, `table TEMPLATE`, or as `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// The last N that were made, whatever they do
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    last: Option<i64>,
    /// The last that was made, whatever it does
    #[arg(short, long)]
    latest: bool,
    /// Show whole ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Show ids only
    #[arg(short, long)]
    quiet: bool,
    /// Show how much each wrote
    #[arg(short, long)]
    size: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let containers = Containers::new(&store::Layout::new(context.root()?));
    let filters = Filters::parse(&args.filter, &containers, context)?;
    let last = args.last.filter(|last| *last >= 0).or_else(|| args.latest.then_some(1));
    // As docker has it: who asks for states, or for the last ones, means all of these.
    let everything = args.all || last.is_some() || filters.name_states();
    let wanted = |container: &Container| (everything || row::is_up(container)) && filters.accept(container);
    let last = last.map_or(usize::MAX, |last| usize::try_from(last).unwrap_or(usize::MAX));
    let (out, unread) = if args.quiet && args.format.is_none() {
        let (ids, unread) = containers.each(|container| wanted(container).then(|| id(container, args.no_trunc)))?;
        (ids.into_iter().take(last).collect(), unread)
    } else {
        let look = Look::new(&args, context)?;
        let (rows, unread) = containers.each(|container| wanted(container).then(|| look.row(container)))?;
        (look.table(rows.into_iter().take(last).collect())?, unread)
    };
    unread.iter().for_each(|(id, why)| chosen::note_unreadable(id, why));
    ui::out(&out)?;
    Ok(0)
}

fn id(container: &Container, whole: bool) -> String {
    let id = &container.config.id;
    format!("{}\n", if whole { id.as_str() } else { id.short() })
}

/// How the list shall look.
struct Look<'a> {
    args: &'a Args,
    sizes: Option<Sizes>,
    now: Moment,
    columns: Vec<Column>,
}

impl<'a> Look<'a> {
    fn new(args: &'a Args, context: &Context) -> Result<Self> {
        let needs_size = args.size || args.format.as_deref().is_some_and(|format| format.contains(".Size"));
        let mut columns = vec![
            ("ID", "CONTAINER ID"),
            ("Image", "IMAGE"),
            ("Command", "COMMAND"),
            ("RunningFor", "CREATED"),
            ("Status", "STATUS"),
            ("Ports", "PORTS"),
            ("Names", "NAMES"),
        ];
        if args.size {
            columns.push(("Size", "SIZE"));
        }
        let sizes = needs_size.then(|| Sizes::new(context)).transpose()?;
        Ok(Self { args, sizes, now: Moment::now(), columns })
    }

    /// What is shown of a container: a template may want anything.
    fn row(&self, container: &Container) -> Map<String, Value> {
        let cell = |name: &str| row::cell(name, container, self.now, self.args.no_trunc, self.sizes.as_ref());
        match self.args.format {
            Some(_) => row::FIELDS.iter().map(|name| ((*name).to_owned(), cell(name))).collect(),
            None => self.columns.iter().map(|(name, _)| ((*name).to_owned(), cell(name))).collect(),
        }
    }

    fn table(self, rows: Vec<Map<String, Value>>) -> Result<String> {
        let extra_headings = vec![
            ("CreatedAt", "CREATED AT"),
            ("HealthStatus", "HEALTH STATUS"),
            ("LocalVolumes", "LOCAL VOLUMES"),
            ("Size", "SIZE"),
        ];
        Table { columns: self.columns, extra_headings, rows }.render(self.args.format.as_deref())
    }
}

/// The error of a filter that there is not.
fn unknown_filter(text: &str) -> Error {
    Error::usage(format!("--filter {text}: unknown filter")).hint(filter::KNOWN)
}
