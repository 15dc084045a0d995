//! The instructions. An instruction is one file and one line of [`TABLE`]:
//! its file holds syntax, struct, `parse`, `lower` and tests, in this order.

pub mod add;
pub mod arg;
pub mod cmd;
pub mod command_line;
pub mod copy;
pub mod entrypoint;
pub mod env;
pub mod expose;
pub mod from;
pub mod healthcheck;
pub mod label;
pub mod maintainer;
pub mod onbuild;
pub mod pair;
pub mod run;
pub mod shell;
pub mod stopsignal;
pub mod transfer;
pub mod user;
pub mod volume;
pub mod workdir;

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Findings};
use crate::flag::{FlagSpec, Flags};
use crate::heredoc::Heredoc;
use crate::line::Logical;
use crate::lower::StageBuild;
use crate::source::Span;
use crate::syntax::split_keyword;
use crate::word::Word;

/// Every instruction of the language.
pub static TABLE: [Spec; 18] = [
    add::SPEC,
    arg::SPEC,
    cmd::SPEC,
    copy::SPEC,
    entrypoint::SPEC,
    env::SPEC,
    expose::SPEC,
    from::SPEC,
    healthcheck::SPEC,
    label::SPEC,
    maintainer::SPEC,
    onbuild::SPEC,
    run::SPEC,
    shell::SPEC,
    stopsignal::SPEC,
    user::SPEC,
    volume::SPEC,
    workdir::SPEC,
];

/// A row of [`TABLE`].
pub struct Spec {
    /// Its keyword, in capitals.
    pub name: &'static str,
    /// The flags it takes.
    pub flags: &'static [FlagSpec],
    /// Whether heredocs may follow it.
    pub heredocs: bool,
    /// Whether it may be an `ONBUILD` trigger.
    pub trigger: bool,
    /// Reads its arguments; reports what is wrong and then gives `None`.
    pub(crate) parse: fn(&mut Request<'_>) -> Option<Instruction>,
}

/// A parsed instruction.
#[derive(Clone, Debug)]
pub enum Instruction {
    /// ADD
    Add(add::Add),
    /// ARG
    Arg(arg::Arg),
    /// CMD
    Cmd(cmd::Cmd),
    /// COPY
    Copy(copy::Copy),
    /// ENTRYPOINT
    Entrypoint(entrypoint::Entrypoint),
    /// ENV
    Env(env::Env),
    /// EXPOSE
    Expose(expose::Expose),
    /// FROM
    From(from::From),
    /// HEALTHCHECK
    Healthcheck(healthcheck::Healthcheck),
    /// LABEL
    Label(label::Label),
    /// MAINTAINER
    Maintainer(maintainer::Maintainer),
    /// ONBUILD
    Onbuild(onbuild::Onbuild),
    /// RUN
    Run(run::Run),
    /// SHELL
    Shell(shell::Shell),
    /// STOPSIGNAL
    Stopsignal(stopsignal::Stopsignal),
    /// USER
    User(user::User),
    /// VOLUME
    Volume(volume::Volume),
    /// WORKDIR
    Workdir(workdir::Workdir),
}

impl Instruction {
    /// Its keyword, in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Instruction::Add(_) => add::SPEC.name,
            Instruction::Arg(_) => arg::SPEC.name,
            Instruction::Cmd(_) => cmd::SPEC.name,
            Instruction::Copy(_) => copy::SPEC.name,
            Instruction::Entrypoint(_) => entrypoint::SPEC.name,
            Instruction::Env(_) => env::SPEC.name,
            Instruction::Expose(_) => expose::SPEC.name,
            Instruction::From(_) => from::SPEC.name,
            Instruction::Healthcheck(_) => healthcheck::SPEC.name,
            Instruction::Label(_) => label::SPEC.name,
            Instruction::Maintainer(_) => maintainer::SPEC.name,
            Instruction::Onbuild(_) => onbuild::SPEC.name,
            Instruction::Run(_) => run::SPEC.name,
            Instruction::Shell(_) => shell::SPEC.name,
            Instruction::Stopsignal(_) => stopsignal::SPEC.name,
            Instruction::User(_) => user::SPEC.name,
            Instruction::Volume(_) => volume::SPEC.name,
            Instruction::Workdir(_) => workdir::SPEC.name,
        }
    }

    /// Applies it to the stage at hand. What is wrong is reported to the stage.
    pub(crate) fn lower(&self, stage: &mut StageBuild<'_>) {
        match self {
            Instruction::Add(add) => add.lower(stage),
            Instruction::Arg(arg) => arg.lower(stage),
            Instruction::Cmd(cmd) => cmd.lower(stage),
            Instruction::Copy(copy) => copy.lower(stage),
            Instruction::Entrypoint(entrypoint) => entrypoint.lower(stage),
            Instruction::Env(env) => env.lower(stage),
            Instruction::Expose(expose) => expose.lower(stage),
            // A FROM begins a stage; it is never in one.
            Instruction::From(_) => {}
            Instruction::Healthcheck(healthcheck) => healthcheck.lower(stage),
            Instruction::Label(label) => label.lower(stage),
            Instruction::Maintainer(maintainer) => maintainer.lower(stage),
            Instruction::Onbuild(onbuild) => onbuild.lower(stage),
            Instruction::Run(run) => run.lower(stage),
            Instruction::Shell(shell) => shell.lower(stage),
            Instruction::Stopsignal(stopsignal) => stopsignal.lower(stage),
            Instruction::User(user) => user.lower(stage),
            Instruction::Volume(volume) => volume.lower(stage),
            Instruction::Workdir(workdir) => workdir.lower(stage),
        }
    }

    /// Whether it can make a vertex, which progress counts.
    pub(crate) fn is_counted(&self) -> bool {
        matches!(self, Instruction::Add(_) | Instruction::Copy(_) | Instruction::Run(_) | Instruction::Workdir(_))
    }

    /// Names of stages, images or contexts that it reads from.
    pub(crate) fn origins(&self) -> Vec<&Word> {
        match self {
            Instruction::Copy(copy) => copy.from.iter().collect(),
            Instruction::Run(run) => run.mounts.iter().filter_map(|mount| mount.from()).collect(),
            _ => Vec::new(),
        }
    }
}

/// The row of a keyword, in any case.
pub(crate) fn find(keyword: &str) -> Option<&'static Spec> {
    TABLE.iter().find(|spec| spec.name.eq_ignore_ascii_case(keyword))
}

/// The blanks that separate words: not the line feed.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0b' | '\x0c' | '\r')
}

/// Whether heredocs may follow a line whose arguments begin at byte `args`.
pub(crate) fn takes_heredocs(spec: &Spec, logical: &Logical, args: usize) -> bool {
    if spec.name == onbuild::SPEC.name {
        let (end, rest) = split_keyword(&logical.text, args);
        let inner = find(&logical.text[args..end]);
        return inner
            .is_some_and(|inner| inner.trigger && takes_heredocs(inner, logical, Flags::split(logical, rest).1));
    }
    spec.heredocs && !matches!(command_line::Json::read(&logical.text[args..]), command_line::Json::Strings(_))
}

/// What an instruction's `parse` works on.
pub(crate) struct Request<'a> {
    pub(crate) spec: &'static Spec,
    pub(crate) logical: &'a Logical,
    pub(crate) keyword: Range<usize>,
    /// The arguments: what follows the flags, trimmed.
    pub(crate) args: Range<usize>,
    pub(crate) flags: Flags,
    pub(crate) heredocs: Vec<Heredoc>,
    pub(crate) escape: char,
    pub(crate) findings: &'a mut Findings,
}

impl<'a> Request<'a> {
    /// The arguments.
    pub(crate) fn text(&self) -> &'a str {
        &self.logical.text[self.args.clone()]
    }

    /// The place of the arguments, or of the keyword where there are none.
    pub(crate) fn span(&self) -> Span {
        let range = if self.args.is_empty() { &self.keyword } else { &self.args };
        self.logical.span_of(range.clone())
    }

    /// All arguments as one word.
    pub(crate) fn whole(&self) -> Word {
        Word { text: self.text().to_owned(), span: self.span() }
    }

    /// A word from a range of the arguments.
    pub(crate) fn word(&self, range: Range<usize>, text: impl Into<String>) -> Word {
        let start = self.args.start;
        Word { text: text.into(), span: self.logical.span_of(start + range.start..start + range.end) }
    }

    /// The arguments split at blanks, quotes left as they are.
    pub(crate) fn blank_separated(&self) -> Vec<Word> {
        let text = self.text();
        let mut words = Vec::new();
        let mut start = None;
        for (at, c) in text.char_indices() {
            match (is_blank(c), start) {
                (false, None) => start = Some(at),
                (true, Some(from)) => {
                    words.push(self.word(from..at, &text[from..at]));
                    start = None;
                }
                _ => {}
            }
        }
        words.extend(start.map(|from| self.word(from..text.len(), &text[from..])));
        words
    }

    /// The arguments split at blanks that are neither quoted nor escaped;
    /// quotes and escapes stay.
    pub(crate) fn quoted_words(&self) -> Vec<Word> {
        let text = self.text();
        let mut words = Vec::new();
        let mut start = None;
        let mut quote = None;
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            if quote.is_none() && c.is_whitespace() {
                words.extend(start.take().map(|from| self.word(from..at, &text[from..at])));
                continue;
            }
            start.get_or_insert(at);
            if quote == Some(c) {
                quote = None;
            } else if quote.is_none() && matches!(c, '\'' | '"') {
                quote = Some(c);
            } else if c == self.escape && quote != Some('\'') {
                chars.next();
            }
        }
        // An escape at the very end is dropped.
        words.extend(start.map(|from| {
            let word = &text[from..];
            let cut = word.ends_with(self.escape) && !word[..word.len() - 1].ends_with(self.escape) && quote.is_none();
            self.word(from..text.len(), if cut { &word[..word.len() - 1] } else { word })
        }));
        words
    }

    /// Reports an error at the arguments.
    pub(crate) fn fail<T>(&mut self, message: impl Into<String>) -> Option<T> {
        let error = Diagnostic::error("InvalidArguments", message).at(self.span());
        self.findings.push(error);
        None
    }

    /// Reports an error at a word.
    pub(crate) fn fail_at<T>(&mut self, span: Span, message: impl Into<String>) -> Option<T> {
        self.findings.push(Diagnostic::error("InvalidArguments", message).at(span));
        None
    }

    /// The arguments as one word, which must not be empty.
    pub(crate) fn one(&mut self) -> Option<Word> {
        if self.args.is_empty() {
            return self.fail(format!("{} requires exactly one argument", self.spec.name));
        }
        Some(self.whole())
    }

    /// Reports an error where there are no arguments.
    pub(crate) fn at_least_one(&mut self) -> Option<()> {
        if self.args.is_empty() {
            return self.fail(format!("{} requires at least one argument", self.spec.name));
        }
        Some(())
    }
}
