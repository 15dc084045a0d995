//! `estiba container prune`.

use std::io::{IsTerminal as _, Write as _};

use containers::Container;

use crate::chosen;
use crate::context::Context;
use crate::duration;
use crate::error::{Error, Result};
use crate::verb::rm;

/// Arguments of `estiba container prune`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those: until=AGE (made before), label=NAME[=VALUE], label!=NAME[=VALUE]
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let filters = args.filters.iter().map(|filter| Filter::parse(filter)).collect::<Result<Vec<_>>>()?;
    if !args.force && !confirmed()? {
        return Ok(0);
    }
    let containers = chosen::containers(context)?;
    let mut ones = containers.list()?;
    ones.retain(|container| filters.iter().all(|filter| filter.matches(container)));
    rm::prune(&containers, ones)
}

fn confirmed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage("nobody is there to answer").hint("--force does not ask"));
    }
    crate::ui::err("This removes all containers that have ended. Go on? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// What goes must have it.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    /// Made before this moment, in seconds since 1970.
    Until(i64),
    /// A label, with this value where one is given; or, not.
    Label { name: String, value: Option<String>, wanted: bool },
}

impl Filter {
    fn parse(written: &str) -> Result<Self> {
        let bad = || Error::usage(format!("--filter {written}: expected until=AGE, label=NAME[=VALUE] or label!=…"));
        let (key, value) = written.split_once('=').ok_or_else(bad)?;
        match key {
            "until" => {
                let age = duration::parse(value)
                    .ok_or_else(|| Error::usage(format!("--filter {written}: {value:?} is not an age such as 24h")))?;
                Ok(Self::Until(duration::now() - i64::try_from(age.as_secs()).unwrap_or(i64::MAX)))
            }
            "label" | "label!" => {
                let (name, value) = value.split_once('=').map_or((value, None), |(name, value)| (name, Some(value)));
                Ok(Self::Label { name: name.to_owned(), value: value.map(str::to_owned), wanted: key == "label" })
            }
            _ => Err(bad()),
        }
    }

    fn matches(&self, container: &Container) -> bool {
        match self {
            Self::Until(moment) => {
                i64::try_from(container.config.created.0 / 1_000_000_000).unwrap_or(i64::MAX) <= *moment
            }
            Self::Label { name, value, wanted } => {
                let own = container.config.life.labels.get(name);
                own.is_some_and(|own| value.as_ref().is_none_or(|value| value == own)) == *wanted
            }
        }
    }
}
