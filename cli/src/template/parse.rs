//! Tokens to a tree.

use std::collections::BTreeMap;

use serde_json::Value;

use super::TemplateError;
use super::lex::{Piece, Token, TokenKind};

/// How deep blocks and parentheses may nest: far past any real template, well
/// before the stack's end.
const MAX_DEPTH: usize = 100;

/// A parsed template: its body and the templates it defines.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) body: Vec<Node>,
    pub(super) defined: BTreeMap<String, Vec<Node>>,
}

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If(Branch),
    Range(Branch),
    With(Branch),
    Template { at: usize, name: String, data: Option<Pipeline> },
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) at: usize,
    /// Variables that receive the value; one, or two in a `range`.
    pub(super) variables: Vec<String>,
    /// `:=` rather than `=`.
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

#[derive(Debug)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) base: Base,
    /// Fields taken from the base: `.A.B`.
    pub(super) fields: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Function(String),
    Literal(Value),
    Group(Box<Pipeline>),
}

impl Program {
    /// The first top-level field of each action of the body.
    pub(super) fn top_fields(&self) -> Vec<String> {
        let prints = self.body.iter().filter_map(|node| match node {
            Node::Print(pipeline) => Some(pipeline),
            Node::Text(_)
            | Node::If(_)
            | Node::Range(_)
            | Node::With(_)
            | Node::Template { .. }
            | Node::Break
            | Node::Continue => None,
        });
        prints
            .filter_map(|pipeline| {
                let mut operands = pipeline.commands.iter().flatten();
                operands.find_map(|operand| match operand.base {
                    Base::Dot => operand.fields.last().cloned(),
                    Base::Variable(_) | Base::Function(_) | Base::Literal(_) | Base::Group(_) => None,
                })
            })
            .collect()
    }
}

/// Parses the pieces of a template.
pub(super) fn parse(pieces: Vec<Piece>) -> Result<Program, TemplateError> {
    let mut parser = Parser { pieces: pieces.into_iter(), defined: BTreeMap::new(), depth: 0 };
    let (body, stop) = parser.block()?;
    match stop {
        Stop::EndOfText => Ok(Program { body, defined: parser.defined }),
        Stop::End(at) => Err(TemplateError::new(at, "`end` without if, range, with or define")),
        Stop::Else(at, _) => Err(TemplateError::new(at, "`else` without if, range or with")),
    }
}

/// What ended a block.
enum Stop {
    EndOfText,
    End(usize),
    /// `else`, and the tokens after it (`if …`).
    Else(usize, Vec<Token>),
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    defined: BTreeMap<String, Vec<Node>>,
    depth: usize,
}

impl Parser {
    fn block(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (at, mut tokens) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(at, tokens) => (at, tokens),
            };
            let keyword = match &tokens[0].kind {
                TokenKind::Word(word) => word.clone(),
                _ => String::new(),
            };
            if is_keyword(&keyword) {
                tokens.remove(0);
            }
            match keyword.as_str() {
                "end" => return Ok((nodes, Stop::End(at))),
                "else" => return Ok((nodes, Stop::Else(at, tokens))),
                "if" | "range" | "with" => nodes.push(self.branch(at, &keyword, tokens)?),
                "define" => self.define(at, tokens)?,
                "block" => nodes.push(self.inline_block(at, tokens)?),
                "template" => nodes.push(call(at, tokens)?),
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                _ => nodes.push(Node::Print(pipeline(at, tokens)?)),
            }
        }
        Ok((nodes, Stop::EndOfText))
    }

    fn branch(&mut self, at: usize, keyword: &str, tokens: Vec<Token>) -> Result<Node, TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::new(at, format!("blocks nest deeper than {MAX_DEPTH}")));
        }
        let pipeline = pipeline(at, tokens)?;
        let (then, stop) = self.block()?;
        let otherwise = match stop {
            Stop::End(_) => Vec::new(),
            Stop::Else(else_at, tokens) => self.otherwise(at, keyword, else_at, tokens)?,
            Stop::EndOfText => return Err(unclosed(at, keyword)),
        };
        self.depth -= 1;
        let branch = Branch { pipeline, then, otherwise };
        Ok(match keyword {
            "if" => Node::If(branch),
            "range" => Node::Range(branch),
            _ => Node::With(branch),
        })
    }

    fn otherwise(
        &mut self,
        at: usize,
        keyword: &str,
        else_at: usize,
        mut tokens: Vec<Token>,
    ) -> Result<Vec<Node>, TemplateError> {
        if tokens.is_empty() {
            return match self.block()? {
                (nodes, Stop::End(_)) => Ok(nodes),
                (_, Stop::Else(at, _)) => Err(TemplateError::new(at, "a second `else`")),
                (_, Stop::EndOfText) => Err(unclosed(at, keyword)),
            };
        }
        // `else if` shares the `end` of the block it belongs to.
        match &tokens[0].kind {
            TokenKind::Word(word) if word == "if" || word == "with" => {
                let word = word.clone();
                tokens.remove(0);
                Ok(vec![self.branch(else_at, &word, tokens)?])
            }
            _ => Err(TemplateError::new(else_at, "only `if` or `with` may follow `else`")),
        }
    }

    fn define(&mut self, at: usize, tokens: Vec<Token>) -> Result<(), TemplateError> {
        let [Token { kind: TokenKind::Text(name), .. }] = tokens.as_slice() else {
            return Err(TemplateError::new(at, "`define` takes one quoted name"));
        };
        let body = self.named_body(at, "define")?;
        self.defined.insert(name.clone(), body);
        Ok(())
    }

    fn inline_block(&mut self, at: usize, tokens: Vec<Token>) -> Result<Node, TemplateError> {
        let node = call(at, tokens)?;
        let body = self.named_body(at, "block")?;
        if let Node::Template { name, .. } = &node {
            self.defined.entry(name.clone()).or_insert(body);
        }
        Ok(node)
    }

    fn named_body(&mut self, at: usize, keyword: &str) -> Result<Vec<Node>, TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::new(at, format!("blocks nest deeper than {MAX_DEPTH}")));
        }
        let (body, stop) = self.block()?;
        self.depth -= 1;
        match stop {
            Stop::End(_) => Ok(body),
            Stop::Else(at, _) => Err(TemplateError::new(at, "`else` without if, range or with")),
            Stop::EndOfText => Err(unclosed(at, keyword)),
        }
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "if" | "range" | "with" | "else" | "end" | "define" | "block" | "template" | "break" | "continue")
}

fn unclosed(at: usize, keyword: &str) -> TemplateError {
    TemplateError::new(at, format!("`{keyword}` has no `{{{{end}}}}`"))
}

fn call(at: usize, mut tokens: Vec<Token>) -> Result<Node, TemplateError> {
    let Some(Token { kind: TokenKind::Text(name), .. }) = tokens.first().cloned() else {
        return Err(TemplateError::new(at, "a quoted template name belongs here"));
    };
    tokens.remove(0);
    let data = if tokens.is_empty() { None } else { Some(pipeline(at, tokens)?) };
    Ok(Node::Template { at, name, data })
}

fn pipeline(at: usize, tokens: Vec<Token>) -> Result<Pipeline, TemplateError> {
    let mut cursor = tokens.into_iter().peekable();
    let parsed = pipeline_until(at, &mut cursor, 0)?;
    match cursor.next() {
        None => Ok(parsed),
        Some(extra) => Err(TemplateError::new(extra.at, "unexpected `)`")),
    }
}

type Cursor = std::iter::Peekable<std::vec::IntoIter<Token>>;

/// Reads a pipeline up to its end or a closing parenthesis, which it leaves.
fn pipeline_until(at: usize, cursor: &mut Cursor, depth: usize) -> Result<Pipeline, TemplateError> {
    if depth > MAX_DEPTH {
        return Err(TemplateError::new(at, format!("parentheses nest deeper than {MAX_DEPTH}")));
    }
    let (variables, declares) = targets(cursor);
    let mut commands = vec![Vec::new()];
    while let Some(token) = cursor.next_if(|token| token.kind != TokenKind::Close) {
        if token.kind == TokenKind::Pipe {
            commands.push(Vec::new());
            continue;
        }
        let Some(command) = commands.last_mut() else { break };
        match (&token.kind, token.spaced, command.last_mut()) {
            (TokenKind::Field(name), false, Some(Operand { fields, .. })) => fields.push(name.clone()),
            _ => command.push(operand(token, cursor, depth)?),
        }
    }
    if commands.iter().any(Vec::is_empty) {
        return Err(TemplateError::new(at, "a value is missing"));
    }
    Ok(Pipeline { at, variables, declares, commands })
}

/// `$a :=`, `$a =`, `$i, $a :=`; nothing when the pipeline starts otherwise.
fn targets(cursor: &mut Cursor) -> (Vec<String>, bool) {
    let mut ahead = cursor.clone();
    let mut names = Vec::new();
    while let Some(TokenKind::Variable(name)) = ahead.next().map(|token| token.kind) {
        names.push(name);
        match ahead.next().map(|token| token.kind) {
            Some(TokenKind::Comma) => {}
            Some(kind @ (TokenKind::Declare | TokenKind::Assign)) => {
                *cursor = ahead;
                return (names, kind == TokenKind::Declare);
            }
            _ => break,
        }
    }
    (Vec::new(), false)
}

fn operand(token: Token, cursor: &mut Cursor, depth: usize) -> Result<Operand, TemplateError> {
    let at = token.at;
    let mut fields = Vec::new();
    let base = match token.kind {
        TokenKind::Dot => Base::Dot,
        TokenKind::Field(name) => {
            fields.push(name);
            Base::Dot
        }
        TokenKind::Variable(name) => Base::Variable(name),
        TokenKind::Text(text) => Base::Literal(Value::String(text)),
        TokenKind::Number(number) => Base::Literal(Value::Number(number)),
        TokenKind::Word(word) => match word.as_str() {
            "true" => Base::Literal(Value::Bool(true)),
            "false" => Base::Literal(Value::Bool(false)),
            "nil" => Base::Literal(Value::Null),
            _ => Base::Function(word),
        },
        TokenKind::Open => {
            let inner = pipeline_until(at, cursor, depth + 1)?;
            if cursor.next().is_none() {
                return Err(TemplateError::new(at, "`(` is not closed"));
            }
            Base::Group(Box::new(inner))
        }
        TokenKind::Close | TokenKind::Pipe | TokenKind::Comma | TokenKind::Assign | TokenKind::Declare => {
            return Err(TemplateError::new(at, "a value belongs here"));
        }
    };
    Ok(Operand { at, base, fields })
}
