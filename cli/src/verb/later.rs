//! What users of docker know and this version does not do yet: said in words, with what to do
//! meanwhile, rather than "unknown".

use crate::error::Error;

/// Verbs, and what helps until they come.
const VERBS: &[(&str, &str)] =
    &[("search", ""), ("compose", ""), ("buildx", "`estiba build` knows buildx's options"), ("bake", "")];

/// Options of verbs, and what helps until they come.
const FLAGS: &[(&str, &str, &str)] = &[
    ("build", "--builder", "there is one builder, and it is in this binary"),
    ("run", "--secret", "mount the file: `-v FILE:/run/secrets/NAME:ro`"),
];

/// The error for a verb of a later version; `None` when nobody plans it.
pub(super) fn verb(name: &str) -> Option<Error> {
    let (_, instead) = VERBS.iter().find(|(known, _)| *known == name)?;
    Some(Error::later(&format!("`{name}`"), instead))
}

/// The error for an option of a later version; `None` when nobody plans it.
pub(super) fn flag(verb: &str, flag: &str) -> Option<Error> {
    let bare = flag.split(['=', ' ']).next().unwrap_or(flag);
    let (_, _, instead) = FLAGS.iter().find(|(of, known, _)| *of == verb && *known == bare)?;
    Some(Error::later(&format!("`{bare}` of `estiba {verb}`"), instead))
}
