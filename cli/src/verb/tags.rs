//! `estiba tags`.

use oci::{Reference, Tag};
use remote::Repository;
use serde_json::json;

use crate::context::Context;
use crate::error::{Error, Result, code};
use crate::wire::{self, WireArgs};
use crate::{place, ui};

const EXAMPLES: &str = "\
Examples:
  estiba tags debian
  estiba tags localhost:5000/app
  estiba tags --limit 10 --last 1.9 registry.example.com/team/app
  estiba tags --json app | jq -r '.tags[]'

A registry sorts them by letters, not by age.";

/// Arguments of `estiba tags`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The repository
    #[arg(value_name = "REPOSITORY")]
    repository: String,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// Those after this one
    #[arg(long, value_name = "TAG")]
    last: Option<Tag>,
    /// One JSON object: the repository's name, and its tags
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wire: WireArgs,
}

/// Runs the verb.
pub(super) fn run(args: Args, _: &Context) -> Result<u8> {
    let reference = repository(&args.repository)?;
    let client = wire::client(&args.wire.setup_for(&reference.to_string())?)?;
    let tags = wire::alone(async {
        let repository = client.route(&reference)?.target().clone();
        match list(&repository, args.limit, args.last.as_ref()).await {
            Err(error) if error.is_not_found() => Err(Error::from(error).hint(unknown(&reference))),
            other => Ok(other?),
        }
    })??;
    if args.json {
        let listed = json!({"name": reference.familiar_name(), "tags": tags});
        ui::out(&format!("{}\n", serde_json::to_string(&listed)?))?;
        return Ok(0);
    }
    ui::out(&tags.iter().map(|tag| format!("{tag}\n")).collect::<String>())?;
    Ok(0)
}

fn unknown(reference: &Reference) -> String {
    format!(
        "is `{}` the right name? A private repository shows itself after `estiba login {}`",
        reference.familiar_name(),
        reference.registry()
    )
}

/// The name of a repository, which has neither tag nor digest.
fn repository(text: &str) -> Result<Reference> {
    let reference = place::reference(text, "tags")?;
    let bare = text.strip_prefix("docker://").unwrap_or(text);
    let has_tag = bare.rsplit_once(':').is_some_and(|(_, tag)| !tag.contains('/') && bare.contains('/'))
        || bare.split(':').count() == 2 && !bare.contains('/');
    if reference.digest().is_some() || has_tag {
        let name = reference.familiar_name();
        return Err(Error::usage(format!("`{text}` is one image: tags are listed of a repository"))
            .hint(format!("`estiba tags {name}`"))
            .code(code::USAGE));
    }
    Ok(reference)
}

/// Page by page, until there are as many as are wanted.
async fn list(repository: &Repository, limit: Option<usize>, last: Option<&Tag>) -> remote::Result<Vec<Tag>> {
    let (None, None) = (limit, last) else {
        let wanted = limit.unwrap_or(usize::MAX);
        let mut page = repository.tags(limit, last).await?;
        let mut tags = std::mem::take(&mut page.tags);
        while let Some(next) = page.next.take().filter(|_| tags.len() < wanted) {
            page = repository.tags_at(next).await?;
            tags.append(&mut page.tags);
        }
        // Registries that know no `last` send those before it, too.
        if let Some(last) = last {
            tags.retain(|tag| tag > last);
        }
        tags.truncate(wanted);
        return Ok(tags);
    };
    repository.all_tags().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_no_tag() {
        for (text, expected) in [
            ("app", Some("app")),
            ("localhost:5000/app", Some("localhost:5000/app")),
            ("docker://team/app", Some("team/app")),
            ("app:1", None),
            ("localhost:5000/app:1", None),
            ("oci:dir", None),
        ] {
            assert_eq!(repository(text).ok().map(|name| name.familiar_name()).as_deref(), expected, "{text}");
        }
    }
}
