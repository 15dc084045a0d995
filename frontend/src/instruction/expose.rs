//! `EXPOSE port[-port][/protocol] …`.

use super::{Instruction, Request, Spec};
use crate::diagnostic::Diagnostic;
use crate::go_text::plain_list;
use crate::lower::StageBuild;
use crate::word::Word;

pub(super) const SPEC: Spec = Spec { name: "EXPOSE", flags: &[], heredocs: false, trigger: true, parse };

/// Says which ports containers listen on.
#[derive(Clone, Debug)]
pub struct Expose {
    /// The ports as written, sorted as text.
    pub ports: Vec<Word>,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.at_least_one()?;
    let mut ports = request.blank_separated();
    ports.sort_by(|a, b| a.text.cmp(&b.text));
    Some(Instruction::Expose(Expose { ports }))
}

impl Expose {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        let mut shown = Vec::new();
        for port in &self.ports {
            for word in stage.expand_words(port).unwrap_or_default() {
                match read(&word) {
                    Ok(ports) => {
                        warn(&word, port, stage);
                        shown.extend(ports);
                    }
                    Err(message) => stage.fail(port.span, message),
                }
            }
        }
        for port in &shown {
            stage.state.config.config.exposed_ports.insert(port.clone(), oci::Empty {});
        }
        stage.history(format!("EXPOSE {}", plain_list(&shown)), false);
    }
}

/// Reads `[[ip:]host:]port[-port][/protocol]`; only the last part counts.
fn read(text: &str) -> Result<Vec<String>, String> {
    let (host, container) = match text.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, text),
    };
    let (ports, protocol) = container.split_once('/').unwrap_or((container, "tcp"));
    if ports.is_empty() {
        return Err(format!("no port in `{text}`"));
    }
    let protocol = protocol.to_ascii_lowercase();
    let protocol = if protocol.is_empty() { "tcp" } else { protocol.as_str() };
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(format!("`{protocol}` in `{text}` is no protocol: tcp, udp or sctp"));
    }
    let (first, last) = range(ports).ok_or_else(|| format!("`{ports}` is not a port or a range of ports"))?;
    if let Some(host) = host {
        let published = host.rsplit(':').next().unwrap_or(host);
        if !published.is_empty() && range(published).is_none() {
            return Err(format!("`{published}` in `{text}` is not a port or a range of ports"));
        }
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

fn warn(text: &str, port: &Word, stage: &mut StageBuild<'_>) {
    let span = port.span;
    if text.contains(':') {
        let warning =
            Diagnostic::warning("ExposeInvalidFormat", format!("`{text}`: EXPOSE takes no address and no host port"));
        stage.report(warning.at(span));
    }
    if text.split_once('/').is_some_and(|(_, protocol)| protocol.bytes().any(|b| b.is_ascii_uppercase())) {
        let warning =
            Diagnostic::warning("ExposeProtoCasing", format!("`{text}`: protocols are written in lower case"));
        let fixed =
            port.text.rsplit_once('/').map(|(ports, protocol)| format!("{ports}/{}", protocol.to_ascii_lowercase()));
        let warning = warning.at(span);
        stage.report(match fixed.filter(|_| port.text == text) {
            Some(fixed) => warning.fix(span, text, fixed),
            None => warning,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        assert_eq!(read("80").unwrap(), ["80/tcp"]);
        assert_eq!(read("53/UDP").unwrap(), ["53/udp"]);
        assert_eq!(read("8000-8002/sctp").unwrap(), ["8000/sctp", "8001/sctp", "8002/sctp"]);
        assert_eq!(read("127.0.0.1:8080:80").unwrap(), ["80/tcp"]);
        for bad in ["", "/tcp", "80/icmp", "a", "2-1", "1-2-3", "65536", "-1", "+80", "x:80"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
