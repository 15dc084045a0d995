//! `Link: <…>; rel="next"`: where the next page is. Grammar: RFC 8288, section 3.

/// The target of the first link with relation `next`; `None` where there is none.
pub fn next(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        let end = after.find('<').unwrap_or(after.len());
        let is_next = after[..end].split([';', ',']).any(|parameter| {
            let Some((name, relation)) = parameter.split_once('=') else { return false };
            name.trim().eq_ignore_ascii_case("rel")
                && relation
                    .trim()
                    .trim_matches('"')
                    .split_ascii_whitespace()
                    .any(|word| word.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = &after[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn finds_the_next_page() {
        for (value, expected) in [
            ("</v2/a/tags/list?n=2&last=b>; rel=\"next\"", Some("/v2/a/tags/list?n=2&last=b")),
            ("</x>;rel=next", Some("/x")),
            ("</p>; rel=\"prev\", </n>; rel=\"next\"", Some("/n")),
            ("</p>; rel=\"prev\"", None),
            ("</x>", None),
            ("</x", None),
            ("", None),
        ] {
            assert_eq!(next(value), expected, "{value}");
        }
    }
}
