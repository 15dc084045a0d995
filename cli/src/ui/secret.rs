//! Passwords: typed without being shown, or read from standard input.

use std::io::{self, BufRead as _, IsTerminal as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::error::{Error, Result};

/// Asks on the terminal, echo off; without a terminal the first line of standard input is the answer.
pub(crate) fn ask(prompt: &str) -> Result<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return first_line();
    }
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    super::err(prompt);
    let answer = first_line();
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    super::err("\n");
    answer
}

/// Asks for what may be seen; gives what stands in brackets where nothing is typed.
pub(crate) fn ask_name(known: Option<&str>) -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(Error::usage("there is no terminal to ask for the name").hint("`-u NAME --password-stdin`"));
    }
    super::err(&known.map_or_else(|| "Username: ".to_owned(), |known| format!("Username ({known}): ")));
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text)?;
    match (text.trim(), known) {
        ("", Some(known)) => Ok(known.to_owned()),
        ("", None) => Err(Error::usage("there is no name")),
        (name, _) => Ok(name.to_owned()),
    }
}

/// The first line of standard input, without its end.
pub(crate) fn first_line() -> Result<String> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text)?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(Error::failed("there is no password").hint("it is read from standard input: one line"));
    }
    Ok(password.to_owned())
}
