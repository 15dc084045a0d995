//! What COPY and ADD share: sources, a destination, owners and permissions.

use std::collections::HashMap;

use graph::{Copy, Edge, FileAction, FileOp, Id, Merge, ModeChange, Op, Owner, Source, Unpack};

use super::Request;
use super::command_line::Json;
use crate::diagnostic::Diagnostic;
use crate::git_url::shown_url;
use crate::heredoc::Heredoc;
use crate::lower::{StageBuild, absolute, clean};
use crate::word::{Expander, Word};

/// Sources and a destination, with the flags that both instructions have.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Paths, patterns or addresses, unexpanded.
    pub sources: Vec<Word>,
    /// Files that the Dockerfile itself holds.
    pub files: Vec<Heredoc>,
    /// Where to.
    pub dest: Word,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`.
    pub exclude: Vec<Word>,
}

/// Reads arguments and shared flags.
pub(crate) fn parse(request: &mut Request<'_>) -> Option<Transfer> {
    let keyword = request.spec.name;
    let mut words = match Json::read(request.text()) {
        Json::Strings(list) => {
            let span = request.span();
            list.into_iter().map(|text| Word { text, span }).collect()
        }
        Json::Mixed => return request.fail("a JSON array here is made of strings only"),
        Json::No => request.blank_separated(),
    };
    let Some(dest) = words.pop().filter(|_| !words.is_empty()) else {
        return request.fail(format!("{keyword} requires at least one source and a destination"));
    };
    if !request.heredocs.is_empty() && Heredoc::from_word(&dest.text).is_some() {
        return request.fail_at(dest.span, format!("the destination of {keyword} cannot be a heredoc"));
    }
    let mut files = Vec::new();
    // Of a delimiter in use twice the last body counts, as in BuildKit.
    let bodies: HashMap<&str, &Heredoc> =
        request.heredocs.iter().map(|heredoc| (heredoc.name.as_str(), heredoc)).collect();
    words.retain(|word| {
        let body = Heredoc::from_word(&word.text).and_then(|announced| bodies.get(announced.name.as_str()).copied());
        files.extend(body.cloned());
        body.is_none()
    });
    Some(Transfer {
        sources: words,
        files,
        dest,
        chown: request.flags.text("chown"),
        chmod: request.flags.text("chmod"),
        link: request.flags.boolean("link").unwrap_or(false),
        exclude: request.flags.texts("exclude").collect(),
    })
}

/// A source after expansion: where its bytes come from.
pub(crate) enum Origin {
    /// A pattern in the tree that is copied from.
    Pattern(String),
    /// Everything that matches this in a tree of its own.
    Tree(Box<Source>, String, Unpack),
}

/// What a transfer is lowered with.
pub(crate) struct Plan<'a> {
    pub(crate) keyword: &'static str,
    /// The tree that patterns select from.
    pub(crate) tree: Edge,
    pub(crate) parents: bool,
    pub(crate) unpack: Unpack,
    /// Reads a source that is no pattern.
    pub(crate) read: &'a mut dyn FnMut(&mut StageBuild<'_>, &Word, &str) -> Option<Origin>,
}

impl Transfer {
    /// Lowers to one vertex, or with `--link` to two that make one layer.
    pub(crate) fn lower(&self, stage: &mut StageBuild<'_>, plan: Plan<'_>) -> Option<()> {
        let chown = stage.expand_optional(&self.chown)?;
        let chmod = stage.expand_optional(&self.chmod)?;
        let owner = self.owner(stage, chown.as_deref())?;
        let mode = self.mode(stage, chmod.as_deref())?;
        let exclude: Option<Vec<String>> = self.exclude.iter().map(|word| stage.expand(word)).collect();
        let sources: Option<Vec<String>> = self.sources.iter().map(|word| stage.expand(word)).collect();
        let (exclude, sources, written) = (exclude?, sources?, stage.expand(&self.dest)?);
        let dest = destination(stage.workdir(), &written);

        let mut shown = plan.keyword.to_owned();
        if plan.parents {
            shown.push_str(" --parents");
        }
        for (flag, value) in [(" --chown=", &chown), (" --chmod=", &chmod)] {
            if let Some(value) = value {
                shown.extend([flag, value]);
            }
        }
        // Files of a stage or an image keep the owners that they have there; those of the host's mean nothing in an image.
        let from_host = matches!(stage.making.graph.vertex(plan.tree).op(), Op::Source(Source::Local { .. }));
        let keep_owner = owner.is_none() && !from_host;
        let is_main = matches!(stage.making.graph.vertex(plan.tree).op(), Op::Source(Source::Local { name }) if name == "context");
        let like = Copy {
            input: 0,
            sources: Vec::new(),
            dest_is_dir: dest.ends_with('/') || self.sources.len() + self.files.len() > 1,
            dest,
            owner,
            mode,
            exclude,
            parents: plan.parents,
            unpack: plan.unpack,
            keep_owner,
        };
        let mut writing = Writing { inputs: vec![stage.state.root], actions: Vec::new(), patterns: None };
        for (word, source) in self.sources.iter().zip(&sources) {
            shown.extend([" ", &shown_url(source)]);
            match (plan.read)(stage, word, source)? {
                Origin::Pattern(pattern) => {
                    if is_main {
                        warn_if_ignored(stage, plan.keyword, word, &pattern);
                    }
                    let input = writing.patterns.unwrap_or_else(|| writing.input(plan.tree));
                    writing.patterns = Some(input);
                    writing.copy(input, pattern, &like, plan.unpack);
                }
                Origin::Tree(tree, pattern, unpack) => {
                    let input = writing.input(stage.source(*tree));
                    writing.copy(input, pattern, &like, unpack);
                }
            }
        }
        for heredoc in &self.files {
            shown.extend([" <<", &heredoc.name]);
            writing.actions.push(write_file(stage, &self.dest, heredoc, &like)?);
        }
        shown.extend([" ", &written, " # buildkit"]);
        self.add(stage, writing, &sources);
        stage.history(shown, true);
        Some(())
    }

    fn add(&self, stage: &mut StageBuild<'_>, mut writing: Writing, sources: &[String]) {
        let op = Op::File(FileOp { actions: writing.actions });
        let name = stage.vertex_name(false);
        // Of an address with a login or a query, neither names nor history tell it, be it cut off or quoted.
        let name = sources.iter().fold(name, |name, source| name.replace(source, &shown_url(source)));
        let name = name.split(' ').map(shown_url).collect::<Vec<_>>().join(" ");
        if !self.link {
            stage.state.root = stage.add(op, writing.inputs, name);
            return;
        }
        // The files make a tree of their own, whatever it is put on later.
        let base = stage.state.root;
        writing.inputs[0] = stage.source(Source::Scratch);
        let files = stage.add(op, writing.inputs, name.clone());
        let name = match name.split_once("] ") {
            Some((prefix, text)) => format!("{prefix}] LINK {text}"),
            None => format!("LINK {name}"),
        };
        stage.state.root = stage.add(Op::Merge(Merge {}), vec![base, files], name);
    }

    fn owner(&self, stage: &mut StageBuild<'_>, text: Option<&str>) -> Option<Option<Owner>> {
        let (Some(text), Some(word)) = (text.filter(|text| !text.is_empty()), &self.chown) else { return Some(None) };
        match read_owner(text) {
            Ok(owner) => Some(Some(owner)),
            Err(message) => {
                stage.fail(word.span, message);
                None
            }
        }
    }

    fn mode(&self, stage: &mut StageBuild<'_>, text: Option<&str>) -> Option<Option<ModeChange>> {
        let (Some(text), Some(word)) = (text.filter(|text| !text.is_empty()), &self.chmod) else { return Some(None) };
        let mode = read_mode(text);
        if mode.is_none() {
            stage
                .fail(word.span, format!("`{text}` is no mode: an octal number up to 07777, or such as `u=rwX,go=rX`"));
        }
        mode.map(Some)
    }
}

/// Inputs and actions of a vertex under construction.
struct Writing {
    inputs: Vec<Edge>,
    actions: Vec<FileAction>,
    /// The input that patterns select from, once there is one.
    patterns: Option<usize>,
}

impl Writing {
    /// Adds an input. Input 0 is what is written onto, even where it is copied
    /// from too.
    fn input(&mut self, tree: Edge) -> usize {
        self.inputs.push(tree);
        self.inputs.len() - 1
    }

    fn copy(&mut self, input: usize, pattern: String, like: &Copy, unpack: Unpack) {
        if let Some(FileAction::Copy(last)) = self.actions.last_mut()
            && last.input == input
            && last.unpack == unpack
        {
            last.sources.push(pattern);
            return;
        }
        self.actions.push(FileAction::Copy(Copy { input, sources: vec![pattern], unpack, ..like.clone() }));
    }
}

/// A COPY of what the ignore file leaves out finds nothing.
fn warn_if_ignored(stage: &mut StageBuild<'_>, keyword: &str, word: &Word, pattern: &str) {
    let rules = &stage.shared.options.ignored;
    if rules.is_empty() || pattern == "." {
        return;
    }
    let decision = rules.matches(pattern.replace("/./", "/").as_bytes(), false);
    if decision.included {
        return;
    }
    let message = format!("{keyword} of `{}`, which the ignore file leaves out of the context", word.text);
    let warning = Diagnostic::warning("CopyIgnoredFile", message).at(word.span);
    let help = decision.rule.map(|line| format!("line {line} of the ignore file decides"));
    stage.report(match help {
        Some(help) => warning.help(help),
        None => warning,
    });
}

fn write_file(stage: &mut StageBuild<'_>, dest: &Word, heredoc: &Heredoc, like: &Copy) -> Option<FileAction> {
    let text = heredoc.text();
    let data =
        if heredoc.expand { stage.expand_with(Expander::body(), &Word { text, span: dest.span })?.text } else { text };
    stage.spend(data.len());
    let name = clean(&heredoc.name);
    let path = if like.dest_is_dir { absolute(&like.dest, &name) } else { like.dest.clone() };
    let (mode, owner) = (like.mode.clone(), like.owner.clone());
    Some(FileAction::WriteFile { path, data: data.into_bytes(), mode, owner })
}

/// The destination, absolute; its trailing slash stays.
fn destination(workdir: &str, written: &str) -> String {
    let mut path = absolute(workdir, written);
    let is_dir = written.is_empty() || written == "." || written.ends_with('/') || written.ends_with("/.");
    if is_dir && !path.ends_with('/') {
        path.push('/');
    }
    path
}

/// A pattern of a source, relative to the root of its tree.
pub(crate) fn pattern(source: &str, parents: bool) -> String {
    match source.split_once("/./") {
        Some((above, below)) if parents => {
            let above = clean(above);
            let above = if above == "." { "" } else { above.as_str() };
            format!("{above}/./{}", clean(below)).trim_start_matches('/').to_owned()
        }
        _ => clean(source),
    }
}

/// Reads `user[:group]`.
pub(crate) fn read_owner(text: &str) -> Result<Owner, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    if group.is_some_and(|group| group.contains(':')) {
        return Err(format!("`{text}` is no owner: write user[:group]"));
    }
    let group = group.filter(|group| !group.is_empty()).map(read_id).transpose()?;
    let user = if user.is_empty() { Id::Number(0) } else { read_id(user)? };
    Ok(Owner { user, group })
}

fn read_id(text: &str) -> Result<Id, String> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Id::Name(text.to_owned()));
    }
    text.parse().map(Id::Number).map_err(|_| format!("`{text}` is too large for a user or group"))
}

/// Reads `--chmod`.
fn read_mode(text: &str) -> Option<ModeChange> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let bits = u32::from_str_radix(text, 8).ok()?;
        return (bits <= 0o7777).then_some(ModeChange::Octal(bits));
    }
    let clause = |clause: &str| {
        let rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
        rest.starts_with(['+', '-', '='])
            && rest.split(['+', '-', '=']).skip(1).all(|permissions| {
                permissions.bytes().all(|b| b"rwxXst".contains(&b)) || matches!(permissions, "u" | "g" | "o")
            })
    };
    text.split(',').all(clause).then(|| ModeChange::Symbolic(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners() {
        let owner = |text| read_owner(text).unwrap();
        assert_eq!(owner("10:11"), Owner { user: Id::Number(10), group: Some(Id::Number(11)) });
        assert_eq!(owner("app"), Owner { user: Id::Name("app".into()), group: None });
        assert_eq!(owner(":www"), Owner { user: Id::Number(0), group: Some(Id::Name("www".into())) });
        for bad in ["a:b:c", "99999999999"] {
            assert!(read_owner(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn modes() {
        assert_eq!(read_mode("0755"), Some(ModeChange::Octal(0o755)));
        assert_eq!(read_mode("7777"), Some(ModeChange::Octal(0o7777)));
        for good in ["u=rwX,go=rX", "+x", "a-w", "g=u", "u+s,+t", "u=", "u+r-w"] {
            assert_eq!(read_mode(good), Some(ModeChange::Symbolic(good.into())), "{good}");
        }
        for bad in ["10000", "0999", "x", "u", "u+q", "rwx", "u+x,", "755x"] {
            assert_eq!(read_mode(bad), None, "{bad}");
        }
    }

    #[test]
    fn destinations_keep_their_slash() {
        for (workdir, written, expected) in [
            ("/", "x", "/x"),
            ("/w", ".", "/w/"),
            ("/w", "", "/w/"),
            ("/w", "a/", "/w/a/"),
            ("/w", "/a//b/../c", "/a/c"),
            ("/", "/", "/"),
            ("/w", "../../x", "/x"),
        ] {
            assert_eq!(destination(workdir, written), expected, "{workdir} {written}");
        }
    }

    #[test]
    fn patterns_are_relative_and_clean() {
        for (source, parents, expected) in [
            (".", false, "."),
            ("/a/../b/", false, "b"),
            ("../x", false, "x"),
            ("a/./b", false, "a/b"),
            ("a/./b/c", true, "a/./b/c"),
            ("./a/b", true, "a/b"),
            ("/./b", true, "./b"),
        ] {
            assert_eq!(pattern(source, parents), expected, "{source}");
        }
    }
}
