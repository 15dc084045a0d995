//! `HEALTHCHECK [--interval=D …] CMD command`, or `HEALTHCHECK NONE`.

use super::command_line::{CommandLine, Json};
use super::{Instruction, Request, Spec};
use crate::flag::{FlagKind, FlagSpec};
use crate::go_text::{duration, parse_duration, plain_list};
use crate::lower::{Once, StageBuild};
use crate::syntax::split_keyword;
use crate::word::Word;

pub(super) const SPEC: Spec = Spec {
    name: "HEALTHCHECK",
    flags: &[
        FlagSpec::new("interval", FlagKind::Text),
        FlagSpec::new("timeout", FlagKind::Text),
        FlagSpec::new("start-period", FlagKind::Text),
        FlagSpec::new("start-interval", FlagKind::Text),
        FlagSpec::new("retries", FlagKind::Text),
    ],
    heredocs: false,
    trigger: true,
    parse,
};

/// The shortest interval that Docker takes, in nanoseconds.
const SHORTEST: i64 = 1_000_000;

/// Says how to tell whether a container is healthy.
#[derive(Clone, Debug)]
pub struct Healthcheck {
    /// The check; `None` switches an inherited one off.
    pub command: Option<CommandLine>,
    /// Durations in nanoseconds, 0 where not given.
    pub interval: i64,
    /// See `interval`.
    pub timeout: i64,
    /// See `interval`.
    pub start_period: i64,
    /// See `interval`.
    pub start_interval: i64,
    /// Failures that make it unhealthy; 0 where not given.
    pub retries: i64,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.at_least_one()?;
    let kind = request.args.start..split_keyword(&request.logical.text, request.args.start).0;
    let word = &request.logical.text[kind.clone()];
    let rest = split_keyword(&request.logical.text, request.args.start).1;
    request.args.start = rest.min(request.args.end);
    let command = if word.eq_ignore_ascii_case("NONE") {
        if !request.args.is_empty() {
            return request.fail("HEALTHCHECK NONE takes no arguments");
        }
        None
    } else if word.eq_ignore_ascii_case("CMD") {
        if request.args.is_empty() || Json::read(request.text()) == Json::Strings(Vec::new()) {
            return request.fail("HEALTHCHECK CMD has no command");
        }
        Some(CommandLine::parse(request)?)
    } else {
        let span = request.logical.span_of(kind);
        return request.fail_at(span, format!("HEALTHCHECK takes CMD or NONE, not `{word}`"));
    };
    Some(Instruction::Healthcheck(Healthcheck {
        command,
        interval: interval(request, "interval")?,
        timeout: interval(request, "timeout")?,
        start_period: interval(request, "start-period")?,
        start_interval: interval(request, "start-interval")?,
        retries: retries(request)?,
    }))
}

fn interval(request: &mut Request<'_>, flag: &str) -> Option<i64> {
    let Some(Word { text, span }) = request.flags.text(flag) else { return Some(0) };
    match parse_duration(&text) {
        Some(value) if value == 0 || value >= SHORTEST => Some(value),
        Some(_) => request.fail_at(span, format!("`--{flag}` cannot be less than 1ms")),
        None => request.fail_at(span, format!("`{text}` is not a duration, such as 30s or 1m30s")),
    }
}

fn retries(request: &mut Request<'_>) -> Option<i64> {
    let Some(Word { text, span }) = request.flags.text("retries") else { return Some(0) };
    match text.parse::<i32>() {
        Ok(number) if number >= 0 => Some(i64::from(number)),
        _ => request.fail_at(span, format!("`--retries` is a number from 0, not `{text}`")),
    }
}

impl Healthcheck {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        stage.only_once(Once::Healthcheck);
        let test = match &self.command {
            None => vec!["NONE".to_owned()],
            Some(CommandLine::Shell(word)) => vec!["CMD-SHELL".to_owned(), word.text.clone()],
            Some(CommandLine::Exec(words)) => {
                std::iter::once("CMD".to_owned()).chain(words.iter().map(|word| word.text.clone())).collect()
            }
        };
        let shown = format!(
            "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
            plain_list(&test),
            duration(self.interval),
            duration(self.timeout),
            duration(self.start_period),
            duration(self.start_interval),
            self.retries
        );
        stage.state.config.config.healthcheck = Some(oci::Healthcheck {
            test,
            interval: self.interval,
            timeout: self.timeout,
            start_period: self.start_period,
            start_interval: self.start_interval,
            retries: self.retries,
        });
        stage.history(shown, false);
    }
}
