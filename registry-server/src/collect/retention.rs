//! Retention: which tags go by themselves, and when.
//!
//! A rule speaks for the repositories that its patterns match, and the first rule that matches a repository speaks
//! alone. A tag stays if anything keeps it: a pattern of `keep_matching`, its being among the newest `keep_last`, or its age.
//! Immutable tags always stay. Only tags go; what they named goes with the next collection, if nothing else holds it.
//!
//! Tags that belong to an image, as cosign names them (`sha256-<hex>.sig`), stay as long as the image is there, and never
//! count among the newest.

use oci::{Digest, RepositoryName, Tag};
use serde::{Deserialize, Serialize};

use crate::auth::policy::Pattern;
use crate::config::{Complaints, Duration};
use crate::metadata::{Metadata, Page, Result, TagRow};
use crate::time::Instant;

/// Tags read, and at most deleted, at once.
const STEP: usize = 1000;

/// `[[retention]]`: one rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What histories call it: `retention:NAME`. Without a name it is called by its number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Patterns of the repositories it speaks for: `*` within a segment of the name, `**` across.
    pub repositories: Vec<String>,
    /// So many of the newest tags stay. Those that `keep_matching` keeps do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<usize>,
    /// Tags that match one of these patterns stay.
    #[serde(default)]
    pub keep_matching: Vec<String>,
    /// Only tags that were last moved longer ago go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<Duration>,
}

/// The rules of a configuration, in order.
pub fn validate(rules: &[Rule], wrong: &mut Complaints) {
    for (number, rule) in rules.iter().enumerate() {
        let mut patterns = |field: &str, patterns: &[String]| {
            for (at, pattern) in patterns.iter().enumerate() {
                if let Err(error) = Pattern::parse(pattern) {
                    wrong.about(&format!("{number}.{field}.{at}"), error.to_string());
                }
            }
        };
        patterns("repositories", &rule.repositories);
        patterns("keep_matching", &rule.keep_matching);
        if rule.repositories.is_empty() {
            wrong.about(&format!("{number}.repositories"), "a rule needs a pattern; `**` is every repository");
        }
        if rule.keep_last.is_none() && rule.older_than.is_none() {
            let message = "a rule needs keep_last or older_than: without both, every tag would go at once";
            wrong.about(&format!("{number}.keep_last"), message);
        }
    }
}

/// Compiled rules.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Compiled>);

#[derive(Debug, Clone)]
struct Compiled {
    name: String,
    repositories: Vec<Pattern>,
    keep_last: usize,
    keep_matching: Vec<Pattern>,
    older_than: std::time::Duration,
}

impl Rules {
    /// Compiles rules; `None` where a pattern is none, which [`validate`] says better.
    pub fn new(rules: &[Rule]) -> Option<Self> {
        let patterns =
            |texts: &[String]| texts.iter().map(|text| Pattern::parse(text).ok()).collect::<Option<Vec<_>>>();
        let compile = |(number, rule): (usize, &Rule)| {
            Some(Compiled {
                name: rule.name.clone().unwrap_or_else(|| (number + 1).to_string()),
                repositories: patterns(&rule.repositories)?,
                keep_last: rule.keep_last.unwrap_or_default(),
                keep_matching: patterns(&rule.keep_matching)?,
                older_than: rule.older_than.map(Duration::get).unwrap_or_default(),
            })
        };
        rules.iter().enumerate().map(compile).collect::<Option<_>>().map(Self)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, repository: &RepositoryName) -> Option<&Compiled> {
        self.0.iter().find(|rule| rule.repositories.iter().any(|pattern| pattern.matches(repository.as_str(), None)))
    }
}

/// A tag as the decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its row.
    pub row: TagRow,
    /// Whether it may not go at all.
    pub immutable: bool,
    /// Whether it belongs to an image that is there.
    pub attached: bool,
}

/// A tag that goes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Deletion {
    /// Where.
    pub repository: RepositoryName,
    /// Which.
    pub tag: Tag,
    /// What it names.
    pub digest: Digest,
    /// The rule's name.
    pub rule: String,
    /// In words: what does not keep it.
    pub why: String,
}

/// Decides which tags of a repository go.
pub fn plan(rules: &Rules, repository: &RepositoryName, mut tags: Vec<Candidate>, now: Instant) -> Vec<Deletion> {
    let Some(rule) = rules.of(repository) else { return Vec::new() };
    tags.retain(|tag| {
        let kept = || rule.keep_matching.iter().any(|pattern| pattern.matches(tag.row.tag.as_str(), None));
        !tag.immutable && !tag.attached && !kept()
    });
    // Newest first; of one moment the greater name, so that one answer is as good as the next.
    tags.sort_by(|a, b| b.row.updated.cmp(&a.row.updated).then_with(|| b.row.tag.cmp(&a.row.tag)));
    // What once belonged to an image never counts among the newest.
    let (orphans, own): (Vec<_>, Vec<_>) = tags.into_iter().partition(|tag| subject(&tag.row.tag).is_some());
    let cutoff = now.before(rule.older_than);
    let going = own.into_iter().skip(rule.keep_last).chain(orphans);
    going
        .filter(|tag| tag.row.updated < cutoff || rule.older_than.is_zero())
        .map(|tag| Deletion {
            repository: repository.clone(),
            why: why(rule),
            rule: rule.name.clone(),
            tag: tag.row.tag,
            digest: tag.row.digest,
        })
        .collect()
}

fn why(rule: &Compiled) -> String {
    let mut reasons = Vec::new();
    if rule.keep_last > 0 {
        reasons.push(format!("not among the newest {}", rule.keep_last));
    }
    if !rule.older_than.is_zero() {
        reasons.push(format!("older than {}", Duration(rule.older_than)));
    }
    if !rule.keep_matching.is_empty() {
        reasons.push("matches nothing that stays".to_owned());
    }
    reasons.join(", ")
}

/// The image that a tag belongs to by its name: `sha256-<hex>` with whatever ending.
fn subject(tag: &Tag) -> Option<Digest> {
    let (algorithm, rest) = tag.as_str().split_once('-')?;
    let hex = rest.split('.').next()?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// Says what the rules would delete now, repository by repository.
///
/// # Errors
/// When the metadata or `each` fails.
pub fn decide(
    metadata: &dyn Metadata,
    rules: &Rules,
    immutable: &dyn Fn(&RepositoryName, &Tag) -> bool,
    now: Instant,
    each: &mut dyn FnMut(Vec<Deletion>) -> Result<()>,
) -> Result<()> {
    let mut after: Option<RepositoryName> = None;
    loop {
        let names = metadata.repositories(Page { after: after.as_ref().map(RepositoryName::as_str), limit: STEP })?;
        for name in names.iter().filter(|name| rules.of(name).is_some()) {
            let deletions = plan(rules, name, candidates(metadata, name, immutable)?, now);
            if !deletions.is_empty() {
                each(deletions)?;
            }
        }
        if names.len() < STEP {
            return Ok(());
        }
        after = names.into_iter().next_back();
    }
}

/// Deletes what the rules say, and gives it. Writers in between are not hindered: a tag that moved since it was looked at stays.
///
/// # Errors
/// When the metadata fails; what was deleted before stays deleted.
pub fn apply(
    metadata: &dyn Metadata,
    rules: &Rules,
    immutable: &dyn Fn(&RepositoryName, &Tag) -> bool,
    now: Instant,
) -> Result<Vec<Deletion>> {
    let mut gone = Vec::new();
    decide(metadata, rules, immutable, now, &mut |deletions| {
        for deletion in deletions {
            let actor = format!("retention:{}", deletion.rule);
            if metadata.delete_tag_of(&deletion.repository, &deletion.tag, &deletion.digest, &actor, now)? {
                gone.push(deletion);
            }
        }
        Ok(())
    })?;
    Ok(gone)
}

fn candidates(
    metadata: &dyn Metadata,
    repository: &RepositoryName,
    immutable: &dyn Fn(&RepositoryName, &Tag) -> bool,
) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    let mut after: Option<Tag> = None;
    loop {
        let rows = metadata.tags(repository, Page { after: after.as_ref().map(Tag::as_str), limit: STEP })?;
        let last = rows.len() < STEP;
        after = rows.last().map(|row| row.tag.clone());
        for row in rows {
            let attached = match subject(&row.tag) {
                Some(digest) => metadata.manifest(repository, &digest)?.is_some(),
                None => false,
            };
            found.push(Candidate { immutable: immutable(repository, &row.tag), attached, row });
        }
        if last {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const NOW: Instant = Instant(1000 * DAY);

    fn rules(text: &str) -> Rules {
        #[derive(Deserialize)]
        struct File {
            retention: Vec<Rule>,
        }
        let file: File = toml::from_str(text).unwrap();
        let mut wrong = Complaints::default();
        validate(&file.retention, &mut wrong);
        assert_eq!(wrong.into_vec(), []);
        Rules::new(&file.retention).unwrap()
    }

    /// `name@days old`, with `!` for immutable and `+` for attached.
    fn tags(text: &str) -> Vec<Candidate> {
        let tag = |word: &str| {
            let (name, age) = word.trim_end_matches(['!', '+']).split_once('@').unwrap();
            let age: i64 = age.parse().unwrap();
            let row = TagRow {
                tag: name.parse().unwrap(),
                digest: Digest::sha256(name.as_bytes()),
                updated: Instant(NOW.0 - age * DAY),
            };
            Candidate { row, immutable: word.ends_with('!'), attached: word.ends_with('+') }
        };
        text.split_whitespace().map(tag).collect()
    }

    fn going(rules: &Rules, repository: &str, text: &str) -> String {
        let deletions = plan(rules, &repository.parse().unwrap(), tags(text), NOW);
        let mut names: Vec<_> = deletions.iter().map(|deletion| deletion.tag.as_str().to_owned()).collect();
        names.sort();
        names.join(" ")
    }

    #[test]
    fn what_goes() {
        let sig = format!("sha256-{}.sig", "a".repeat(64));
        let cases = [
            ("keep_last = 2", "a@1 b@2 c@3 d@4".to_owned(), "c d".to_owned()),
            ("keep_last = 9", "a@1 b@2".to_owned(), String::new()),
            ("keep_last = 0", "a@1".to_owned(), "a".to_owned()),
            ("keep_last = 1", "a@5 b@5 c@5".to_owned(), "a b".to_owned()),
            ("older_than = \"3d\"", "a@1 b@3 c@4".to_owned(), "c".to_owned()),
            ("keep_last = 1\nolder_than = \"3d\"", "a@9 b@8 c@2".to_owned(), "a b".to_owned()),
            ("keep_last = 2\nolder_than = \"3d\"", "a@9 b@8".to_owned(), String::new()),
            ("keep_last = 1\nkeep_matching = [\"v*\", \"latest\"]", "v1@9 latest@8 a@7 b@6".to_owned(), "a".to_owned()),
            ("keep_last = 1", "a@9! b@8! c@7 d@6".to_owned(), "c".to_owned()),
            ("keep_last = 1", format!("a@9 {sig}@1+"), String::new()),
            ("keep_last = 1", format!("a@9 {sig}@1"), sig.clone()),
            ("older_than = \"3d\"", format!("a@1 {sig}@9+ {sig}x@9"), String::new() + &sig + "x"),
        ];
        for (rule, tags, expected) in cases {
            let rules = rules(&format!("[[retention]]\nrepositories = [\"**\"]\n{rule}"));
            assert_eq!(going(&rules, "app", &tags), expected, "{rule}: {tags}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_speaks_alone() {
        let rules = rules(
            "[[retention]]\nname = \"ci\"\nrepositories = [\"ci/**\"]\nkeep_last = 1\n\
             [[retention]]\nrepositories = [\"**\"]\nkeep_last = 2",
        );
        assert_eq!(going(&rules, "ci/app", "a@1 b@2 c@3"), "b c");
        assert_eq!(going(&rules, "app", "a@1 b@2 c@3"), "c");
        let deletions = plan(&rules, &"ci/app".parse().unwrap(), tags("a@1 b@2"), NOW);
        assert_eq!((deletions[0].rule.as_str(), deletions[0].why.as_str()), ("ci", "not among the newest 1"));
        let only = self::rules("[[retention]]\nrepositories = [\"ci/*\"]\nkeep_last = 1");
        assert_eq!(going(&only, "app", "a@1 b@2"), "");
    }

    #[test]
    fn rules_that_would_delete_everything_are_refused() {
        let rule = |text: &str| toml::from_str::<Rule>(text).unwrap();
        for (text, field) in [
            ("repositories = [\"**\"]", "0.keep_last"),
            ("repositories = [\"**\"]\nkeep_matching = [\"v*\"]", "0.keep_last"),
            ("repositories = []\nkeep_last = 1", "0.repositories"),
            ("repositories = [\"[a\"]\nkeep_last = 1", "0.repositories.0"),
            ("repositories = [\"**\"]\nkeep_last = 1\nkeep_matching = [\"v1\", \"\"]", "0.keep_matching.1"),
        ] {
            let mut wrong = Complaints::default();
            validate(&[rule(text)], &mut wrong);
            let fields: Vec<_> = wrong.into_vec().into_iter().map(|complaint| complaint.field).collect();
            assert_eq!(fields, [field], "{text}");
        }
        assert!(toml::from_str::<Rule>("repositories = [\"**\"]\nkeep_lats = 1").is_err());
    }
}
