//! `scope`: what a client asks a token for, and how a challenge says what it would take.
//! Specification: distribution's "Docker Registry v2 authentication" and its token scope grammar.

use std::collections::BTreeSet;

use oci::RepositoryName;

use super::{Action, Grant, Principal, Scope};

/// The most repositories in one token: a push with mounts names two.
const MOST: usize = 64;

/// Reads what is asked for: words separated by spaces, each `repository:NAME:ACTIONS` or `registry:catalog:*`. What nobody here
/// knows is left out, as the specification has it: the token then grants less than was asked.
pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Grant {
    let mut grant = Grant::default();
    for word in texts.into_iter().flat_map(|text| text.split(' ')).filter(|word| !word.is_empty()).take(4 * MOST) {
        let Some((kind, rest)) = word.split_once(':') else { continue };
        let Some((name, actions)) = rest.rsplit_once(':') else { continue };
        // A class may follow: `repository(plugin)`.
        match kind.split('(').next() {
            Some("repository") => {
                if let Ok(repository) = name.parse::<RepositoryName>() {
                    add(&mut grant.scopes, repository, actions);
                }
            }
            Some("registry") if name == "catalog" && actions.split(',').any(|word| word == "*") => grant.catalog = true,
            _ => {}
        }
    }
    grant
}

fn add(scopes: &mut Vec<Scope>, repository: RepositoryName, words: &str) {
    let mut actions = BTreeSet::new();
    for word in words.split(',') {
        match word {
            "*" => actions.extend([Action::Pull, Action::Push, Action::Delete]),
            "pull" | "push" | "delete" => actions.extend(Action::parse(word)),
            _ => {}
        }
    }
    let room = scopes.len() < MOST;
    match scopes.iter_mut().find(|scope| scope.repository == repository) {
        Some(scope) => scope.actions.extend(actions),
        None if room && !actions.is_empty() => scopes.push(Scope { repository, actions }),
        None => {}
    }
}

/// What is left of a wish where `may` says so.
pub(crate) fn granted(wish: Grant, may: impl Fn(Action, &RepositoryName) -> bool) -> Grant {
    let left = |scope: Scope| {
        let actions: BTreeSet<_> = scope.actions.into_iter().filter(|action| may(*action, &scope.repository)).collect();
        (!actions.is_empty()).then_some(Scope { repository: scope.repository, actions })
    };
    Grant { scopes: wish.scopes.into_iter().filter_map(left).collect(), catalog: wish.catalog }
}

/// What a challenge asks for. Pushing clients need to look, too.
pub(crate) fn wanted(action: Action, repository: &RepositoryName) -> String {
    let actions = match action {
        Action::Pull => "pull",
        Action::Push | Action::Update => "pull,push",
        Action::Delete => "pull,delete",
    };
    format!("repository:{repository}:{actions}")
}

/// A grant in the words of `scope`.
pub(crate) fn print(grant: &Grant) -> String {
    let one = |scope: &Scope| {
        let actions: Vec<_> = scope.actions.iter().map(|action| action.word()).collect();
        format!("repository:{}:{}", scope.repository, actions.join(","))
    };
    let mut words: Vec<_> = grant.scopes.iter().map(one).collect();
    if grant.catalog {
        words.push(CATALOG.to_owned());
    }
    words.join(" ")
}

/// The scope of the list of repositories.
pub(crate) const CATALOG: &str = "registry:catalog:*";

impl Principal {
    /// Whether a token of ours keeps its bearer from this.
    pub(crate) fn is_limited(&self, action: Action, repository: &RepositoryName) -> bool {
        self.grant.as_ref().is_some_and(|grant| !grant.covers(action, repository))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked() {
        let cases: [(&[&str], &str); 12] = [
            (&["repository:team/app:pull,push"], "repository:team/app:pull,push"),
            (&["repository:a:pull", "repository:b:push"], "repository:a:pull repository:b:push"),
            (&["repository:a:pull repository:b:push"], "repository:a:pull repository:b:push"),
            (&["repository:a:pull  repository:a:push"], "repository:a:pull,push"),
            (&["repository:a:*"], "repository:a:pull,push,delete"),
            (&["repository(plugin):a:pull"], "repository:a:pull"),
            (&["registry:catalog:*"], "registry:catalog:*"),
            (&["registry:other:*", "x", "repository:a", "repository:a:"], ""),
            (&["repository:A:pull", "repository:../a:pull", "repository::pull"], ""),
            (&["repository:a:fly,update"], ""),
            (&["repository:a:pull\"x"], ""),
            (&[], ""),
        ];
        for (texts, expected) in cases {
            assert_eq!(print(&parse(texts.iter().copied())), expected, "{texts:?}");
        }
        let many: Vec<_> = (0..1000).map(|at| format!("repository:a{at}:pull")).collect();
        assert_eq!(parse(many.iter().map(String::as_str)).scopes.len(), MOST);
    }

    #[test]
    fn less_is_granted_than_asked() {
        let wish = parse(["repository:a:pull,push repository:b:push"]);
        let left = granted(wish, |action, repository| action == Action::Pull && repository.as_str() == "a");
        assert_eq!(print(&left), "repository:a:pull");
        let name = "a".parse().unwrap();
        assert!(left.covers(Action::Pull, &name) && !left.covers(Action::Push, &name));
        let push = parse(["repository:a:push"]);
        assert!(push.covers(Action::Update, &name) && !push.covers(Action::Delete, &name));
    }

    const SEEDS: &[&str] = &["repository:team/app:pull,push registry:catalog:*", "repository(plugin):a:*", ""];

    proptest::proptest! {
        #[test]
        fn what_is_nearly_right_grants_what_it_names(text in crate::auth::mutation::mutated(SEEDS)) {
            for scope in &parse([text.as_str()]).scopes {
                proptest::prop_assert!(text.contains(scope.repository.as_str()));
                proptest::prop_assert!(!scope.actions.is_empty() && !scope.actions.contains(&Action::Update));
            }
        }
    }
}
