//! `estiba network ls`.

use containers::network::definition::{Definition, short};
use serde_json::{Map, Value, json};

use super::{DRIVER, Filter, created, leases, networks};
use crate::context::Context;
use crate::error::Result;
use crate::ui::{self, table::Table};

/// Arguments of `estiba network ls`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only networks that match: dangling=true|false, driver=, id=, label=KEY[=VALUE], name=PART, type=custom
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
    let filters = args.filter.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>>>()?;
    let leases = leases(context)?;
    let mut found = networks(context)?.list()?;
    found.retain(|network| filters.iter().all(|filter| filter.accepts(network, &leases)));
    let id = |network: &Definition| if args.no_trunc { network.id.to_string() } else { short(&network.id).to_owned() };
    if args.quiet {
        ui::out(&found.iter().map(|network| id(network) + "\n").collect::<String>())?;
        return Ok(0);
    }
    let row = |network: &Definition| {
        let labels: Vec<_> = network.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        match json!({
            "CreatedAt": created(network).to_string(),
            "Driver": DRIVER,
            "ID": id(network),
            "IPv4": network.subnets.iter().any(|subnet| subnet.gateway.is_ipv4()).to_string(),
            "IPv6": network.subnets.iter().any(|subnet| subnet.gateway.is_ipv6()).to_string(),
            "Internal": network.internal.to_string(),
            "Labels": labels.join(","),
            "Name": network.name,
            "Scope": "local",
        }) {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    };
    let columns = vec![("ID", "NETWORK ID"), ("Name", "NAME"), ("Driver", "DRIVER"), ("Scope", "SCOPE")];
    let extra_headings =
        vec![("CreatedAt", "CREATED AT"), ("Internal", "INTERNAL"), ("IPv6", "IPV6"), ("Labels", "LABELS")];
    let table = Table { columns, extra_headings, rows: found.iter().map(row).collect() };
    ui::out(&table.render(args.format.as_deref())?)?;
    Ok(0)
}
