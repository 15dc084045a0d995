//! What an image's configuration tells people: platform, how it starts, which command made which layer.
//!
//! The bytes are somebody else's. Only what is shown is read, every field may be absent or `null`, and a field of
//! another shape than expected makes the whole document unreadable rather than half of it misleading.
//! Specification: OCI image-spec, config.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// Steps that are shown.
pub const MAX_STEPS: usize = 1000;

/// The parts of a configuration that are shown.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ImageFacts {
    /// Processor architecture.
    #[serde(deserialize_with = "null")]
    pub architecture: String,
    /// Operating system.
    #[serde(deserialize_with = "null")]
    pub os: String,
    /// Variant of the processor.
    #[serde(deserialize_with = "null")]
    pub variant: String,
    /// When it was made, as it says.
    #[serde(deserialize_with = "null")]
    pub created: String,
    /// Who made it, as it says.
    #[serde(deserialize_with = "null")]
    pub author: String,
    /// How its containers start.
    #[serde(deserialize_with = "null")]
    pub config: Start,
    /// How its layers came about.
    #[serde(deserialize_with = "null")]
    pub history: Vec<Made>,
}

/// How a container of it starts.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "Docker's names of its fields, which the specification explains")]
pub struct Start {
    #[serde(deserialize_with = "null")]
    pub user: String,
    #[serde(deserialize_with = "null")]
    pub exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(deserialize_with = "null")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "null")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "null")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "null")]
    pub volumes: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(deserialize_with = "null")]
    pub working_dir: String,
    #[serde(deserialize_with = "null")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null")]
    pub stop_signal: String,
}

/// One entry of the history.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Made {
    /// The command, with what the builder wrote around it.
    #[serde(deserialize_with = "null")]
    pub created_by: String,
    /// A remark.
    #[serde(deserialize_with = "null")]
    pub comment: String,
    /// Whether no layer belongs to it.
    #[serde(deserialize_with = "null")]
    pub empty_layer: bool,
}

/// One line of the story: a command, a layer, or both.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The command as its Dockerfile had it, as far as that can be told; empty where nothing is known.
    pub command: String,
    /// Which layer it made, from 0.
    pub layer: Option<usize>,
}

impl ImageFacts {
    /// Reads a configuration; `None` where it is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        // A list would do for a struct whose fields may all be absent.
        bytes.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(bytes).ok())?
    }

    /// `os/architecture[/variant]`, empty where it says nothing.
    pub fn platform(&self) -> String {
        let parts = [&self.os, &self.architecture, &self.variant];
        parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join("/")
    }

    /// The history and the layers side by side. Where they disagree in number, nobody can say which command made which
    /// layer: the layers then come without commands.
    pub fn steps(&self, layers: usize) -> Vec<Step> {
        let filled = self.history.iter().filter(|made| !made.empty_layer).count();
        if filled != layers {
            return (0..layers.min(MAX_STEPS))
                .map(|layer| Step { command: String::new(), layer: Some(layer) })
                .collect();
        }
        let mut next = 0..layers;
        let step = |made: &Made| Step {
            command: command(&made.created_by),
            layer: if made.empty_layer { None } else { next.next() },
        };
        self.history.iter().map(step).take(MAX_STEPS).collect()
    }
}

/// The instruction that a builder's `created_by` stands for.
fn command(created_by: &str) -> String {
    let text = created_by.trim();
    let text = text.strip_suffix("# buildkit").map_or(text, str::trim_end);
    if let Some(shell) = text.strip_prefix("/bin/sh -c") {
        let shell = shell.trim_start();
        return match shell.strip_prefix("#(nop)") {
            Some(instruction) => instruction.trim_start().to_owned(),
            None => format!("RUN {shell}"),
        };
    }
    match text.strip_prefix("RUN /bin/sh -c ") {
        Some(shell) => format!("RUN {}", shell.trim_start()),
        None => text.to_owned(),
    }
}

/// Programs in Go write what is empty as `null`.
fn null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_what_the_dockerfile_said() {
        let cases = [
            ("/bin/sh -c #(nop)  CMD [\"sh\"]", "CMD [\"sh\"]"),
            ("/bin/sh -c apt-get update", "RUN apt-get update"),
            ("RUN /bin/sh -c make # buildkit", "RUN make"),
            ("COPY . /app # buildkit", "COPY . /app"),
            ("RUN |1 A=b /bin/sh -c make # buildkit", "RUN |1 A=b /bin/sh -c make"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(command(text), expected, "{text}");
        }
    }

    #[test]
    fn layers_meet_their_commands_or_none() {
        let text = br#"{"os":"linux","architecture":"arm64","variant":"v8","config":null,"history":[
            {"created_by":"COPY a /"},{"created_by":"ENV A=b","empty_layer":true},{"created_by":"COPY b /"}]}"#;
        let facts = ImageFacts::parse(text).unwrap();
        assert_eq!(facts.platform(), "linux/arm64/v8");
        let layers: Vec<_> = facts.steps(2).into_iter().map(|step| (step.command, step.layer)).collect();
        let expected = [("COPY a /", Some(0)), ("ENV A=b", None), ("COPY b /", Some(1))];
        assert_eq!(layers, expected.map(|(text, layer)| (text.to_owned(), layer)));
        assert!(facts.steps(3).iter().all(|step| step.command.is_empty() && step.layer.is_some()));
        assert_eq!(facts.steps(3).len(), 3);
    }

    #[test]
    fn what_is_no_configuration_is_none() {
        for text in ["", "null", "[]", "3", r#"{"history":3}"#, r#"{"config":{"Env":"A=b"}}"#, &"[".repeat(1 << 16)] {
            assert_eq!(ImageFacts::parse(text.as_bytes()), None, "{text:.40}");
        }
        assert!(ImageFacts::parse(b"{}").unwrap().steps(0).is_empty());
    }
}
