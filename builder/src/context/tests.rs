use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    /// Files named with a trailing slash are folders; their content is their name.
    fn new(files: &[&str]) -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(fixture.dir()).unwrap();
        for file in files {
            fixture.write(file, file);
        }
        fixture
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("context")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn write(&self, file: &str, content: &str) {
        let path = self.dir().join(file);
        if file.ends_with('/') {
            return fs::create_dir_all(path).unwrap();
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
    }

    fn open(&self, rules: &str) -> Context {
        Context::open(&self.dir(), IgnoreRules::parse(rules).unwrap(), Some(&self.cache())).unwrap()
    }

    /// What a COPY takes, as `destination=source`.
    fn taken(&self, rules: &str, copy: &graph::Copy) -> Vec<String> {
        shown(&self.open(rules).select(copy).unwrap())
    }

    /// Waits until what was written can be told from what will be.
    fn settle() {
        std::thread::sleep(Duration::from_millis(40));
    }
}

fn shown(selection: &Selection) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    selection.entries().iter().map(|taken| format!("{}={}", text(&taken.entry.path), text(&taken.source))).collect()
}

fn copy(sources: &[&str]) -> graph::Copy {
    graph::Copy {
        input: 1,
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        dest: "/dest".to_owned(),
        dest_is_dir: false,
        owner: None,
        mode: None,
        exclude: Vec::new(),
        parents: false,
        unpack: graph::Unpack::Never,
        keep_owner: false,
    }
}

fn excluding(sources: &[&str], exclude: &[&str]) -> graph::Copy {
    graph::Copy { exclude: exclude.iter().map(|pattern| (*pattern).to_owned()).collect(), ..copy(sources) }
}

fn with_parents(sources: &[&str]) -> graph::Copy {
    graph::Copy { parents: true, ..copy(sources) }
}

#[test]
fn a_directory_gives_its_contents_in_canonical_order() {
    let fixture = Fixture::new(&["src/a-b", "src/a/x", "src/a/y/", "src/b", "other"]);
    let expected = ["=src", "a=src/a", "a/x=src/a/x", "a/y=src/a/y", "a-b=src/a-b", "b=src/b"];
    assert_eq!(fixture.taken("", &copy(&["src"])), expected);
    assert_eq!(fixture.taken("", &copy(&["./src/"])), expected);
    assert_eq!(fixture.taken("", &copy(&["/src/../src/."])), expected);
    let all = fixture.taken("", &copy(&["."]));
    assert_eq!(all.len(), 8);
    assert_eq!((&*all[0], &*all[1], &*all[2]), ("=", "other=other", "src=src"));
}

#[test]
fn one_file_is_named_by_the_destination() {
    let fixture = Fixture::new(&["a/one", "two"]);
    let context = fixture.open("");
    let one = context.select(&copy(&["a/one"])).unwrap();
    assert_eq!((shown(&one), one.placement()), (vec!["one=a/one".to_owned()], Placement::Named));
    assert!(one.entries()[0].is_named());
    let both = context.select(&copy(&["a/one", "two"])).unwrap();
    assert_eq!((shown(&both).len(), both.placement()), (2, Placement::Below));
    assert_eq!(context.select(&copy(&["a"])).unwrap().placement(), Placement::Below);
    assert_eq!(context.select(&copy(&["tw?"])).unwrap().placement(), Placement::Named);
}

#[test]
fn wildcards_match_and_may_match_nothing() {
    let fixture = Fixture::new(&["a.rs", "b.rs", "c.c", "sub/d.rs", "sub/deep/e.rs", "dir.rs/f"]);
    assert_eq!(fixture.taken("", &copy(&["?.rs"])), ["a.rs=a.rs", "b.rs=b.rs"]);
    assert_eq!(fixture.taken("", &copy(&["*.rs"])), ["=dir.rs", "a.rs=a.rs", "b.rs=b.rs", "f=dir.rs/f"]);
    assert_eq!(fixture.taken("", &copy(&["*/d.rs"])), ["d.rs=sub/d.rs"]);
    assert_eq!(fixture.taken("", &copy(&["s*/deep"])), ["=sub/deep", "e.rs=sub/deep/e.rs"]);
    assert!(fixture.taken("", &copy(&["*.py"])).is_empty());
    let error = fixture.open("").select(&copy(&["no.py"])).unwrap_err();
    assert!(matches!(error, ContextError::NotFound { .. }), "{error}");
    assert!(matches!(fixture.open("").select(&copy(&["a["])), Err(ContextError::Pattern(_))));
}

#[test]
fn ignore_rules_hide_and_take_back() {
    let fixture = Fixture::new(&["docs/a.md", "docs/keep.md", "docs/x/b.md", "src/main.rs", "src/main.o"]);
    let rules = "docs\n!docs/keep.md\n**/*.o";
    let expected = ["=", "docs=docs", "docs/keep.md=docs/keep.md", "src=src", "src/main.rs=src/main.rs"];
    assert_eq!(fixture.taken(rules, &copy(&["."])), expected);
    assert_eq!(fixture.taken(rules, &copy(&["docs/keep.md"])), ["keep.md=docs/keep.md"]);
    assert_eq!(fixture.taken(rules, &copy(&["src/*"])), ["main.rs=src/main.rs"]);
    let error = fixture.open(rules).select(&copy(&["docs/a.md"])).unwrap_err();
    assert!(matches!(error, ContextError::Ignored { line: 1, .. }), "{error}");
    // A folder of which nothing is left is not there; one that is empty by itself is.
    fixture.write("empty/", "");
    assert_eq!(fixture.taken("docs\nsrc/*", &copy(&["."])), ["=", "empty=empty", "src=src"]);
}

#[test]
fn excludes_are_relative_to_the_source() {
    let fixture = Fixture::new(&["a/x.txt", "a/y.md", "a/sub/x.txt", "top.txt", "top.md"]);
    let taken = fixture.taken("", &excluding(&["a"], &["*.txt"]));
    assert_eq!(taken, ["=a", "sub=a/sub", "sub/x.txt=a/sub/x.txt", "y.md=a/y.md"]);
    let taken = fixture.taken("", &excluding(&["a"], &["**/*.txt"]));
    assert_eq!(taken, ["=a", "sub=a/sub", "y.md=a/y.md"]);
    let taken = fixture.taken("", &excluding(&["a"], &["sub", "!sub/x.txt"]));
    assert_eq!(taken, ["=a", "sub=a/sub", "sub/x.txt=a/sub/x.txt", "x.txt=a/x.txt", "y.md=a/y.md"]);
    assert_eq!(fixture.taken("", &excluding(&["top*"], &["*.md"])), ["top.txt=top.txt"]);
}

#[test]
fn parents_are_kept_from_the_pivot_on() {
    let fixture = Fixture::new(&["a/b/c/one", "a/b/two", "a/other", "z/one"]);
    assert_eq!(fixture.taken("", &with_parents(&["a/b/two"])), ["a=a", "a/b=a/b", "a/b/two=a/b/two"]);
    assert_eq!(fixture.taken("", &with_parents(&["a/./b/two"])), ["b=a/b", "b/two=a/b/two"]);
    let expected = ["a=a", "a/b=a/b", "a/b/c=a/b/c", "a/b/c/one=a/b/c/one", "z=z", "z/one=z/one"];
    assert_eq!(fixture.taken("", &with_parents(&["**/one"])), expected);
    assert_eq!(fixture.taken("", &with_parents(&["*/b/c"])), expected[..4]);
    assert!(fixture.open("").select(&with_parents(&["a/none"])).is_err());
}

#[test]
fn links_are_followed_inside_and_never_out() {
    let fixture = Fixture::new(&["real/file", "real/sub/deep"]);
    let dir = fixture.dir();
    symlink("real", dir.join("link")).unwrap();
    symlink("/real/file", dir.join("absolute")).unwrap();
    symlink("../../../../../../etc/passwd", dir.join("escape")).unwrap();
    symlink("two", dir.join("one")).unwrap();
    symlink("one", dir.join("two")).unwrap();
    assert_eq!(fixture.taken("", &copy(&["link/file"])), ["file=real/file"]);
    assert_eq!(
        fixture.taken("", &copy(&["link"])),
        ["=real", "file=real/file", "sub=real/sub", "sub/deep=real/sub/deep"]
    );
    assert_eq!(fixture.taken("", &copy(&["absolute"])), ["absolute=real/file"]);
    let context = fixture.open("");
    assert!(matches!(context.select(&copy(&["escape"])), Err(ContextError::NotFound { .. })));
    assert!(matches!(context.select(&copy(&["one"])), Err(ContextError::LinkLoop { .. })));
    // Links that a directory holds stay links.
    let all = context.select(&copy(&["."])).unwrap();
    let link = all.entries().iter().find(|taken| taken.source == b"escape").unwrap();
    assert_eq!((link.entry.kind, &*link.entry.link), (Kind::Symlink, &b"../../../../../../etc/passwd"[..]));
}

#[test]
fn sockets_are_passed_over_and_fifos_kept() {
    let fixture = Fixture::new(&["a"]);
    let _socket = std::os::unix::net::UnixListener::bind(fixture.dir().join("socket")).unwrap();
    Root::open(fixture.dir()).unwrap().mkfifo("fifo", 0o644).unwrap();
    let selection = fixture.open("").select(&copy(&["."])).unwrap();
    assert_eq!(shown(&selection), ["=", "a=a", "fifo=fifo"]);
    selection.digest().unwrap();
}

#[test]
fn two_sources_may_meet() {
    let fixture = Fixture::new(&["one/x", "one/y", "two/x", "x/file"]);
    assert_eq!(fixture.taken("", &copy(&["one", "two"])), ["=one", "x=two/x", "y=one/y"]);
    fixture.write("x2", "");
    fs::rename(fixture.dir().join("x"), fixture.dir().join("three")).unwrap();
    fs::create_dir(fixture.dir().join("three/y")).unwrap();
    let error = fixture.open("").select(&copy(&["one", "three"])).unwrap_err();
    assert!(matches!(error, ContextError::Conflict { .. }), "{error}");
}

#[test]
fn the_digest_is_of_content_and_modes_not_of_times_and_places() {
    let fixture = Fixture::new(&["src/a", "src/b"]);
    let digest = |fixture: &Fixture| fixture.open("").select(&copy(&["src"])).unwrap().digest().unwrap();
    let first = digest(&fixture);
    let old = fs::File::open(fixture.dir().join("src/a")).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(digest(&fixture), first);
    assert_eq!(digest(&Fixture::new(&["src/b", "src/a", "other"])), first);
    fixture.write("src/a", "SRC/A");
    let changed = digest(&fixture);
    assert_ne!(changed, first);
    fixture.write("src/a", "src/a");
    assert_eq!(digest(&fixture), first);
    fs::set_permissions(fixture.dir().join("src/a"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_ne!(digest(&fixture), first);
}

#[test]
fn what_was_hashed_once_is_not_read_again() {
    let fixture = Fixture::new(&["src/a", "src/b", "src/sub/c"]);
    Fixture::settle();
    let context = fixture.open("");
    let first = context.select(&copy(&["src"])).unwrap();
    assert!(!first.is_known());
    let digest = first.digest().unwrap();
    assert!(first.is_known());
    assert!(context.save().unwrap());
    assert!(!context.save().unwrap());

    let context = fixture.open("");
    let again = context.select(&copy(&["src"])).unwrap();
    assert!(again.is_known());
    assert_eq!(again.digest().unwrap(), digest);
    assert!(!context.save().unwrap(), "nothing changed, so nothing is written");

    // One changed file costs one file; another COPY's part of the cache stays.
    fixture.write("src/b", "changed");
    fixture.write("src/a", "src/a");
    Fixture::settle();
    let context = fixture.open("");
    let sub = context.select(&copy(&["src/sub"])).unwrap();
    assert!(sub.is_known());
    let changed = context.select(&copy(&["src"])).unwrap();
    let known: Vec<bool> = (0..changed.entries().len()).map(|at| changed.content(at).is_some()).collect();
    assert_eq!(known, [false, false, false, false, true], "{:?}", shown(&changed));
    assert_ne!(changed.digest().unwrap(), digest);
    assert!(context.save().unwrap());
    assert!(fixture.open("").select(&copy(&["src"])).unwrap().is_known());
}

#[test]
fn a_file_written_in_the_same_tick_is_not_trusted() {
    let fixture = Fixture::new(&["a"]);
    Fixture::settle();
    fixture.write("a", "one");
    let context = fixture.open("");
    let first = context.select(&copy(&["a"])).unwrap().digest().unwrap();
    context.save().unwrap();
    // Same size, maybe the same times.
    fixture.write("a", "two");
    let second = fixture.open("").select(&copy(&["a"])).unwrap().digest().unwrap();
    assert_ne!(first, second);
}

#[test]
fn a_copy_may_hash_what_it_reads() {
    let fixture = Fixture::new(&["src/a", "src/b"]);
    Fixture::settle();
    let context = fixture.open("");
    let selection = context.select(&copy(&["src"])).unwrap();
    for taken in selection.entries().iter().filter(|taken| taken.entry.kind == Kind::File) {
        let mut content = Vec::new();
        context.read(taken).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, taken.source);
        context.record(&taken.source, Digest::sha256(&content));
    }
    assert!(selection.is_known());
    assert!(context.save().unwrap());
    assert!(fixture.open("").select(&copy(&["src"])).unwrap().is_known());
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let fixture = Fixture::new(&["a"]);
    let context = fixture.open("");
    let selection = context.select(&copy(&["a"])).unwrap();
    Fixture::settle();
    fixture.write("a", "b");
    let error = selection.digest().unwrap_err();
    assert!(matches!(&error, ContextError::Changed { path } if path.ends_with("context/a")), "{error}");
    let mut reader = context.read(&selection.entries()[0]).unwrap();
    let error = std::io::copy(&mut reader, &mut std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("changed while it was being read"), "{error}");

    let context = fixture.open("");
    let selection = context.select(&copy(&["a"])).unwrap();
    let mut reader = context.read(&selection.entries()[0]).unwrap();
    Fixture::settle();
    fixture.write("a", "longer than it was");
    let error = std::io::copy(&mut reader, &mut std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("changed while it was being read"), "{error}");
}

#[test]
fn attributes_count_and_are_remembered() {
    let fixture = Fixture::new(&["src/a"]);
    let root = Root::open(fixture.dir()).unwrap();
    if root.set_xattr("src/a", "user.kind", b"tea").is_err() {
        eprintln!("skipped: this file system has no user attributes");
        return;
    }
    Fixture::settle();
    let select = || fixture.open("").select(&copy(&["src"])).unwrap();
    let context = fixture.open("");
    let first = context.select(&copy(&["src"])).unwrap().digest().unwrap();
    context.save().unwrap();
    assert_eq!(select().entries()[1].entry.xattrs[&b"user.kind"[..]], b"tea");
    assert_eq!(select().digest().unwrap(), first);
    root.set_xattr("src/a", "user.kind", b"ink").unwrap();
    assert_ne!(select().digest().unwrap(), first);
}

#[test]
fn a_damaged_cache_counts_as_none() {
    let fixture = Fixture::new(&["src/a", "src/b"]);
    Fixture::settle();
    let context = fixture.open("");
    let digest = context.select(&copy(&["src"])).unwrap().digest().unwrap();
    context.save().unwrap();
    let whole = fs::read(fixture.cache()).unwrap();
    // Cut anywhere; and with another boot's id, any flipped byte.
    for length in [0, 5, 95, 96, whole.len() - 1] {
        fs::write(fixture.cache(), &whole[..length]).unwrap();
        assert_eq!(fixture.open("").select(&copy(&["src"])).unwrap().digest().unwrap(), digest);
    }
    let mut other_boot = whole.clone();
    other_boot[24] ^= 1;
    fs::write(fixture.cache(), &other_boot).unwrap();
    assert!(fixture.open("").select(&copy(&["src"])).unwrap().is_known());
    for at in (96..whole.len()).step_by(7) {
        let mut damaged = other_boot.clone();
        damaged[at] ^= 1;
        fs::write(fixture.cache(), &damaged).unwrap();
        assert_eq!(fixture.open("").select(&copy(&["src"])).unwrap().digest().unwrap(), digest);
    }
}

#[test]
fn an_unreadable_file_is_named() {
    let fixture = Fixture::new(&["a"]);
    fs::set_permissions(fixture.dir().join("a"), fs::Permissions::from_mode(0o000)).unwrap();
    match fixture.open("").select(&copy(&["a"])).unwrap().digest() {
        // Root reads everything.
        Ok(_) => assert!(fs::read(fixture.dir().join("a")).is_ok()),
        Err(error) => assert!(error.to_string().contains("context/a: Permission denied"), "{error}"),
    }
}

#[test]
fn a_large_tree_is_walked_by_two_threads_as_by_one() {
    let fixture = Fixture::new(&[]);
    for dir in 0..60 {
        let path = fixture.dir().join(format!("d{dir:02}"));
        fs::create_dir(&path).unwrap();
        for file in 0..100 {
            fs::write(path.join(format!("f{file:02}")), "").unwrap();
        }
    }
    let whole = fixture.open("**/f99").select(&copy(&["."])).unwrap();
    assert_eq!(whole.entries().len(), 1 + 60 * 100);
    assert!(whole.entries().is_sorted_by(|a, b| layer::compare_paths(&a.entry.path, &b.entry.path).is_lt()));
    // Folder by folder, then the rest of it.
    let context = fixture.open("**/f99");
    for dir in ["d00", "d59", "d07"] {
        assert_eq!(context.select(&copy(&[dir])).unwrap().entries().len(), 100);
    }
    assert_eq!(shown(&context.select(&copy(&["."])).unwrap()), shown(&whole));
}

/// The walk finds what the `walkdir` crate finds, links and all.
#[test]
fn agrees_with_walkdir() {
    let fixture = Fixture::new(&["a", "b/c", "b/d/e", "b/d/empty/", ".hidden/x", "z \u{e9}/y"]);
    symlink("../a", fixture.dir().join("b/link")).unwrap();
    symlink(".", fixture.dir().join("loop")).unwrap();
    let walk = walkdir::WalkDir::new(fixture.dir()).min_depth(1);
    let mut theirs: Vec<String> =
        walk.into_iter().map(|entry| relative(entry.unwrap().path(), &fixture.dir())).collect();
    let selection = fixture.open("").select(&copy(&["."])).unwrap();
    let sources = selection.entries().iter().map(|taken| String::from_utf8_lossy(&taken.source).into_owned());
    let mut ours: Vec<String> = sources.filter(|source| !source.is_empty()).collect();
    theirs.sort();
    ours.sort();
    assert_eq!(ours, theirs);
}

fn relative(path: &Path, dir: &Path) -> String {
    path.strip_prefix(dir).unwrap().to_string_lossy().into_owned()
}
