//! `docker-credential-*`: programs that keep credentials.
//! Protocol: docker-credential-helpers: `get`, `store`, `erase`.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::credentials::Credential;

/// Beyond this a helper is stopped: it may ask a person or a cloud, but not for ever.
const LONGEST_RUN: Duration = Duration::from_secs(60);
/// No credential is larger.
const MOST_OUTPUT: u64 = 64 * 1024;

/// Why a helper gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelperError {
    /// A name that is not part of a program's name.
    #[error("`{0}` is not the name of a credential helper")]
    Name(String),
    /// It could not be run, or did not finish.
    #[error("docker-credential-{name}: {problem}")]
    Run {
        /// The helper.
        name: String,
        /// What happened.
        problem: String,
    },
}

/// Asks helper `name` for the credential of `server`; `None` where it has none.
///
/// # Errors
/// When the helper cannot be run, fails, or answers with something else.
pub(crate) async fn get(name: &str, server: &str) -> Result<Option<Credential>, HelperError> {
    match said(name, "get", server, "").await? {
        None => Ok(None),
        Some(output) => parse(&output).ok_or_else(|| failed(name, "its answer is not a credential".to_owned())),
    }
}

/// Gives a credential to helper `name` to keep.
///
/// # Errors
/// When the helper cannot be run, or fails.
pub(crate) async fn store(name: &str, server: &str, user: &str, secret: &str) -> Result<(), HelperError> {
    let input = serde_json::json!({ "ServerURL": server, "Username": user, "Secret": secret });
    said(name, "store", &input.to_string(), secret).await.map(drop)
}

/// Makes helper `name` forget the credential of `server`; whether it had one, as far as it tells.
///
/// # Errors
/// When the helper cannot be run, or fails.
pub(crate) async fn erase(name: &str, server: &str) -> Result<bool, HelperError> {
    Ok(said(name, "erase", server, "").await?.is_some())
}

fn failed(name: &str, problem: String) -> HelperError {
    HelperError::Run { name: name.to_owned(), problem }
}

/// What a helper says; `None` where it has no such credential. `secret` is kept out of errors.
async fn said(name: &str, action: &str, input: &str, secret: &str) -> Result<Option<Vec<u8>>, HelperError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 100 || !name.bytes().all(word) {
        return Err(HelperError::Name(name.chars().filter(|c| !c.is_control()).take(100).collect()));
    }
    let failed = |problem| failed(name, problem);
    let run = tokio::time::timeout(LONGEST_RUN, run(name, action, input)).await;
    let (success, output) = run
        .map_err(|_| failed(format!("no answer within {} s", LONGEST_RUN.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if output.len() as u64 > MOST_OUTPUT {
        return Err(failed(format!("more than {MOST_OUTPUT} bytes of answer")));
    }
    if !success {
        let mut said = String::from_utf8_lossy(&output).into_owned();
        // The protocol's word for "none", said on standard output with a failing status.
        if said.contains("credentials not found") {
            return Ok(None);
        }
        if !secret.is_empty() {
            said = said.replace(secret, "(hidden)");
        }
        return Err(failed(crate::error::printable(said.trim())));
    }
    Ok(Some(output))
}

async fn run(name: &str, action: &str, text: &str) -> std::io::Result<(bool, Vec<u8>)> {
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that ends without reading is judged by its answer.
        let _ = input.write_all(text.as_bytes()).await;
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MOST_OUTPUT + 1).read_to_end(&mut output).await?;
    }
    if output.len() as u64 > MOST_OUTPUT {
        return Ok((true, output));
    }
    Ok((child.wait().await?.success(), output))
}

fn parse(output: &[u8]) -> Option<Option<Credential>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        #[serde(default)]
        username: String,
        #[serde(default)]
        secret: String,
    }
    let answer: Answer = serde_json::from_slice(output).ok()?;
    Some(match (answer.username.as_str(), answer.secret) {
        (_, secret) if secret.is_empty() => None,
        ("<token>", secret) => Some(Credential::IdentityToken(secret)),
        (_, secret) => Some(Credential::Password { user: answer.username, password: secret }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let password = parse(br#"{"ServerURL":"x","Username":"me","Secret":"word"}"#);
        assert_eq!(password, Some(Some(Credential::Password { user: "me".into(), password: "word".into() })));
        let token = parse(br#"{"Username":"<token>","Secret":"t"}"#);
        assert_eq!(token, Some(Some(Credential::IdentityToken("t".into()))));
        assert_eq!(parse(br#"{"Username":"me","Secret":""}"#), Some(None));
        assert_eq!(parse(b"no"), None);
    }

    #[tokio::test]
    async fn names_are_not_paths() {
        for bad in ["", "../x", "a/b", "a b", "x\0y"] {
            assert!(matches!(get(bad, "r").await, Err(HelperError::Name(_))), "{bad}");
        }
        assert!(matches!(get("there-is-no-such-helper", "r").await, Err(HelperError::Run { .. })));
    }
}
