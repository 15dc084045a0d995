//! `type=tmpfs`: `target`, `size`.

use graph::{Mount, MountKind};

use super::{Kind, Lowering, Options};

pub(super) const KIND: Kind = Kind {
    name: "tmpfs",
    options: &["target", "dst", "destination", "size", "readonly", "ro", "readwrite", "rw"],
    lower,
};

/// Memory.
fn lower(options: &Options, at: &mut Lowering<'_, '_>) -> Option<Mount> {
    let target = at.target(options)?;
    let kind = MountKind::Tmpfs { size: options.size };
    Some(Mount { target, readonly: options.readonly.unwrap_or(false), kind })
}

/// Reads a size as Docker does: `1024`, `64m`, `1.5g`, `2GiB`; powers of 1024.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let bytes = number * 1024f64.powi(power);
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes() {
        for (text, expected) in
            [("0", 0), ("1024", 1024), ("64m", 64 << 20), ("1.5k", 1536), ("2GiB", 2 << 30), ("1 KB", 1024), ("3b", 3)]
        {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for bad in ["", "m", "-1", "1x", "1kk", "1.2.3", "99999999999p"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
