//! `RUN --mount=type=…,key=value,…`. A kind is one file and one line of
//! [`KINDS`]; it reads its options, and lowers to a [`graph::Mount`].

mod bind;
mod cache;
mod secret;
mod ssh;
mod tmpfs;

use graph::{Edge, Mount};

use crate::diagnostic::{Diagnostic, Findings};
use crate::go_text::parse_bool;
use crate::lower::{StageBuild, absolute};
use crate::source::Span;
use crate::word::Word;

/// A row of the kinds of mounts.
struct Kind {
    name: &'static str,
    /// The options it takes, beside `type`; aliases included.
    options: &'static [&'static str],
    lower: fn(&Options, &mut Lowering<'_, '_>) -> Option<Mount>,
}

const KINDS: [Kind; 5] = [bind::KIND, cache::KIND, secret::KIND, ssh::KIND, tmpfs::KIND];

/// A mount as written. Its options expand when it is lowered; what holds no
/// variable is checked when it is parsed.
#[derive(Clone, Debug)]
pub struct RunMount {
    /// The value of the flag.
    pub word: Word,
    fields: Vec<Field>,
    from: Option<Word>,
}

#[derive(Clone, Debug)]
struct Field {
    key: String,
    value: Option<String>,
}

impl RunMount {
    pub(crate) fn parse(word: Word, escape: char, findings: &mut Findings) -> Option<RunMount> {
        let fields = match split_fields(&word.text) {
            Ok(fields) => fields,
            Err(message) => {
                findings.push(invalid(word.span, message));
                return None;
            }
        };
        let from = fields.iter().rfind(|field| field.key == "from").and_then(|field| field.value.clone());
        let from = from.filter(|from| !from.is_empty()).map(|text| Word { text, span: word.span });
        if from.as_ref().is_some_and(|from| from.text.contains('$')) {
            let error = invalid(word.span, "`from` takes no variables");
            findings.push(error.help("begin a stage with FROM, which expands global ARGs, and name it here"));
            return None;
        }
        let mount = RunMount { word, fields, from };
        let constant = mount
            .fields
            .iter()
            .all(|field| field.value.as_ref().is_none_or(|value| !value.contains(['$', '\'', '"', escape])));
        if constant && let Err(error) = Options::read(&mount.fields, mount.word.span) {
            findings.push(error);
            return None;
        }
        Some(mount)
    }

    /// The stage, context or image it mounts from.
    pub(crate) fn from(&self) -> Option<&Word> {
        self.from.as_ref()
    }

    /// What it says of one of these options, unexpanded.
    pub(crate) fn option(&self, names: &[&str]) -> Option<&str> {
        self.fields.iter().rfind(|field| names.contains(&field.key.as_str()))?.value.as_deref()
    }

    /// Whether an option is on: bare, or true.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        let field = self.fields.iter().rfind(|field| field.key == name);
        field.is_some_and(|field| field.value.as_deref().is_none_or(|value| parse_bool(value) == Some(true)))
    }

    /// Expands and lowers it; trees that it needs are added to `inputs`, agents
    /// are counted in `agents`.
    pub(crate) fn lower(
        &self,
        stage: &mut StageBuild<'_>,
        inputs: &mut Vec<Edge>,
        agents: &mut usize,
    ) -> Option<Mount> {
        let span = self.word.span;
        let mut fields = self.fields.clone();
        for field in &mut fields {
            if let Some(value) = field.value.take() {
                field.value = Some(stage.expand(&Word { text: value, span })?);
            }
        }
        match Options::read(&fields, span) {
            Ok((kind, options)) => {
                (kind.lower)(&options, &mut Lowering { stage, inputs, agents, from: self.from.as_ref(), span })
            }
            Err(error) => {
                stage.report(error);
                None
            }
        }
    }
}

/// What a kind lowers with.
struct Lowering<'s, 'a> {
    stage: &'s mut StageBuild<'a>,
    inputs: &'s mut Vec<Edge>,
    /// How many ssh mounts the instruction has so far.
    agents: &'s mut usize,
    from: Option<&'s Word>,
    span: Span,
}

impl Lowering<'_, '_> {
    /// The mount point, absolute.
    fn target(&mut self, options: &Options) -> Option<String> {
        let target = absolute(self.stage.workdir(), options.target.as_deref().unwrap_or(""));
        if target == "/" {
            self.stage.fail(self.span, "a mount cannot cover `/`: give it a `target`");
            return None;
        }
        Some(target)
    }

    /// The number of the input that the mount's tree has.
    fn input(&mut self, tree: Edge) -> usize {
        // Input 0 is the root file system itself.
        let known = self.inputs.iter().skip(1).position(|&edge| edge == tree).map(|at| at + 1);
        known.unwrap_or_else(|| {
            self.inputs.push(tree);
            self.inputs.len() - 1
        })
    }
}

/// The options of all kinds, read.
#[derive(Debug, Default)]
struct Options {
    source: Option<String>,
    target: Option<String>,
    readonly: Option<bool>,
    id: Option<String>,
    sharing: Option<graph::Sharing>,
    size: Option<u64>,
    required: bool,
    env: Option<String>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Options {
    fn read(fields: &[Field], span: Span) -> Result<(&'static Kind, Options), Diagnostic> {
        let kind = fields.iter().rfind(|field| field.key == "type").and_then(|field| field.value.as_deref());
        let kind = kind.unwrap_or("bind").to_ascii_lowercase();
        let Some(kind) = KINDS.iter().find(|row| row.name == kind) else {
            let error = invalid(span, format!("there is no mount type `{kind}`"));
            return Err(error.suggest(&kind, KINDS.iter().map(|row| row.name)));
        };
        let mut options = Options::default();
        for Field { key, value } in fields {
            if key == "type" {
                continue;
            }
            if !kind.options.contains(&key.as_str()) {
                let error = invalid(span, format!("a {} mount has no option `{key}`", kind.name));
                return Err(error.suggest(key, kind.options.iter().copied()));
            }
            options.set(key, value.as_deref()).map_err(|message| invalid(span, message))?;
        }
        Ok((kind, options))
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        let bool_value = |value: Option<&str>| {
            value.map_or(Some(true), parse_bool).ok_or_else(|| format!("`{key}` is true or false"))
        };
        match key {
            "readonly" | "ro" => self.readonly = Some(bool_value(value)?),
            "readwrite" | "rw" => self.readonly = Some(!bool_value(value)?),
            "required" => self.required = bool_value(value)?,
            _ => self.set_value(key, value.ok_or_else(|| format!("`{key}` needs a value: `{key}=…`"))?)?,
        }
        Ok(())
    }

    fn set_value(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = || format!("`{value}` is no value for `{key}`");
        match key {
            "source" | "src" => self.source = Some(value.to_owned()),
            "target" | "dst" | "destination" => self.target = Some(value.to_owned()),
            "id" => self.id = Some(value.to_owned()),
            "env" => self.env = Some(value.to_owned()),
            "sharing" => self.sharing = Some(cache::sharing(value).ok_or_else(wrong)?),
            "size" => self.size = Some(tmpfs::bytes(value).ok_or_else(wrong)?),
            "mode" => self.mode = Some(u32::from_str_radix(value, 8).map_err(|_| wrong())?),
            "uid" => self.uid = Some(value.parse().map_err(|_| wrong())?),
            "gid" => self.gid = Some(value.parse().map_err(|_| wrong())?),
            // `from` is read when the mount is parsed.
            _ => {}
        }
        Ok(())
    }
}

fn invalid(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error("InvalidMount", message).at(span)
}

/// Splits fields at commas; double quotes hold a field together, as in CSV.
fn split_fields(text: &str) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let field;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            let mut pieces = quoted;
            loop {
                let Some((piece, after)) = pieces.split_once('"') else {
                    return Err("a double quote does not close".to_owned());
                };
                value.push_str(piece);
                pieces = after;
                match pieces.strip_prefix('"') {
                    Some(more) => {
                        value.push('"');
                        pieces = more;
                    }
                    None => break,
                }
            }
            field = value;
            rest = pieces;
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err("text after a closing double quote".to_owned());
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field = rest[..end].to_owned();
            rest = &rest[end..];
        }
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (field.as_str(), None),
        };
        fields.push(Field { key: key.to_ascii_lowercase(), value });
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<Diagnostic> {
        let mut findings = Findings::default();
        let word = Word { text: text.to_owned(), span: Span::default() };
        RunMount::parse(word, '\\', &mut findings);
        findings.finish()
    }

    #[test]
    fn all_options_of_all_kinds() {
        for good in [
            "target=/x",
            "type=bind,from=a,source=/s,dst=/x,rw",
            "type=bind,src=s,destination=/x,readonly=false",
            "type=cache,target=/x,id=i,sharing=locked,from=a,source=s,mode=0700,uid=1,gid=2,ro",
            "type=tmpfs,target=/x,size=64m",
            "type=secret,id=s,target=/x,required,mode=0400,uid=1,gid=1,env=TOKEN",
            "type=ssh,id=k,target=/x,required=true,mode=600,uid=1,gid=1",
            "type=$T,target=${X}",
            "TYPE=CACHE,\"target=/a,b\"",
        ] {
            assert!(errors(good).is_empty(), "{good}: {:?}", errors(good));
        }
    }

    #[test]
    fn wrong_options_are_told() {
        for (text, message, help) in [
            ("type=cahce,target=/x", "there is no mount type `cahce`", Some("did you mean `cache`?")),
            ("type=bind,tagret=/x", "a bind mount has no option `tagret`", Some("did you mean `target`?")),
            ("type=tmpfs,target=/x,size=a", "`a` is no value for `size`", None),
            ("type=bind,sharing=locked", "a bind mount has no option `sharing`", None),
            ("type=cache,target", "`target` needs a value: `target=…`", None),
            ("type=bind,ro=x", "`ro` is true or false", None),
            ("type=cache,mode=9", "`9` is no value for `mode`", None),
            ("\"type=bind", "a double quote does not close", None),
        ] {
            let found = errors(text);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].message, message);
            assert_eq!(found[0].help.as_deref(), help, "{text}");
        }
        assert!(errors("type=bind,from=$X,target=/x")[0].message.contains("no variables"));
    }
}
