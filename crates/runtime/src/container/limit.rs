//! Resource limits, by docker's names.

use rustix::process::{Resource, getrlimit, setrlimit};

use super::error::StartError;
use super::spec::Rlimit;

const NAMES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// Whether docker's `--ulimit` knows the name.
pub fn is_known(name: &str) -> bool {
    NAMES.iter().any(|(known, _)| *known == name)
}

/// What of the limits this process may not give to one that it starts, in words.
pub fn refused(limits: &[Rlimit]) -> Vec<String> {
    limits.iter().filter_map(refused_one).collect()
}

fn refused_one(limit: &Rlimit) -> Option<String> {
    let (name, resource) = NAMES.iter().find(|(known, _)| *known == limit.name)?;
    let ours = getrlimit(*resource);
    let least = ours.maximum.filter(|most| limit.hard.is_none_or(|hard| hard > *most))?;
    let raised = rustix::process::Rlimit { current: ours.current, maximum: limit.hard };
    if setrlimit(*resource, raised).is_ok() {
        // What was raised may be lowered.
        let _ = setrlimit(*resource, ours);
        return None;
    }
    Some(format!("--ulimit {name}: it is {least}, which this user may not raise"))
}

/// Sets the limits, each as far as we may: never above our own hard limit where raising that is refused.
pub(super) fn apply(limits: &[Rlimit]) -> Result<(), StartError> {
    for limit in limits {
        let Some((_, resource)) = NAMES.iter().find(|(known, _)| *known == limit.name) else {
            return Err(StartError::Invalid(format!("unknown limit {:?}", limit.name)));
        };
        let wanted = rustix::process::Rlimit { current: limit.soft, maximum: limit.hard };
        if setrlimit(*resource, wanted).is_err() {
            let ours = getrlimit(*resource).maximum;
            let clamp = |value: Option<u64>| match (value, ours) {
                (Some(value), Some(ours)) => Some(value.min(ours)),
                (value, ours) => value.or(ours),
            };
            let clamped = rustix::process::Rlimit { current: clamp(wanted.current), maximum: clamp(wanted.maximum) };
            // A limit that even so is refused (soft above hard, say) is left as it is: no reason not to start.
            let _ = setrlimit(*resource, clamped);
        }
    }
    Ok(())
}
