//! `--chown`: numbers as they are, names by the target's own passwd and group files.

use std::io::Read;

use graph::{Id, Owner};
use runtime::tree::view::TreeView;

use super::FileError;

/// An image's passwd or group file is a few kilobytes; past this it is something else.
const MAX_TABLE: u64 = 8 << 20;

/// The numbers of an owner in `target`.
pub(crate) fn resolve(owner: &Owner, target: &TreeView) -> Result<(u32, u32), FileError> {
    let (uid, primary) = match &owner.user {
        Id::Number(number) => (*number, *number),
        Id::Name(name) => {
            let table = read(target, "/etc/passwd", "user", name)?;
            let found = row(&table, name).and_then(|row| Some((row.get(2)?.parse().ok()?, row.get(3)?.parse().ok()?)));
            found.ok_or_else(|| missing("user", name, "/etc/passwd"))?
        }
    };
    let gid = match &owner.group {
        None => primary,
        Some(Id::Number(number)) => *number,
        Some(Id::Name(name)) => {
            let table = read(target, "/etc/group", "group", name)?;
            let found = row(&table, name).and_then(|row| row.get(2)?.parse().ok());
            found.ok_or_else(|| missing("group", name, "/etc/group"))?
        }
    };
    Ok((uid, gid))
}

/// The fields of the line that begins with `name`.
fn row<'t>(table: &'t str, name: &str) -> Option<Vec<&'t str>> {
    let lines = table.lines().map(|line| line.trim().split(':').collect::<Vec<_>>());
    lines.into_iter().find(|fields| fields.first() == Some(&name))
}

fn read(target: &TreeView, path: &'static str, what: &'static str, name: &str) -> Result<String, FileError> {
    let node = target.lookup(path.as_bytes(), true).map_err(FileError::target)?;
    let node = node.ok_or_else(|| missing(what, name, path))?;
    let mut text = Vec::new();
    let read = target.open(&node).map_err(FileError::target)?.take(MAX_TABLE).read_to_end(&mut text);
    read.map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn missing(what: &'static str, name: &str, file: &'static str) -> FileError {
    FileError::NoSuchOwner { what, name: name.to_owned(), file }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_by_its_whole_name() {
        let table = "root:x:0:0:root:/root:/bin/sh\napp2:x:7:7::/:\napp:x:1000:1001::/app:/bin/sh\n";
        assert_eq!(row(table, "app").unwrap()[2..4], ["1000", "1001"]);
        assert!(row(table, "ap").is_none());
    }
}
