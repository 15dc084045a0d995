//! `estiba cp`.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use containers::copy::{Copied, Owners, Place, copy};
use layer::{Compression, Entry, Kind, TarWriter, WhiteoutNames};
use runtime::ladder::Rung;
use runtime::tree::{ApplyOptions, IdPolicy, LinkParents, Walk, WalkOptions, Whiteouts, apply};
use sys::Root;

use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::inside::{Inside, Whose};
use crate::{chosen, sandbox, ui};

const EXAMPLES: &str = "\
Examples:
  estiba cp web:/etc/app.conf .
  estiba cp app.conf web:/etc/
  estiba cp web:/var/log/. logs                 What is in the folder, into a folder
  estiba cp web:/srv - | tar -t                 As a tar
  tar -c . | estiba cp - web:/srv

Works while the container runs, and while it does not. A path on this machine that holds a colon is
written with ./ before it.";

/// Arguments of `estiba cp`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What is copied: CONTAINER:PATH, a path, or `-`, a tar on standard input
    #[arg(value_name = "FROM")]
    from: String,
    /// Where it goes: a path, CONTAINER:PATH, or `-`, a tar on standard output
    #[arg(value_name = "TO")]
    to: String,
    /// Keep owners
    #[arg(short, long)]
    archive: bool,
    /// Follow a link that FROM is
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Say nothing
    #[arg(short, long)]
    quiet: bool,
    /// docker's: a folder takes no file's place here either way
    #[arg(long, hide = true)]
    overwrite: bool,
}

/// One side.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    Here(String),
    Stream,
    There { container: String, path: String },
}

impl Side {
    fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            _ if text == "-" => Ok(Self::Stream),
            _ if text.starts_with(['/', '.']) => Ok(Self::Here(text.to_owned())),
            Some((container, path)) if !container.is_empty() && !path.is_empty() => {
                Ok(Self::There { container: container.to_owned(), path: path.to_owned() })
            }
            Some(_) => Err(Error::usage(format!("{text}: expected CONTAINER:PATH"))),
            None if text.is_empty() => Err(Error::usage("a path is empty")),
            None => Ok(Self::Here(text.to_owned())),
        }
    }
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let copied = match (Side::parse(&args.from)?, Side::parse(&args.to)?) {
        (Side::There { container, path }, Side::Here(to)) => args.out(context, &container, &path, &to)?,
        (Side::There { container, path }, Side::Stream) => args.stream_out(context, &container, &path)?,
        (Side::Here(from), Side::There { container, path }) => args.bring(context, &from, &container, &path)?,
        (Side::Stream, Side::There { container, path }) => stream_in(context, &container, &path)?,
        (Side::There { .. }, Side::There { .. }) => {
            return Err(Error::usage("copying from container to container is not supported")
                .hint("estiba cp ONE:PATH - | estiba cp - OTHER:FOLDER"));
        }
        _ => {
            return Err(Error::usage("one of both is a container's path: CONTAINER:PATH"));
        }
    };
    for left in copied.skipped.iter().filter(|_| !args.quiet) {
        ui::err(&format!("note: {:?} is a device or a socket, and was left out\n", left.display().to_string()));
    }
    Ok(0)
}

impl Args {
    fn owners(&self) -> Owners {
        if self.archive { Owners::Kept } else { Owners::Caller }
    }

    /// The container's side is opened last: then this process is somebody else.
    fn inside(context: &Context, name: &str, whose: Whose) -> Result<Inside> {
        let containers = chosen::containers(context)?;
        let container = chosen::one(&containers, name)?;
        Inside::open(&containers, &container, whose)
    }

    /// Where a path of the container is meant to come from.
    fn source(&self, root: &Root, container: &str, path: &str) -> Result<Place> {
        let all = self.follow_link || is_content(path) || path.ends_with('/');
        let place = Place::find(root, Path::new(path), all).and_then(|place| Ok((place.stat()?.is_some(), place)));
        match place {
            Ok((true, place)) if is_content(path) && place.name != "." => {
                let folder = place.folder.open_dir(&place.name).during(format!("{container}:{path}"))?;
                Ok(Place { folder, name: ".".into() })
            }
            Ok((true, place)) => Ok(place),
            Ok((false, _)) => Err(Error::failed(format!("{container}:{path}: no such file or directory"))),
            Err(error) => Err(Error::failed(format!("{container}:{path}: {error}"))),
        }
    }

    fn out(&self, context: &Context, container: &str, path: &str, to: &str) -> Result<Copied> {
        let here = Here::target(to)?;
        let inside = Self::inside(context, container, Whose::Caller)?;
        let from = self.source(inside.root(), container, path)?;
        let target = match here {
            Here::Folder(folder) => Place { folder, name: name_of(path) },
            Here::File(place) => place,
            Here::New { place, folder } => {
                if folder && !is_dir(&from)? {
                    return Err(Error::failed(format!("{to}: no such directory")));
                }
                place
            }
        };
        copy(&from, &target, self.owners()).during(format!("copy {container}:{path} to {to}"))
    }

    fn bring(&self, context: &Context, from: &str, container: &str, path: &str) -> Result<Copied> {
        let source = here_source(from, self.follow_link)?;
        let is_folder = is_dir(&source)?;
        let inside = Self::inside(context, container, Whose::Container)?;
        let what = || format!("copy {from} to {container}:{path}");
        let place = Place::find(inside.root(), Path::new(path), true).during(what())?;
        let target = match place.stat().during(what())? {
            Some(there) if there.is_dir() => {
                let folder = if place.name == "." { place.folder } else { place.folder.open_dir(&place.name)? };
                Place { folder, name: if is_content(from) { ".".into() } else { source_name(from)? } }
            }
            Some(_) if path.ends_with('/') => {
                return Err(Error::failed(format!("{container}:{path}: not a directory")));
            }
            None if path.ends_with('/') && !is_folder => {
                return Err(Error::failed(format!("{container}:{path}: no such directory")));
            }
            _ => place,
        };
        copy(&source, &target, self.owners()).during(what())
    }

    fn stream_out(&self, context: &Context, container: &str, path: &str) -> Result<Copied> {
        if io::stdout().is_terminal() {
            return Err(Error::usage("standard output is a terminal").hint("`estiba cp … - | tar -x`, or give a path"));
        }
        let inside = Self::inside(context, container, Whose::Container)?;
        let from = self.source(inside.root(), container, path)?;
        let mut tar = TarWriter::new(io::BufWriter::with_capacity(1 << 18, io::stdout().lock()));
        write_tar(&from, &name_of(path), &mut tar).during(format!("read {container}:{path}"))?;
        tar.finish()?.flush()?;
        Ok(Copied::default())
    }
}

/// Whether a path means what is in a folder, not the folder.
fn is_content(path: &str) -> bool {
    path == "." || path.ends_with("/.") || path.trim_matches('/').is_empty()
}

fn is_dir(place: &Place) -> Result<bool> {
    Ok(place.stat()?.is_some_and(|stat| stat.is_dir()))
}

/// What the copy of a container's path is called.
fn name_of(path: &str) -> OsString {
    match Path::new(path).file_name() {
        Some(name) if !is_content(path) => name.to_owned(),
        _ => ".".into(),
    }
}

fn source_name(from: &str) -> Result<OsString> {
    match Path::new(from).file_name() {
        Some(name) => Ok(name.to_owned()),
        // `..`, say.
        None => {
            let whole = std::fs::canonicalize(from).during(from)?;
            Ok(whole.file_name().map_or_else(|| ".".into(), OsString::from))
        }
    }
}

/// A path of this machine that something is copied to.
enum Here {
    Folder(Root),
    File(Place),
    New { place: Place, folder: bool },
}

impl Here {
    fn target(to: &str) -> Result<Self> {
        let path = Path::new(to);
        let there = match std::fs::metadata(path) {
            Ok(meta) => Some(meta.is_dir()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::failed(format!("{to}: {error}"))),
        };
        let place = |path: &Path| -> Result<Place> {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = path.file_name().ok_or_else(|| Error::failed(format!("{to}: no such directory")))?;
            Ok(Place { folder: Root::open(parent).during(to)?, name: name.to_owned() })
        };
        match there {
            Some(true) => Ok(Self::Folder(Root::open(path)?)),
            Some(false) if to.ends_with('/') => Err(Error::failed(format!("{to}: not a directory"))),
            // A link of one's own is followed.
            Some(false) => Ok(Self::File(place(&std::fs::canonicalize(path).during(to)?)?)),
            None => Ok(Self::New { place: place(path)?, folder: to.ends_with('/') }),
        }
    }
}

/// A path of this machine that is copied.
fn here_source(from: &str, follow: bool) -> Result<Place> {
    let path = Path::new(from);
    let found = std::fs::symlink_metadata(path).during(from)?;
    if is_content(from) || (from.ends_with('/') && path.is_dir()) {
        return Ok(Place { folder: Root::open(path).during(from)?, name: ".".into() });
    }
    let path: PathBuf = match follow && found.is_symlink() {
        true => std::fs::canonicalize(path).during(from)?,
        false => path.to_owned(),
    };
    match (path.parent(), path.file_name()) {
        (parent, Some(name)) => {
            let parent = parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(Place { folder: Root::open(parent).during(from)?, name: name.to_owned() })
        }
        _ => Ok(Place { folder: Root::open(&path).during(from)?, name: ".".into() }),
    }
}

/// What is at a place, under another name; devices and all.
fn write_tar(from: &Place, called: &OsString, tar: &mut TarWriter<impl Write>) -> Result {
    use std::os::unix::ffi::OsStrExt as _;
    let Some(stat) = from.stat()? else { return Err(Error::failed("it is gone")) };
    let called = if called == "." { Vec::new() } else { called.as_bytes().to_vec() };
    let kind = match stat.kind() {
        sys::FileKind::Dir => Kind::Dir,
        sys::FileKind::File => Kind::File,
        sys::FileKind::Symlink => Kind::Symlink,
        sys::FileKind::Fifo => Kind::Fifo,
        _ => return Err(Error::failed("a device or socket is not copied")),
    };
    let mut top = Entry::new(called.clone(), kind);
    (top.mode, top.uid, top.gid, top.mtime) = (stat.permissions(), stat.uid, stat.gid, stat.mtime.seconds);
    match kind {
        Kind::Symlink => top.link = from.folder.readlink(&from.name)?.as_bytes().to_vec(),
        Kind::File => top.size = stat.size,
        _ => {}
    }
    if kind == Kind::File {
        let file = from.folder.open_regular(&from.name)?;
        tar.append(&top, &mut file.chain(io::repeat(0)).take(stat.size))?;
        return Ok(());
    }
    if !called.is_empty() {
        tar.append(&top, &mut io::empty())?;
    }
    if kind != Kind::Dir {
        return Ok(());
    }
    let mut walk = Walk::new(&from.folder.open_dir(&from.name)?, WalkOptions::default())?;
    let below = |path: &[u8]| if called.is_empty() { path.to_vec() } else { [&called, b"/".as_slice(), path].concat() };
    while let Some((mut entry, file)) = walk.next_entry()? {
        if entry.kind.is_deletion() {
            continue;
        }
        entry.path = below(&entry.path);
        if entry.kind == Kind::Hardlink {
            entry.link = below(&entry.link);
        }
        match file {
            Some(file) => tar.append(&entry, &mut file.chain(io::repeat(0)).take(entry.size))?,
            None => tar.append(&entry, &mut io::empty())?,
        };
    }
    Ok(())
}

/// A tar becomes files in a folder of the container: nothing in it leads out of that folder.
fn stream_in(context: &Context, container: &str, path: &str) -> Result<Copied> {
    if io::stdin().is_terminal() {
        return Err(Error::usage("standard input is a terminal").hint("`tar -c … | estiba cp - CONTAINER:FOLDER`"));
    }
    let containers = chosen::containers(context)?;
    let found = chosen::one(&containers, container)?;
    let single = sandbox::probe(containers.store())?.rung == Rung::SingleId;
    let tree = containers.store().snapshots().join(found.config.id.as_str()).join("fs");
    let inside = Inside::open(&containers, &found, Whose::Container)?;
    let what = format!("unpack into {container}:{path}");
    let folder = inside.root().open_dir(path).during(&what)?;
    let options = ApplyOptions {
        ids: if single { IdPolicy::Recorded(tree) } else { IdPolicy::Keep },
        whiteouts: Whiteouts::Remove,
        names: WhiteoutNames::Plain,
        links: LinkParents::Refuse,
        ..ApplyOptions::default()
    };
    let (_, plain) = Compression::detecting(Box::new(io::stdin())).during(&what)?;
    apply(plain, &folder, &options).during(&what)?;
    Ok(Copied::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides() {
        let there = |container: &str, path: &str| Side::There { container: container.into(), path: path.into() };
        for (text, expected) in [
            ("-", Side::Stream),
            ("a:b", there("a", "b")),
            ("a:/b:c", there("a", "/b:c")),
            ("./a:b", Side::Here("./a:b".into())),
            ("/a:b", Side::Here("/a:b".into())),
            ("file", Side::Here("file".into())),
        ] {
            assert_eq!(Side::parse(text).unwrap_or(Side::Stream), expected, "{text}");
        }
        assert!(Side::parse(":x").is_err() && Side::parse("x:").is_err() && Side::parse("").is_err());
        for (path, name) in [("/etc/hosts", "hosts"), ("/etc/", "etc"), ("/etc/.", "."), ("/", "."), ("a", "a")] {
            assert_eq!(name_of(path), name, "{path}");
        }
    }
}
