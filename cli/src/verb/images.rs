//! `estiba images`.

use serde_json::{Map, Value, json};
use store::Store;

use crate::context::Context;
use crate::duration;
use crate::error::{Error, Result};
use crate::image::{self, Named, familiar};
use crate::ui::{self, table::Table};

const EXAMPLES: &str = "\
Examples:
  estiba images
  estiba images 'app*'
  estiba images --format '{{.Repository}}:{{.Tag}} {{.Size}}'
  estiba images --format 'table {{.ID}}\\t{{.CreatedSince}}'
  estiba images -q --filter dangling=true";

/// Arguments of `estiba images`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Only images of this repository (`*` and `?` match), or of this name and tag
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
    /// Also images without a name
    #[arg(short, long)]
    all: bool,
    /// Show the digests of manifests
    #[arg(long)]
    digests: bool,
    /// Only images that match: dangling=true|false, reference=PATTERN, label=KEY[=VALUE], before=IMAGE, since=IMAGE,
    /// until=TIME
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Print by a Go template, `table TEMPLATE`, or as `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Show ids only
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let store = context.existing_store()?;
    let filters = args.filter.iter().map(|text| Filter::parse(text, store.as_ref())).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    if let Some(store) = store {
        for named in image::all(&store)? {
            rows.extend(rows_of(&store, &named, &args, &filters)?);
        }
    }
    if args.quiet {
        let mut ids: Vec<_> = rows.iter().map(|row| row["ID"].as_str().unwrap_or_default().to_owned() + "\n").collect();
        ids.dedup();
        ui::out(&ids.concat())?;
        return Ok(0);
    }
    let mut columns = vec![
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("ID", "IMAGE ID"),
        ("CreatedSince", "CREATED"),
        ("Size", "SIZE"),
    ];
    if args.digests {
        columns.insert(2, ("Digest", "DIGEST"));
    }
    let table = Table { columns, extra_headings: vec![("CreatedAt", "CREATED AT"), ("Digest", "DIGEST")], rows };
    ui::out(&table.render(args.format.as_deref())?)?;
    Ok(0)
}

fn rows_of(store: &Store, named: &Named, args: &Args, filters: &[Filter]) -> Result<Vec<Map<String, Value>>> {
    let size = named.image.size(store)?;
    let mut names: Vec<Option<oci::Reference>> = named.rows.iter().map(|row| familiar(&row.name)).collect();
    // A name is enough: the row that kept the image before it was named is not shown.
    if names.iter().any(Option::is_some) {
        names.retain(Option::is_some);
    }
    let wanted = |name: &Option<oci::Reference>| {
        let by_name =
            args.name.as_deref().is_none_or(|pattern| name.as_ref().is_some_and(|name| matches_name(pattern, name)));
        by_name && filters.iter().all(|filter| filter.accepts(named, name.as_ref()))
    };
    Ok(names.iter().filter(|name| wanted(name)).map(|name| row(named, name.as_ref(), size, args.no_trunc)).collect())
}

fn row(named: &Named, name: Option<&oci::Reference>, size: u64, whole: bool) -> Map<String, Value> {
    let created = image::created(&named.image);
    let id = named.image.id();
    let none = || "<none>".to_owned();
    let shown = json!({
        "Containers": "N/A",
        "CreatedAt": duration::moment(created),
        "CreatedSince": duration::ago(duration::now() - created),
        "Digest": named.image.manifest.digest().to_string(),
        "ID": if whole { id.to_string() } else { id.hex()[..12].to_owned() },
        "Repository": name.map_or_else(none, oci::Reference::familiar_name),
        "SharedSize": "N/A",
        "Size": duration::size(size),
        "Tag": name.and_then(|name| name.tag()).map_or_else(none, |tag| tag.as_str().to_owned()),
        "UniqueSize": "N/A",
        "VirtualSize": duration::size(size),
    });
    match shown {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Whether a pattern such as `app`, `app:1` or `team/*` means this name.
fn matches_name(pattern: &str, name: &oci::Reference) -> bool {
    let matches = |pattern: &str, text: &str| graph::pattern::go_match(pattern, text).unwrap_or(false);
    let tag = name.tag().map(|tag| tag.as_str()).unwrap_or_default();
    let names = [name.familiar_name(), name.name()];
    names.iter().any(|name| matches(pattern, name) || matches(pattern, &format!("{name}:{tag}")))
}

/// One `--filter`.
enum Filter {
    Dangling(bool),
    Reference(String),
    Label(String, Option<String>),
    /// Made before a moment, in seconds since 1970.
    Before(i64),
    /// Made after it.
    Since(i64),
}

const FILTERS: &str =
    "there are dangling=true|false, reference=PATTERN, label=KEY[=VALUE], before=IMAGE, since=IMAGE and until=TIME";

impl Filter {
    fn parse(text: &str, store: Option<&Store>) -> Result<Self> {
        let made = |name: &str| match store {
            Some(store) => Ok(image::created(&image::find(store, name, None)?.0)),
            None => Err(image::missing_without_store(name)),
        };
        match text.split_once('=') {
            Some(("dangling", "true" | "1")) => Ok(Self::Dangling(true)),
            Some(("dangling", "false" | "0")) => Ok(Self::Dangling(false)),
            Some(("reference", pattern)) => Ok(Self::Reference(pattern.to_owned())),
            Some(("label", label)) => Ok(match label.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(label.to_owned(), None),
            }),
            Some(("before", name)) => Ok(Self::Before(made(name)?)),
            Some(("since" | "after", name)) => Ok(Self::Since(made(name)?)),
            Some(("until", time)) => Ok(Self::Before(moment(time).ok_or_else(|| {
                Error::usage(format!("--filter {text}: `{time}` is not a time such as 24h or 2026-01-31T10:00:00Z"))
            })?)),
            Some(("dangling", other)) => {
                Err(Error::usage(format!("--filter {text}: `{other}` is neither true nor false")))
            }
            _ => Err(Error::usage(format!("--filter {text}: unknown filter")).hint(FILTERS)),
        }
    }

    fn accepts(&self, named: &Named, name: Option<&oci::Reference>) -> bool {
        match self {
            Self::Dangling(wanted) => name.is_none() == *wanted,
            Self::Reference(pattern) => name.is_some_and(|name| matches_name(pattern, name)),
            Self::Label(key, value) => {
                let own = named.image.config.value().config.labels.get(key);
                own.is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
            }
            Self::Before(moment) => image::created(&named.image) < *moment,
            Self::Since(moment) => image::created(&named.image) > *moment,
        }
    }
}

/// A span before now, a day, or a moment.
fn moment(text: &str) -> Option<i64> {
    if let Some(span) = duration::parse(text) {
        return Some(duration::now() - i64::try_from(span.as_secs()).ok()?);
    }
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    text.parse::<i64>().ok().or_else(|| Some(whole.parse::<jiff::Timestamp>().ok()?.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_docker_matches_them() {
        let app: oci::Reference = "team/app:1".parse().unwrap();
        for (pattern, expected) in [
            ("team/app", true),
            ("team/app:1", true),
            ("team/*", true),
            ("app", false),
            ("team/app:2", false),
            ("docker.io/team/app", true),
        ] {
            assert_eq!(matches_name(pattern, &app), expected, "{pattern}");
        }
    }
}
