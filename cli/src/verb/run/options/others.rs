//! What of a container depends on other containers: whose namespaces it shares, which ids are nobody's yet.

use containers::config::{Config, NetworkMode, Users};
use containers::{Containers, launch};
use runtime::ladder::Rung;
use sys::lock::Lock;
use sys::ns::IdRange;

use crate::error::{Error, Result, While};
use crate::sandbox;

/// Below the containers' folder: held by who looks for ids, until his container is written down.
const LOCK: &str = ".ids";

/// Puts ids in the place of names, and allots users to `--userns auto`. What it gives is held until the container is made.
pub(in crate::verb) fn settle_others(config: &mut Config, containers: &Containers) -> Result<Option<Lock>> {
    if let NetworkMode::Container(name) = &mut config.network.mode {
        *name = containers.find_id(name)?.as_str().to_owned();
    }
    for name in config.isolation.shared_mut() {
        *name = containers.find_id(name)?.as_str().to_owned();
    }
    let Users::Auto { size, .. } = config.isolation.users else { return Ok(None) };
    let rung = sandbox::probe(containers.store())?.rung;
    let dir = containers.layout().containers();
    std::fs::create_dir_all(&dir).during(format!("make {}", dir.display()))?;
    let file = std::fs::File::options().create(true).append(true).open(dir.join(LOCK));
    let lock = Lock::exclusive(file.during("look for users that no container has")?)?;
    let subordinate = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    let pool = launch::pool(&rung, &subordinate);
    let start = pool.and_then(|pool| launch::allot(pool, size, &taken(containers)?));
    let start = start.ok_or_else(|| none_left(&rung, size, pool))?;
    config.isolation.users = Users::Auto { start, size };
    Ok(Some(lock))
}

/// What the other containers have.
fn taken(containers: &Containers) -> Option<Vec<IdRange>> {
    let others = containers.list_whole().ok()?;
    Some(
        others
            .iter()
            .filter_map(|other| match other.config.isolation.users {
                Users::Auto { start, size } => Some(IdRange { start, count: size }),
                _ => None,
            })
            .collect(),
    )
}

fn none_left(rung: &Rung, size: u32, pool: Option<IdRange>) -> Error {
    match pool {
        Some(pool) => Error::failed(format!(
            "--userns auto: {size} of your {} subordinate ids are not free: other containers have them",
            pool.count
        ))
        .hint("remove containers, ask for less (auto:size=N), or add ids to /etc/subuid and /etc/subgid"),
        None => Error::failed(format!("--userns auto: the {} rung has no ids to give", rung.name()))
            .hint("`estiba doctor` says how to get subordinate ids"),
    }
}
