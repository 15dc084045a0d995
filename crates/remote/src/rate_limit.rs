//! How much a registry lets one ask: `ratelimit-limit`, `ratelimit-remaining`, as Docker Hub sends them.

use std::time::Duration;

/// What a registry says of how much one may ask (`ratelimit-limit`, `ratelimit-remaining`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls in a window.
    pub limit: Option<u64>,
    /// Calls that are left in it.
    pub remaining: u64,
    /// How long the window is.
    pub window: Option<Duration>,
}

impl RateLimit {
    /// Reads `ratelimit-remaining: 76;w=21600`; `None` where nothing is said.
    pub(crate) fn of(headers: &http::HeaderMap) -> Option<Self> {
        let read = |name: &str| {
            let text = headers.get(name)?.to_str().ok()?;
            let (count, rest) = text.split_once(';').unwrap_or((text, ""));
            let seconds = rest.split(';').find_map(|part| part.trim().strip_prefix("w=")?.parse().ok());
            Some((count.trim().parse::<u64>().ok()?, seconds.map(Duration::from_secs)))
        };
        let (remaining, window) = read("ratelimit-remaining")?;
        let limit = read("ratelimit-limit");
        Some(Self {
            limit: limit.map(|(count, _)| count),
            remaining,
            window: window.or(limit.and_then(|(_, window)| window)),
        })
    }
}

/// When to come back.
pub(crate) fn patience(retry_after: &Option<Duration>, rate_limit: &Option<RateLimit>) -> String {
    match (retry_after, rate_limit) {
        (Some(wait), _) => format!("; it asks to come back in {}", spoken(*wait)),
        (None, Some(RateLimit { remaining: 0, limit, window })) => {
            let calls = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
            let window = window.map_or_else(String::new, |window| format!(" in {}", spoken(window)));
            format!("; the limit{calls} calls{window} is used up")
        }
        _ => String::new(),
    }
}

fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_say_when_to_come_back() {
        let mut headers = http::HeaderMap::new();
        assert_eq!(RateLimit::of(&headers), None);
        headers.insert("ratelimit-remaining", "0;w=21600".parse().unwrap());
        headers.insert("ratelimit-limit", "100;w=21600".parse().unwrap());
        let limit = RateLimit::of(&headers);
        let window = Some(Duration::from_secs(21600));
        assert_eq!(limit, Some(RateLimit { limit: Some(100), remaining: 0, window }));
        assert_eq!(patience(&None, &limit), "; the limit of 100 calls in 6 h is used up");
        assert_eq!(patience(&Some(Duration::from_secs(90)), &limit), "; it asks to come back in 90 s");
        assert_eq!(patience(&Some(Duration::from_secs(601)), &None), "; it asks to come back in 11 min");
        assert_eq!(patience(&None, &None), "");
    }
}
