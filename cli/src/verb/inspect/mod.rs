//! `estiba inspect`.

mod container;
mod host;
mod image;

use containers::{Containers, ContainersError};
use serde::Serialize;
use serde_json::Value;
use store::Store;

use crate::context::Context;
use crate::error::{Error, Result, code};
use crate::ui;
use crate::verb::ps::Sizes;

const EXAMPLES: &str = "\
Examples:
  estiba inspect web
  estiba inspect -f '{{.State.Status}} {{.State.ExitCode}}' web
  estiba inspect -f '{{json .Config.Env}}' app
  estiba inspect --type image app
  estiba inspect -f '{{index .Config.Labels \"org.opencontainers.image.version\"}}' app";

/// Arguments of `estiba inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Names or ids of containers or images
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Print by a Go template, or as `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// The platform, where an image has several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<oci::Platform>,
    /// What is meant: container or image
    #[arg(long, value_name = "KIND")]
    r#type: Option<String>,
    /// Also how much containers wrote
    #[arg(short, long)]
    size: bool,
}

/// What a name may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Container,
    Image,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let kind = match args.r#type.as_deref() {
        None | Some("") => Kind::Any,
        Some("container") => Kind::Container,
        Some("image") => Kind::Image,
        Some(other) => {
            return Err(Error::usage(format!("--type {other}: expected container or image"))
                .hint("volumes and networks have an inspect of their own: `estiba volume inspect`"));
        }
    };
    let mut asked = Asked { args: &args, context, store: None };
    let mut found = Vec::new();
    let mut exit = 0;
    for name in &args.names {
        match asked.find(kind, name) {
            Ok(inspected) => found.push(inspected),
            Err(error) => {
                error.report();
                exit = code::FAILED;
            }
        }
    }
    show(&found, args.format.as_deref())?;
    Ok(exit)
}

/// One of them, in docker's order of fields.
#[derive(Serialize)]
#[serde(untagged)]
enum Inspected {
    Image(Box<image::Inspected>),
    Container(Box<container::Inspected>),
}

struct Asked<'a> {
    args: &'a Args,
    context: &'a Context,
    /// Opened for the first image.
    store: Option<Option<Store>>,
}

impl Asked<'_> {
    fn find(&mut self, kind: Kind, name: &str) -> Result<Inspected> {
        if kind != Kind::Image {
            match self.container(name) {
                Err(ContainersError::NoSuch(_)) if kind == Kind::Any => {}
                Err(error) => return Err(error.into()),
                Ok(inspected) => return inspected,
            }
        }
        self.image(name)
    }

    fn container(&self, name: &str) -> Result<Result<Inspected>, ContainersError> {
        let root = match self.context.root() {
            Ok(root) => root,
            Err(error) => return Ok(Err(error)),
        };
        let containers = Containers::new(&store::Layout::new(root));
        let container = containers.find(name)?;
        let volumes = containers.layout().volumes();
        let sizes = if self.args.size { Sizes::new(self.context).map(Some) } else { Ok(None) };
        Ok(sizes
            .and_then(|sizes| container::Inspected::new(&container, &volumes, sizes.as_ref()))
            .map(|one| Inspected::Container(Box::new(one))))
    }

    fn image(&mut self, name: &str) -> Result<Inspected> {
        if self.store.is_none() {
            self.store = Some(self.context.existing_store()?);
        }
        match self.store.as_ref().and_then(Option::as_ref) {
            Some(store) => {
                let (image, _) = crate::image::find(store, name, self.args.platform.as_ref())?;
                Ok(Inspected::Image(Box::new(image::Inspected::new(store, &image)?)))
            }
            None => Err(crate::image::missing_without_store(name)),
        }
    }
}

fn show(found: &[Inspected], format: Option<&str>) -> Result {
    match format {
        None => {
            let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            let mut out = Vec::new();
            found.serialize(&mut serde_json::Serializer::with_formatter(&mut out, indent))?;
            ui::out(&format!("{}\n", String::from_utf8_lossy(&out)))?;
        }
        Some("json") => ui::out(&format!("{}\n", serde_json::to_string(found)?))?,
        Some(format) => {
            for one in found {
                ui::out(&ui::object(format, &serde_json::to_value(one)?)?)?;
            }
        }
    }
    Ok(())
}

/// A moment as docker writes it: what never was is Go's year 1.
fn moment(moment: containers::time::Moment) -> String {
    if moment.is_never() {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    jiff::Timestamp::from_nanosecond(moment.0.into()).map_or_else(|_| String::new(), |time| time.to_string())
}

/// A list, or nothing where it is empty, as Go writes slices that were never made.
fn list(items: Vec<Value>) -> Value {
    if items.is_empty() { Value::Null } else { Value::Array(items) }
}
