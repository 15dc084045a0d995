//! What a token allows: `repository:NAME:pull,push`.
//! Grammar: distribution's token scope specification.

use std::collections::BTreeSet;

/// Whether a token for the scopes `have` does for a call that needs `want`.
pub(crate) fn all_covered(have: &BTreeSet<String>, want: &BTreeSet<String>) -> bool {
    want.iter().all(|want| have.iter().any(|have| covers(have, want)))
}

fn covers(have: &str, want: &str) -> bool {
    if have == want {
        return true;
    }
    // The name may hold a colon (of a port): the actions are behind the last one.
    let (Some((one, can)), Some((other, must))) = (have.rsplit_once(':'), want.rsplit_once(':')) else { return false };
    one == other && must.split(',').all(|action| can.split(',').any(|allowed| allowed == action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_covers_less() {
        let set = |list: &[&str]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        for (have, want, expected) in [
            (&["repository:a:pull,push"][..], &["repository:a:pull"][..], true),
            (&["repository:a:pull"], &["repository:a:pull,push"], false),
            (&["repository:a:push,pull"], &["repository:a:pull,push"], true),
            (&["repository:a:pull,push", "repository:b:pull"], &["repository:b:pull", "repository:a:push"], true),
            (&["repository:ab:pull"], &["repository:a:pull"], false),
            (&["repository:a:pulling"], &["repository:a:pull"], false),
            (&["x"], &["x"], true),
            (&["x"], &["repository:a:pull"], false),
            (&[], &["repository:a:pull"], false),
            (&[], &[], true),
            (&["repository:a:pull"], &[], true),
        ] {
            assert_eq!(all_covered(&set(have), &set(want)), expected, "{have:?} {want:?}");
        }
    }
}
