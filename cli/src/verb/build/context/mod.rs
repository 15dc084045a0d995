//! What a build reads: its main context and the named ones, with their ignore rules.

pub(crate) mod ignoring;
mod named;
mod origin;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use builder::{Image, LocalContext};
use frontend::NamedContext;
use graph::pattern::IgnoreRules;
use graph::{Graph, Op, Source as GraphSource};

use self::named::{Place, named};
pub(super) use self::origin::{Main, Origin};
use super::Args;
use super::dockerfile::Source;
use crate::error::{Error, Result, While};
use crate::resolve::Resolver;

/// What is built, and what COPY and FROM may read.
#[derive(Debug, clap::Args)]
pub(super) struct ContextArgs {
    /// What COPY and ADD read: a folder, a git repository, the address of a tar, or `-` for a tar or a Dockerfile on standard
    /// input
    #[arg(value_name = "CONTEXT")]
    pub(super) context: String,
    /// The Dockerfile [default: CONTEXT/Dockerfile]; `-` reads standard input; of a context that is no folder, a path in it
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Another place for COPY --from, FROM and mounts: a path, docker-image://NAME, oci-layout://DIR, a git repository, or a
    /// file's address
    #[arg(long = "build-context", value_name = "NAME=PLACE")]
    pub(super) build_contexts: Vec<String>,
    /// The ignore file of CONTEXT [default: that beside the Dockerfile, else CONTEXT/.dockerignore]
    #[arg(long, value_name = "FILE")]
    pub(super) ignorefile: Option<PathBuf>,
}

/// The main context's name in the graph.
const MAIN: &str = "context";

/// Every folder that the graph reads of those that the arguments name. What is elsewhere is fetched.
pub(super) fn all(
    args: &Args,
    source: &Source,
    (graph, images): (&Graph, &[Image]),
    resolver: &mut Resolver<'_>,
) -> Result<Vec<LocalContext>> {
    let mut contexts = vec![main(args, source)?];
    let used = names(graph, images);
    for (name, place) in named(args)? {
        let (dir, rules) = match place {
            Place::Image(_) => continue,
            // A folder that nothing reads may be wrong and do no harm, and nothing is fetched for it.
            Place::Git(_) | Place::Web(_) if !used.contains(&name.as_str()) => continue,
            Place::Folder(dir) => {
                let rules = ignoring::of_folder(&dir)?;
                (dir, rules)
            }
            Place::Git(url) => (resolver.checkout_of(&url, false)?, IgnoreRules::none()),
            Place::Web(url) => {
                (resolver.file_of(&url, &frontend::instruction::add::file_name(&url))?, IgnoreRules::none())
            }
        };
        contexts.push(LocalContext { name, dir: absolute(&dir)?, rules });
    }
    Ok(contexts)
}

/// The names of contexts that the images need.
fn names<'g>(graph: &'g Graph, images: &[Image]) -> Vec<&'g str> {
    let roots: Vec<_> = images.iter().map(|image| image.root).collect();
    let name = |edge| match graph.vertex(edge).op() {
        Op::Source(GraphSource::Local { name }) => Some(name.as_str()),
        _ => None,
    };
    graph.reachable(&roots).into_iter().filter_map(name).collect()
}

/// What is left out of the main context.
pub(super) fn ignored(args: &Args, source: &Source) -> Result<IgnoreRules> {
    match source.context {
        Some(_) => Ok(main(args, source)?.rules),
        None => Ok(IgnoreRules::none()),
    }
}

fn main(args: &Args, source: &Source) -> Result<LocalContext> {
    let Some(dir) = &source.context else {
        // No context: the root folder with everything left out is empty wherever we are.
        let rules = IgnoreRules::parse("**")?;
        return Ok(LocalContext { name: MAIN.to_owned(), dir: PathBuf::from("/"), rules });
    };
    let found = ignoring::of_main(dir, source.path.as_deref(), args.context.ignorefile.as_deref(), source.foreign)?;
    let rules = found.map(|found| found.rules).unwrap_or_default();
    Ok(LocalContext { name: MAIN.to_owned(), dir: absolute(dir)?, rules })
}

fn absolute(dir: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(dir).during(format!("context {}", dir.display()))
}

/// The time of the newest file of the main context, in seconds since 1970: what `SOURCE_DATE_EPOCH=context` means. For a git
/// context it is the commit's.
pub(super) fn newest(contexts: &[LocalContext]) -> Result<i64> {
    let Some(main) = contexts.iter().find(|context| context.name == MAIN) else { return Ok(0) };
    let newest = builder::context::newest(main).during(format!("context {}", main.dir.display()))?;
    newest.ok_or_else(|| Error::failed("SOURCE_DATE_EPOCH=context: the build context has no file").hint("give seconds"))
}

/// The same, as the frontend wants to know it.
pub(super) fn for_frontend(args: &Args) -> Result<BTreeMap<String, NamedContext>> {
    let named = named(args)?.into_iter().map(|(name, place)| match place {
        Place::Folder(_) | Place::Git(_) | Place::Web(_) => (name, NamedContext::Directory),
        Place::Image(reference) => (name, NamedContext::Image(reference)),
    });
    Ok(named.collect())
}
