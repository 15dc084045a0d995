//! The tables of `builder/tests/copy`: a target, a source, an instruction, and the layer that it makes.
//!
//! ```text
//! target                     a tree to write onto; passwd and group files are ordinary files of it
//!   dir app 0700 5:6
//!   file app/x 0644 old text
//!   link l app
//! source                     the build context, or with --from a stage
//!   file a 0644 text
//! copy [flags] SOURCES… DEST (add, mkdir and write likewise)
//! layer                      what is written, in the order of the layer
//!   file app/a 0644 0:0 text
//! error part of the message
//! ```

use std::fs;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use graph::pattern::IgnoreRules;
use graph::{Copy, FileAction, FileOp, Id, ModeChange, Owner, Unpack};
use layer::{Entry, Kind, TarReader, TarWriter, Toc};
use runtime::tree::LayerBuilder;
use runtime::tree::view::{LayerSource, TreeView};

use super::{Input, lay, write};
use crate::Cancel;
use crate::cache::content::Local;
use crate::context::Context;

#[derive(Default)]
struct Case {
    name: String,
    target: Vec<String>,
    source: Vec<String>,
    layer: Vec<String>,
    error: Option<String>,
    actions: Vec<String>,
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut section = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("= ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        match (line.strip_prefix("  "), line.split(' ').next().unwrap_or_default()) {
            (Some(entry), _) => match section {
                "target" => case.target.push(entry.to_owned()),
                "source" => case.source.push(entry.to_owned()),
                _ => case.layer.push(entry.to_owned()),
            },
            (None, "target" | "source" | "layer") => section = line,
            (None, "copy" | "add" | "mkdir" | "write") => case.actions.push(line.to_owned()),
            (None, "error") => case.error = line.strip_prefix("error ").map(str::to_owned),
            (None, _) => assert!(line.is_empty() || line.starts_with('#'), "{line:?}"),
        }
    }
    cases
}

/// A line of a tree: kind, path, mode, owner (0:0 where absent), text.
fn entry(line: &str) -> (Entry, Vec<u8>) {
    let mut words = line.splitn(3, ' ');
    let (kind, path, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
    let kind = match kind {
        "dir" => Kind::Dir,
        "file" => Kind::File,
        "link" => Kind::Symlink,
        "hard" => Kind::Hardlink,
        other => panic!("{other}"),
    };
    let mut entry = Entry::new(path, kind);
    if matches!(kind, Kind::Symlink | Kind::Hardlink) {
        entry.link = rest.as_bytes().to_vec();
        return (entry, Vec::new());
    }
    let (mode, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    entry.mode = u32::from_str_radix(mode, 8).unwrap();
    let (owner, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let text = match owner.split_once(':').map(|(uid, gid)| (uid.parse(), gid.parse())) {
        Some((Ok(uid), Ok(gid))) => {
            (entry.uid, entry.gid) = (uid, gid);
            text
        }
        _ => rest,
    };
    entry.size = text.replace("\\n", "\n").len() as u64;
    (entry, text.replace("\\n", "\n").into_bytes())
}

fn tar(lines: &[String]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    let mut entries: Vec<_> = lines.iter().map(|line| entry(line)).collect();
    entries.sort_by(|(a, _), (b, _)| a.order(b));
    for (entry, text) in entries {
        tar.append(&entry, &mut text.as_slice()).unwrap();
    }
    tar.finish().unwrap()
}

fn view(lines: &[String]) -> Arc<TreeView> {
    let bytes = tar(lines);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    file.rewind().unwrap();
    let toc = Toc::scan(bytes.as_slice()).unwrap();
    Arc::new(TreeView::new(vec![LayerSource::Blob { toc: Arc::new(toc), tar: file }]).unwrap())
}

/// Lays a source on the disk; a file whose text is `tar:` is one of the tree named after it.
fn on_disk(dir: &Path, lines: &[String]) {
    for line in lines {
        let (entry, text) = entry(line);
        let path = dir.join(std::str::from_utf8(&entry.path).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let link = std::str::from_utf8(&entry.link).unwrap();
        match entry.kind {
            Kind::Dir => fs::create_dir_all(&path).unwrap(),
            Kind::Symlink => symlink(link, &path).unwrap(),
            Kind::Hardlink => fs::hard_link(dir.join(link), &path).unwrap(),
            _ => match text.strip_prefix(b"tar: ") {
                Some(lines) => {
                    let lines: Vec<String> = String::from_utf8_lossy(lines).split("; ").map(str::to_owned).collect();
                    fs::write(&path, tar(&lines)).unwrap();
                }
                None => fs::write(&path, text).unwrap(),
            },
        }
        if matches!(entry.kind, Kind::Dir | Kind::File) {
            fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)).unwrap();
        }
    }
}

fn id(text: &str) -> Id {
    text.parse().map_or_else(|_| Id::Name(text.to_owned()), Id::Number)
}

fn mode(text: &str) -> ModeChange {
    u32::from_str_radix(text, 8).map_or_else(|_| ModeChange::Symbolic(text.to_owned()), ModeChange::Octal)
}

fn owner(text: &str) -> Owner {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    Owner { user: id(user), group: group.map(id) }
}

fn action(line: &str) -> (FileAction, bool) {
    let mut words: Vec<&str> = line.split(' ').collect();
    let verb = words.remove(0);
    let mut flags = Vec::new();
    while words.first().is_some_and(|word| word.starts_with("--")) {
        flags.push(words.remove(0));
    }
    let flag = |name: &str| flags.iter().find_map(|flag| flag.strip_prefix(&format!("--{name}="))).map(str::to_owned);
    let set = |name: &str| flags.contains(&format!("--{name}").as_str());
    let owner = flag("chown").map(|text| owner(&text));
    let change = flag("chmod").map(|text| mode(&text));
    if verb == "mkdir" {
        return (FileAction::MakeDir { path: words[0].to_owned(), mode: 0o755, owner, parents: true }, false);
    }
    if verb == "write" {
        let data = words[1..].join(" ").into_bytes();
        return (FileAction::WriteFile { path: words[0].to_owned(), data, mode: change, owner }, false);
    }
    let dest = words.pop().unwrap();
    let copy = Copy {
        input: 1,
        sources: words.iter().map(|word| (*word).to_owned()).collect(),
        dest: dest.to_owned(),
        dest_is_dir: dest.ends_with('/') || words.len() > 1,
        owner,
        mode: change,
        exclude: flag("exclude").map(|text| text.split(',').map(str::to_owned).collect()).unwrap_or_default(),
        parents: set("parents"),
        unpack: if verb == "add" { Unpack::Archives } else { Unpack::Never },
        keep_owner: set("keep"),
    };
    (FileAction::Copy(copy), set("from"))
}

fn run(case: &Case) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let (actions, from): (Vec<_>, Vec<_>) = case.actions.iter().map(|line| action(line)).unzip();
    let input = if from.contains(&true) {
        Input::View(view(&case.source))
    } else {
        on_disk(dir.path(), &case.source);
        Input::Context(Local::new(Context::open(dir.path(), IgnoreRules::none(), None).unwrap()))
    };
    let spool = tempfile::tempfile().unwrap();
    let laid = lay(&FileOp { actions }, &view(&case.target), &[None, Some(input)], 7, spool);
    let Some(laid) = laid.map_err(|error| error.to_string())? else { return Ok(Vec::new()) };
    let written = write(laid, LayerBuilder::new(Vec::new()), &Cancel::new(), &mut |_, _| {});
    let (_, bytes) = written.map_err(|error| error.to_string())?;
    let mut reader = TarReader::new(bytes.as_slice());
    let mut lines = Vec::new();
    while let Some((entry, mut content)) = reader.next_entry().unwrap() {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let link = String::from_utf8_lossy(&entry.link).into_owned();
        let attributes = format!("{:04o} {}:{}", entry.mode, entry.uid, entry.gid);
        lines.push(match entry.kind {
            Kind::Dir => format!("dir {path} {attributes}"),
            Kind::Symlink => format!("link {path} {link}"),
            Kind::Hardlink => format!("hard {path} {link}"),
            Kind::Opaque => format!("opaque {path}"),
            _ => {
                let mut text = String::new();
                content.read_to_string(&mut text).unwrap();
                format!("file {path} {attributes} {}", text.replace('\n', "\\n"))
            }
        });
    }
    Ok(lines)
}

#[test]
fn copies_do_what_the_tables_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/copy");
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        for case in parse(&fs::read_to_string(&path).unwrap()) {
            count += 1;
            let name = format!("{}: {}", path.file_name().unwrap().to_string_lossy(), case.name);
            match (run(&case), &case.error) {
                (Ok(lines), None) => assert_eq!(lines, case.layer, "{name}"),
                (Err(error), Some(part)) => assert!(error.contains(part), "{name}: {error}"),
                (found, expected) => panic!("{name}: {found:?} instead of {expected:?}"),
            }
        }
    }
    assert!(count > 40, "{count} cases");
}
