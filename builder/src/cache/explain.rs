//! Why a key missed, in words: its preimage against that of the step's last result.

use std::collections::BTreeMap;

/// So many paths are named before "and … more".
const MAX_NAMED: usize = 3;

/// What an explanation may need to know of the step besides its preimages.
pub(crate) struct Step<'a> {
    /// What its inputs are called.
    pub(crate) inputs: &'a [String],
    /// Whether a variable is an ENV of the image; another one is an ARG.
    pub(crate) is_env: &'a dyn Fn(&str) -> bool,
}

/// The differences between two preimages, most telling first, in words.
pub(crate) fn differences(old: &str, new: &str, step: &Step<'_>) -> String {
    let (old, new) = (lines(old), lines(new));
    let changed = |name: &&str| old.get(*name) != new.get(*name);
    let names: Vec<&str> =
        new.keys().chain(old.keys().filter(|name| !new.contains_key(*name))).copied().filter(changed).collect();
    let mut telling: Vec<String> = Vec::new();
    telling.extend(names.iter().filter_map(|name| of_operation(name, &old, &new, step)));
    telling.extend(files(&names, &old, &new));
    if telling.is_empty() {
        telling.extend(names.iter().filter_map(|name| of_input(name, &old, &new, step)));
    }
    if telling.is_empty() {
        telling.push("the instruction changed".to_owned());
    }
    telling.dedup();
    telling.join(", ")
}

fn lines(preimage: &str) -> BTreeMap<&str, &str> {
    preimage.lines().filter_map(|line| line.split_once('\t')).collect()
}

type Lines<'a> = BTreeMap<&'a str, &'a str>;

fn of_operation(name: &str, old: &Lines<'_>, new: &Lines<'_>, step: &Step<'_>) -> Option<String> {
    let (kind, rest) = name.split_once(' ').unwrap_or((name, ""));
    match kind {
        "env" => {
            let word = if (step.is_env)(rest) { "ENV" } else { "ARG" };
            Some(match (old.contains_key(name), new.contains_key(name)) {
                (true, true) => format!("{word} {rest} changed"),
                (false, _) => format!("{word} {rest} is new"),
                (true, false) => format!("{word} {rest} is gone"),
            })
        }
        "args" => Some("the command changed".to_owned()),
        "cwd" => Some("the working directory changed".to_owned()),
        "user" => Some("the user changed".to_owned()),
        "mount" => Some(format!("the mount on {rest} changed")),
        "copy" => Some("what is copied, or where to, changed".to_owned()),
        "text" => Some("the inline text changed".to_owned()),
        "base" => Some(format!("base moved ({} → {})", short(old.get(name)), short(new.get(name)))),
        _ => None,
    }
}

fn short(digest: Option<&&str>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| digest.chars().take(19).collect())
}

fn files(names: &[&str], old: &Lines<'_>, new: &Lines<'_>) -> Vec<String> {
    let mut told = Vec::new();
    let paths: Vec<_> =
        names.iter().filter_map(|name| Some((*name, name.strip_prefix("file ")?.split_once(' ')?.1))).collect();
    for (name, path) in paths.iter().take(MAX_NAMED) {
        told.push(match (old.get(name), new.get(name)) {
            (Some(before), Some(after)) if before.split(' ').next() == after.split(' ').next() => {
                format!("content of {path} changed")
            }
            (Some(_), Some(_)) => format!("permissions of {path} changed"),
            (None, _) => format!("{path} is new"),
            (Some(_), None) => format!("{path} is gone"),
        });
    }
    if paths.len() > MAX_NAMED {
        told.push(format!("and {} more files", paths.len() - MAX_NAMED));
    }
    if paths.is_empty() && names.iter().any(|name| name.starts_with("content ")) {
        told.push("the content of what is copied changed".to_owned());
    }
    told
}

fn of_input(name: &str, old: &Lines<'_>, new: &Lines<'_>, step: &Step<'_>) -> Option<String> {
    let number: usize = name.strip_prefix("input ")?.parse().ok()?;
    let called = step.inputs.get(number).map_or("an input", String::as_str);
    if old.contains_key(name) && new.contains_key(name) { Some(format!("{called} changed")) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(old: &str, new: &str) -> String {
        let inputs = ["[1/2] FROM base".to_owned()];
        differences(old, new, &Step { inputs: &inputs, is_env: &|name| name == "PATH" })
    }

    #[test]
    fn differences_are_told_in_words() {
        let cases = [
            ("op\ta\nenv REV\t1\n", "op\tb\nenv REV\t2\n", "ARG REV changed"),
            ("op\ta\nenv PATH\t1\n", "op\tb\n", "ENV PATH is gone"),
            ("op\ta\nargs\tmake\n", "op\tb\nargs\tmake all\n", "the command changed"),
            (
                "content 0\tx\nfile 0 src/a.rs\t644 1\n",
                "content 0\ty\nfile 0 src/a.rs\t644 2\n",
                "content of src/a.rs changed",
            ),
            ("content 0\tx\nfile 0 a\t644 1\n", "content 0\ty\nfile 0 a\t755 1\n", "permissions of a changed"),
            ("content 0\tx\n", "content 0\ty\nfile 0 b\t644 1\n", "b is new"),
            ("content 0\tx\n", "content 0\ty\n", "the content of what is copied changed"),
            ("base 0\tsha256:1\n", "base 0\tsha256:2\n", "base moved (sha256:1 → sha256:2)"),
            ("input 0\tx\n", "input 0\ty\n", "[1/2] FROM base changed"),
            ("op\ta\n", "op\tb\n", "the instruction changed"),
        ];
        for (old, new, expected) in cases {
            assert_eq!(say(old, new), expected);
        }
    }
}
