//! `SecretsUsedInArgOrEnv`.

use crate::diagnostic::{Diagnostic, Findings};
use crate::word::Word;

/// Words of a name that say that the value is a secret.
const SECRET_WORDS: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Warns where the name of a variable says that its value is a secret.
pub(crate) fn secret_name(keyword: &str, name: &Word, findings: &mut Findings) {
    let lower = name.text.to_ascii_lowercase();
    let has = |wanted: &[&str]| lower.split('_').any(|part| wanted.contains(&part));
    if has(&SECRET_WORDS) && !has(&["public"]) {
        let message = format!("{keyword} is not for secrets: `{}` stays in the image's history", name.text);
        findings.push(Diagnostic::warning("SecretsUsedInArgOrEnv", message).at(name.span));
    }
}
