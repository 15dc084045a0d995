//! The commands of a RUN, as far as they can be told without a shell: words between `&&`, `||`, `;`, `|` and line ends.
//!
//! It is for warnings alone: what it cannot follow (`$(…)`, `eval`) it takes as plain words.

use crate::instruction::command_line::CommandLine;
use crate::instruction::run::Run;

/// One command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// The program and its arguments, without quotes.
    pub(super) words: Vec<String>,
    /// Whether its output goes into the next one.
    pub(super) piped: bool,
}

/// Words that stand before a program and change little for it.
const PREFIXES: [&str; 9] = ["sudo", "exec", "time", "command", "env", "then", "do", "else", "!"];

impl Command {
    /// The program without its folder; what sets variables and such as `sudo` do not count.
    pub(super) fn program(&self) -> &str {
        self.rest().first().map_or("", |word| word.rsplit('/').next().unwrap_or(word))
    }

    /// The program and its arguments.
    fn rest(&self) -> &[String] {
        let is_before = |word: &String| {
            let assigns = word.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            });
            assigns || PREFIXES.contains(&word.as_str())
        };
        let at = self.words.iter().take_while(|word| is_before(word)).count();
        &self.words[at..]
    }

    /// The arguments of the program.
    pub(super) fn arguments(&self) -> &[String] {
        self.rest().get(1..).unwrap_or_default()
    }

    /// Whether it is such a program with this argument first, options aside.
    pub(super) fn is(&self, programs: &[&str], verb: &str) -> bool {
        programs.contains(&self.program())
            && self.arguments().iter().find(|word| !word.starts_with('-')).is_some_and(|word| word == verb)
    }

    /// Whether any argument is one of these.
    pub(super) fn has(&self, wanted: &[&str]) -> bool {
        self.arguments().iter().any(|word| wanted.contains(&word.as_str()))
    }
}

/// The commands of a RUN.
pub(super) fn commands(run: &Run) -> Vec<Command> {
    match &run.command {
        CommandLine::Exec(words) => {
            let words: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
            match words.as_slice() {
                [shell, flag, script, ..] if shell.ends_with("sh") && flag.starts_with('-') && flag.contains('c') => {
                    split(script)
                }
                _ => vec![Command { words, piped: false }],
            }
        }
        CommandLine::Shell(word) => {
            let mut all = split(&word.text);
            all.retain(|command| !command.words.iter().all(|word| word.starts_with("<<")));
            for heredoc in &run.heredocs {
                all.extend(split(&heredoc.content));
            }
            all
        }
    }
}

/// Splits a script.
pub(super) fn split(script: &str) -> Vec<Command> {
    let mut all = Vec::new();
    let mut command = Command::default();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => match chars.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => while chars.next_if(|&c| c != '\n').is_some() {},
            (';' | '\n' | '|' | '&', None) => {
                let doubled = chars.next_if_eq(&c).is_some();
                command.words.extend(word.take());
                command.piped = c == '|' && !doubled;
                if !command.words.is_empty() {
                    all.push(std::mem::take(&mut command));
                }
            }
            ('(' | ')' | '{' | '}', None) if word.is_none() => {}
            (c, None) if c.is_whitespace() => command.words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    command.words.extend(word);
    if !command.words.is_empty() {
        command.piped = false;
        all.push(command);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart() {
        for (script, expected) in [
            (
                "a && b -c || d; e",
                vec![(vec!["a"], false), (vec!["b", "-c"], false), (vec!["d"], false), (vec!["e"], false)],
            ),
            ("curl x | sh", vec![(vec!["curl", "x"], true), (vec!["sh"], false)]),
            ("a 'b && c' \"d e\"", vec![(vec!["a", "b && c", "d e"], false)]),
            ("# no\na # x\n(b)", vec![(vec!["a"], false), (vec!["b)"], false)]),
            ("", vec![]),
        ] {
            let found = split(script);
            let found: Vec<_> =
                found.iter().map(|c| (c.words.iter().map(String::as_str).collect::<Vec<_>>(), c.piped)).collect();
            assert_eq!(found, expected, "{script}");
        }
    }

    #[test]
    fn programs_are_found_behind_prefixes() {
        let command = &split("A=1 sudo /usr/bin/apt-get -y install x")[0];
        assert_eq!(command.program(), "apt-get");
        assert!(command.is(&["apt-get"], "install"));
        assert!(command.has(&["-y"]));
    }
}
