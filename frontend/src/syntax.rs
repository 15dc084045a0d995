//! The syntax tree, and the walk over a file that makes it.

use crate::diagnostic::{Diagnostic, Findings};
use crate::directive::{Directive, Directives};
use crate::flag::Flags;
use crate::heredoc;
use crate::instruction::from::From;
use crate::instruction::{self, Instruction, Request, Spec};
use crate::limit::{MAX_INSTRUCTIONS, MAX_STAGES};
use crate::line::{Lines, Logical};
use crate::lint;
use crate::source::{SourceText, Span};

/// A Dockerfile as a tree.
#[derive(Clone, Debug, Default)]
pub struct Dockerfile {
    /// The parser directives.
    pub directives: Directives,
    /// The ARGs before the first FROM.
    pub global_args: Vec<Statement>,
    /// The stages, in order.
    pub stages: Vec<Stage>,
}

/// A FROM and what follows it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The FROM.
    pub from: From,
    /// Where the FROM stands.
    pub place: Place,
    /// The instructions after it.
    pub body: Vec<Statement>,
}

/// One instruction in its place.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The instruction.
    pub instruction: Instruction,
    /// Where it stands.
    pub place: Place,
}

/// Where an instruction stands.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The instruction in one line: continuations joined, comments dropped,
    /// heredoc bodies left out.
    pub text: String,
    /// From its keyword to its end, heredoc bodies left out.
    pub span: Span,
    /// Its keyword.
    pub keyword: Span,
    /// Its first and last line, counted from 1, heredoc bodies included.
    pub lines: (u32, u32),
}

/// What [`parse`] found: always a tree, and everything that is wrong.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The tree; statements with errors are missing from it.
    pub dockerfile: Dockerfile,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Parses a Dockerfile. Never stops at the first error.
pub fn parse(source: &SourceText) -> Parsed {
    parse_how(source, &How::default())
}

/// Which checks a parse makes.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// Those too that a build leaves out.
    pub every_check: bool,
    /// What stands in for the file's own `# check=…`.
    pub check: Option<String>,
    /// Warnings stay warnings, whatever `error=` says.
    pub warnings_only: bool,
}

/// Parses as [`parse`] does, with a say in the checks.
pub fn parse_how(source: &SourceText, how: &How) -> Parsed {
    let mut findings = Findings::default();
    let mut directives = Directives::read(source, &mut findings);
    if let Some(value) = &how.check {
        directives.check = Some(Directive { value: value.clone(), span: Span::default() });
    }
    if let (true, Some(check)) = (how.warnings_only, &mut directives.check) {
        let settings = check.value.split(';').filter(|setting| !setting.trim_start().starts_with("error"));
        check.value = settings.collect::<Vec<_>>().join(";");
    }
    let mut builder = TreeBuilder { dockerfile: Dockerfile { directives, ..Dockerfile::default() }, lost: false };
    let mut walk = Walk::new(source, builder.dockerfile.directives.escape, &mut findings);
    while let Some(found) = walk.next_statement() {
        let end = match found {
            Found::Statement(statement) => builder.add(*statement, &mut walk),
            Found::Broken(spec) => builder.add_broken(spec),
        };
        if end {
            break;
        }
    }
    let count = walk.count;
    builder.finish(count, source, how, &mut findings)
}

/// Parses an `ONBUILD` trigger, which must be one instruction.
pub(crate) fn parse_trigger(source: &SourceText, findings: &mut Findings) -> Option<Statement> {
    let before = findings.errors();
    let mut walk = Walk::new(source, '\\', findings);
    let first = walk.next_statement();
    let more = walk.next_statement().is_some();
    match first {
        Some(Found::Statement(statement)) if !more => match statement.instruction {
            Instruction::From(_) | Instruction::Maintainer(_) | Instruction::Onbuild(_) => {}
            _ => return Some(*statement),
        },
        _ => {}
    }
    if findings.errors() == before {
        findings.push(Diagnostic::error("InvalidTrigger", "an ONBUILD trigger is one instruction"));
    }
    None
}

enum Found {
    Statement(Box<Statement>),
    /// An instruction with errors; it still begins a stage if it is a FROM.
    Broken(Option<&'static Spec>),
}

struct Walk<'a> {
    lines: Lines<'a>,
    escape: char,
    findings: &'a mut Findings,
    count: usize,
}

impl<'a> Walk<'a> {
    fn new(source: &'a SourceText, escape: char, findings: &'a mut Findings) -> Walk<'a> {
        Walk { lines: Lines::new(source, escape), escape, findings, count: 0 }
    }

    fn next_statement(&mut self) -> Option<Found> {
        let mut logical = self.lines.next_logical(self.findings)?;
        self.count += 1;
        if self.count > MAX_INSTRUCTIONS {
            let message = format!("more than {MAX_INSTRUCTIONS} instructions");
            self.findings.push(Diagnostic::error("TooManyInstructions", message).at(logical.span));
            return None;
        }
        let (keyword, rest) = split_keyword(&logical.text, 0);
        let Some(spec) = instruction::find(&logical.text[..keyword]) else {
            let error = unknown(&logical, keyword);
            self.findings.push(error);
            return Some(Found::Broken(None));
        };
        let (mut flags, args) = Flags::split(&logical, rest);
        let heredocs = if instruction::takes_heredocs(spec, &logical, args) {
            heredoc::read_bodies(&mut logical, &mut self.lines, self.findings)
        } else {
            Vec::new()
        };
        let errors = self.findings.errors();
        flags.check(spec.name, spec.flags, self.findings);
        let end = logical.text.trim_end().len();
        let mut request = Request {
            spec,
            logical: &logical,
            keyword: 0..keyword,
            args: args.min(end)..end,
            flags,
            heredocs,
            escape: self.escape,
            findings: self.findings,
        };
        let instruction = (spec.parse)(&mut request);
        let place = Place {
            keyword: logical.span_of(0..keyword),
            span: logical.span,
            lines: logical.lines,
            text: logical.text,
        };
        Some(match instruction {
            Some(instruction) if self.findings.errors() == errors => {
                let place = Place { text: place.text.trim().to_owned(), ..place };
                Found::Statement(Box::new(Statement { instruction, place }))
            }
            _ => Found::Broken(Some(spec)),
        })
    }
}

/// Where the keyword that starts at byte `start` ends, and where the rest begins.
pub(crate) fn split_keyword(text: &str, start: usize) -> (usize, usize) {
    let rest = &text[start..];
    let end = start + rest.find(instruction::is_blank).unwrap_or(rest.len());
    let after = &text[end..];
    (end, end + (after.len() - after.trim_start_matches(instruction::is_blank).len()))
}

fn unknown(logical: &Logical, keyword: usize) -> Diagnostic {
    let written: String = logical.text[..keyword].chars().take(64).collect();
    Diagnostic::error("UnknownInstruction", format!("unknown instruction `{written}`"))
        .at(logical.span_of(0..keyword))
        .suggest(&written, instruction::TABLE.iter().map(|spec| spec.name))
}

struct TreeBuilder {
    dockerfile: Dockerfile,
    /// The stage at hand began with a FROM that has errors.
    lost: bool,
}

impl TreeBuilder {
    /// Adds a statement; true when the file is not worth reading on.
    fn add(&mut self, statement: Statement, walk: &mut Walk<'_>) -> bool {
        let Statement { instruction, place } = statement;
        match instruction {
            Instruction::From(from) => {
                self.lost = false;
                if self.dockerfile.stages.len() == MAX_STAGES {
                    let message = format!("more than {MAX_STAGES} stages");
                    walk.findings.push(Diagnostic::error("TooManyStages", message).at(place.span));
                    return true;
                }
                self.dockerfile.stages.push(Stage { from, place, body: Vec::new() });
            }
            Instruction::Arg(_) if self.dockerfile.stages.is_empty() && !self.lost => {
                self.dockerfile.global_args.push(Statement { instruction, place });
            }
            instruction => match self.dockerfile.stages.last_mut() {
                Some(stage) if !self.lost => stage.body.push(Statement { instruction, place }),
                _ if self.lost => {}
                _ => {
                    let message = format!("{} before the first FROM", instruction.name());
                    let error = Diagnostic::error("NoStage", message).at(place.span);
                    walk.findings.push(error.help("a Dockerfile begins with FROM; only ARG may stand before it"));
                    // Once is enough: everything up to a FROM has the same fault.
                    self.lost = true;
                }
            },
        }
        false
    }

    fn add_broken(&mut self, spec: Option<&'static Spec>) -> bool {
        if spec.is_some_and(|spec| spec.name == "FROM") {
            self.lost = true;
        }
        false
    }

    fn finish(self, count: usize, source: &SourceText, how: &How, findings: &mut Findings) -> Parsed {
        let dockerfile = self.dockerfile;
        if count == 0 {
            findings.push(Diagnostic::error("EmptyDockerfile", "there are no instructions in the file"));
        } else if dockerfile.stages.is_empty() && findings.errors() == 0 {
            findings.push(Diagnostic::error("NoStage", "there is no FROM, so no stage to build"));
        }
        let settings = lint::Settings::read(&dockerfile.directives);
        lint::tree(&dockerfile, source, &settings, how.every_check, findings);
        let diagnostics = settings.apply(std::mem::take(findings).finish());
        Parsed { dockerfile, diagnostics }
    }
}
