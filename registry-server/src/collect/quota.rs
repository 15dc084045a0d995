//! Quotas: what the repositories below a prefix may hold together.

use oci::RepositoryName;
use serde::{Deserialize, Serialize};

use crate::config::{Complaints, Size};
use crate::metadata::Quota;

/// `[[quota]]`: one limit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// A repository, which stands for itself and whatever is below it; `""` is all of them.
    pub prefix: String,
    /// What they may hold together. A blob in two repositories counts in each.
    pub limit: Size,
}

/// Says what cannot be among the limits of a configuration.
pub fn validate(limits: &[Limit], wrong: &mut Complaints) {
    for (number, limit) in limits.iter().enumerate() {
        if !limit.prefix.is_empty() && limit.prefix.parse::<RepositoryName>().is_err() {
            let message =
                format!("`{}` is no name of a repository: write `team`, without a slash at its end", limit.prefix);
            wrong.about(&format!("{number}.prefix"), message);
        }
        if limits[..number].iter().any(|other| other.prefix == limit.prefix) {
            wrong.about(&format!("{number}.prefix"), format!("`{}` has a limit already", limit.prefix));
        }
    }
}

/// The limits that hold for a repository: every write to it has to keep all of them.
pub fn of(limits: &[Limit], repository: &RepositoryName) -> Vec<Quota> {
    let below = |prefix: &str| match repository.as_str().strip_prefix(prefix) {
        Some(rest) => prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    };
    let holds = limits.iter().filter(|limit| below(&limit.prefix));
    holds.map(|limit| Quota { prefix: limit.prefix.clone(), limit: limit.limit.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_for_what_is_below_them() {
        let limits: Vec<_> = ["", "team", "team/app", "teams"]
            .iter()
            .map(|prefix| Limit { prefix: (*prefix).to_owned(), limit: Size(1) })
            .collect();
        for (name, expected) in [
            ("team", "|team"),
            ("team/app", "|team|team/app"),
            ("team/apple", "|team"),
            ("teams/x", "|teams"),
            ("x", ""),
        ] {
            let found = of(&limits, &name.parse().unwrap());
            let prefixes: Vec<_> = found.into_iter().map(|quota| quota.prefix).collect();
            assert_eq!(prefixes.join("|"), expected, "{name}");
        }
        let mut wrong = Complaints::default();
        validate(
            &[limits[1].clone(), limits[1].clone(), Limit { prefix: "team/".to_owned(), limit: Size(1) }],
            &mut wrong,
        );
        assert_eq!(wrong.into_vec().len(), 2);
    }
}
