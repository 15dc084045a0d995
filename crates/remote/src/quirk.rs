//! Where hosted registries differ from the specification: one row each.

/// What is different at a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirk {
    /// The registry as users name it; a leading `*.` stands for any host below.
    pub registry: &'static str,
    /// The host that answers for it, where that is another.
    pub host: Option<&'static str>,
    /// Further names under which credentials for it are kept.
    pub credential_keys: &'static [&'static str],
    /// The largest chunk that a `PATCH` may have.
    pub largest_chunk: Option<u64>,
    /// A `PATCH` may be answered with 201, and the `Range` of an upload's status may be behind.
    pub loose_uploads: bool,
}

const NONE: Quirk = Quirk { registry: "", host: None, credential_keys: &[], largest_chunk: None, loose_uploads: false };

const TABLE: &[Quirk] = &[
    Quirk {
        registry: "docker.io",
        host: Some("registry-1.docker.io"),
        credential_keys: &["https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io"],
        ..NONE
    },
    Quirk { registry: "ghcr.io", largest_chunk: Some(4 << 20), ..NONE },
    Quirk { registry: "public.ecr.aws", loose_uploads: true, ..NONE },
    Quirk { registry: "*.amazonaws.com", loose_uploads: true, ..NONE },
];

impl Quirk {
    /// All rows.
    pub fn all() -> &'static [Quirk] {
        TABLE
    }

    /// The row of a registry; one without differences where there is none.
    pub fn of(registry: &str) -> Quirk {
        let matches = |row: &&Quirk| match row.registry.strip_prefix('*') {
            Some(suffix) => registry.ends_with(suffix),
            None => row.registry == registry,
        };
        TABLE.iter().find(matches).copied().unwrap_or(NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_name_and_suffix() {
        assert_eq!(Quirk::of("docker.io").host, Some("registry-1.docker.io"));
        assert_eq!(Quirk::of("ghcr.io").largest_chunk, Some(4 << 20));
        assert!(Quirk::of("1234.dkr.ecr.eu-west-1.amazonaws.com").loose_uploads);
        assert_eq!(Quirk::of("amazonaws.com.evil.example"), NONE);
        assert_eq!(Quirk::of("registry.example"), NONE);
    }
}
