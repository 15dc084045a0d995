//! The tree, evaluated over JSON.

use serde_json::Value;

use super::TemplateError;
use super::function;
use super::parse::{Base, Branch, Node, Operand, Pipeline, Program};
use super::value::{field, kind, show, truth};

/// How deep one template may call another.
const MAX_CALLS: usize = 50;

/// Renders `program` with `data` as dot.
pub(super) fn render(program: &Program, data: &Value) -> Result<String, TemplateError> {
    let mut state = State { program, out: String::new(), variables: vec![(String::new(), data.clone())], calls: 0 };
    state.nodes(&program.body, data)?;
    Ok(state.out)
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct State<'a> {
    program: &'a Program,
    out: String,
    /// Variables in scope, innermost last; `$` itself has the empty name.
    variables: Vec<(String, Value)>,
    calls: usize,
}

impl State<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::Next
                }
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.out.push_str(&show(&value));
                    }
                    Flow::Next
                }
                Node::If(branch) => self.choose(branch, dot, false)?,
                Node::With(branch) => self.choose(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Template { at, name, data } => self.call(*at, name, data.as_ref(), dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    /// `if`, and `with`, which also moves the dot.
    fn choose(&mut self, branch: &Branch, dot: &Value, moves: bool) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot)?;
        let flow = if truth(&value) {
            self.nodes(&branch.then, if moves { &value } else { dot })
        } else {
            self.nodes(&branch.otherwise, dot)
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot)?;
        self.variables.truncate(scope);
        let items = items(&value).map_err(|message| TemplateError::new(branch.pipeline.at, message))?;
        if items.is_empty() {
            return self.nodes(&branch.otherwise, dot);
        }
        for (key, item) in items {
            match branch.pipeline.variables.as_slice() {
                [one] => self.variables.push((one.clone(), item.clone())),
                [index, element] => {
                    self.variables.push((index.clone(), key));
                    self.variables.push((element.clone(), item.clone()));
                }
                _ => {}
            }
            let flow = self.nodes(&branch.then, &item);
            self.variables.truncate(scope);
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn call(&mut self, at: usize, name: &str, data: Option<&Pipeline>, dot: &Value) -> Result<Flow, TemplateError> {
        let program = self.program;
        let Some(body) = program.defined.get(name) else {
            return Err(TemplateError::new(at, format!("no template {name:?} is defined")));
        };
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err(TemplateError::new(at, format!("templates call one another deeper than {MAX_CALLS}")));
        }
        let data = match data {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Null,
        };
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), data.clone())]);
        let flow = self.nodes(body, &data);
        self.variables = outer;
        self.calls -= 1;
        flow.map(|_| Flow::Next)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Null);
        if let [name] = pipeline.variables.as_slice() {
            if pipeline.declares {
                self.variables.push((name.clone(), value.clone()));
            } else {
                *self.variable_mut(pipeline.at, name)? = value.clone();
            }
        }
        Ok(value)
    }

    fn command(&mut self, operands: &[Operand], dot: &Value, piped: Option<Value>) -> Result<Value, TemplateError> {
        let Some((first, rest)) = operands.split_first() else { return Ok(Value::Null) };
        if let Base::Function(name) = &first.base {
            let mut arguments = Vec::with_capacity(rest.len() + 1);
            for operand in rest {
                arguments.push(self.operand(operand, dot)?);
            }
            arguments.extend(piped);
            let value = function::call(name, &arguments).map_err(|message| TemplateError::new(first.at, message))?;
            return fields(value, "", first);
        }
        if !rest.is_empty() || piped.is_some() {
            return Err(TemplateError::new(first.at, "this is a value and takes no arguments"));
        }
        self.operand(first, dot)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        let base = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => self.variable_mut(operand.at, name)?.clone(),
            Base::Literal(value) => value.clone(),
            Base::Group(pipeline) => self.pipeline(pipeline, dot)?,
            Base::Function(name) => {
                function::call(name, &[]).map_err(|message| TemplateError::new(operand.at, message))?
            }
        };
        fields(base, "", operand)
    }

    fn variable_mut(&mut self, at: usize, name: &str) -> Result<&mut Value, TemplateError> {
        let found = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value).ok_or_else(|| TemplateError::new(at, format!("undefined variable `${name}`")))
    }
}

fn fields(mut value: Value, parent: &str, operand: &Operand) -> Result<Value, TemplateError> {
    let mut parent = parent;
    for name in &operand.fields {
        value = field(&value, parent, name).map_err(|message| TemplateError::new(operand.at, message))?;
        parent = name;
    }
    Ok(value)
}

/// What `range` goes over: key and element, maps in the order of their keys.
fn items(value: &Value) -> Result<Vec<(Value, Value)>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => Ok(list.iter().enumerate().map(|(i, item)| (Value::from(i), item.clone())).collect()),
        Value::Object(map) => {
            let mut items: Vec<_> = map.iter().map(|(key, item)| (Value::from(key.as_str()), item.clone())).collect();
            items.sort_by(|a, b| a.0.as_str().cmp(&b.0.as_str()));
            Ok(items)
        }
        Value::Number(number) => {
            // A bound, so that a template cannot print for ever.
            let count = number.as_u64().filter(|&count| count <= 1_000_000).ok_or("range goes over 0 to 1000000")?;
            Ok((0..count).map(|i| (Value::from(i), Value::from(i))).collect())
        }
        Value::Bool(_) | Value::String(_) => Err(format!("cannot range over {}", kind(value))),
    }
}
