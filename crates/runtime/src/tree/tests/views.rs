//! Chains of layers, in both forms, against what overlayfs would show.

use std::io::{Read, Write};
use std::sync::Arc;

use layer::{Kind, Toc};

use super::super::IdPolicy;
use super::super::view::{LayerSource, Node, TreeView};
use super::{applied, bare, dir, file, link, tar};

fn base() -> Vec<u8> {
    tar(&[
        dir("bin"),
        file("bin/sh", "sh"),
        dir("etc"),
        file("etc/old", "old"),
        file("etc/passwd", "root"),
        link("lib", Kind::Symlink, "usr/lib"),
        dir("opt"),
        file("opt/a", "a"),
        file("opt/b", "b"),
        dir("usr"),
        dir("usr/lib"),
        file("usr/lib/libc", "libc"),
        link("usr/loop", Kind::Symlink, "loop"),
        link("usr/up", Kind::Symlink, "../../../etc/passwd"),
    ])
}

fn top() -> Vec<u8> {
    tar(&[
        bare("bin", Kind::Whiteout),
        dir("etc"),
        file("etc/new", "new"),
        bare("etc/old", Kind::Whiteout),
        dir("opt"),
        bare("opt", Kind::Opaque),
        file("opt/c", "c"),
        link("opt/d", Kind::Hardlink, "opt/c"),
        file("srv/only/implied", "implied"),
    ])
}

/// The same chain in all four combinations of forms.
fn views() -> Vec<(TreeView, Vec<tempfile::TempDir>)> {
    let source = |bytes: &[u8], blob: bool, kept: &mut Vec<tempfile::TempDir>| {
        if !blob {
            let (dir, root) = applied(bytes);
            kept.push(dir);
            return LayerSource::Tree { root, toc: None, ids: IdPolicy::Keep };
        }
        let mut tar = tempfile::tempfile().unwrap();
        tar.write_all(bytes).unwrap();
        LayerSource::Blob { toc: Arc::new(Toc::scan(bytes).unwrap()), tar }
    };
    let view = |(lower, upper)| {
        let mut kept = Vec::new();
        let layers = vec![source(&base(), lower, &mut kept), source(&top(), upper, &mut kept)];
        (TreeView::new(layers).unwrap(), kept)
    };
    [(false, false), (false, true), (true, false), (true, true)].into_iter().map(view).collect()
}

fn text(view: &TreeView, node: &Node) -> String {
    let mut text = String::new();
    view.open(node).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn both_forms_show_what_a_mount_would() {
    for (view, _kept) in views() {
        let mut seen = Vec::new();
        view.visit(&view.root(), |path, node| {
            let content = if node.entry().kind == Kind::File { text(&view, node) } else { String::new() };
            seen.push(format!("{} {:?} {content}", String::from_utf8_lossy(path), node.entry().kind));
            Ok::<_, super::super::view::ViewError>(true)
        })
        .unwrap();
        let expected = [
            " Dir ",
            "etc Dir ",
            "etc/new File new",
            "etc/passwd File root",
            "lib Symlink ",
            "opt Dir ",
            "opt/c File c",
            "opt/d File c",
            "srv Dir ",
            "srv/only Dir ",
            "srv/only/implied File implied",
            "usr Dir ",
            "usr/lib Dir ",
            "usr/lib/libc File libc",
            "usr/loop Symlink ",
            "usr/up Symlink ",
        ];
        assert_eq!(seen, expected);
    }
}

#[test]
fn links_are_followed_inside_the_view() {
    for (view, _kept) in views() {
        let follow = |path: &str| view.lookup(path.as_bytes(), true);
        assert_eq!(follow("lib/libc").unwrap().unwrap().path(), b"usr/lib/libc");
        assert_eq!(text(&view, &follow("/usr/up").unwrap().unwrap()), "root");
        assert_eq!(text(&view, &follow("../../usr/../etc/./passwd").unwrap().unwrap()), "root");
        assert_eq!(view.lookup(b"lib", false).unwrap().unwrap().entry().kind, Kind::Symlink);
        assert_eq!(follow("lib").unwrap().unwrap().entry().kind, Kind::Dir);
        assert!(follow("usr/loop").unwrap_err().to_string().contains("levels of symbolic links"));
        assert!(follow("bin/sh").unwrap().is_none());
        assert!(follow("etc/passwd/x").unwrap().is_none());
        assert_eq!(follow("/").unwrap().unwrap().path(), b"");
    }
}

#[test]
fn a_selection_has_one_digest_in_every_form() {
    let digests: Vec<_> = views()
        .iter()
        .map(|(view, _)| {
            let node = |path: &[u8]| view.lookup(path, true).unwrap().unwrap();
            let selected = view.digest(&[node(b"opt"), node(b"etc/passwd")]).unwrap();
            assert_ne!(selected, view.digest(&[node(b"opt")]).unwrap());
            assert_ne!(selected, view.digest(&[node(b"etc/passwd"), node(b"opt")]).unwrap());
            selected
        })
        .collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn what_is_no_file_has_no_content_and_what_is_no_directory_no_names() {
    for (view, _kept) in views() {
        let node = |path: &[u8]| view.lookup(path, false).unwrap().unwrap();
        assert!(view.open(&node(b"etc")).is_err());
        assert!(view.open(&node(b"lib")).is_err());
        assert!(view.read_dir(&node(b"etc/passwd")).is_err());
        assert!(view.open(&view.root()).is_err());
    }
}
