//! `STOPSIGNAL signal`: a name, with or without `SIG`, or a number.

use super::{Instruction, Request, Spec};
use crate::diagnostic::Diagnostic;
use crate::lower::StageBuild;
use crate::word::Word;

pub(super) const SPEC: Spec = Spec { name: "STOPSIGNAL", flags: &[], heredocs: false, trigger: true, parse };

const NAMES: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

/// Sets the signal that ends a container.
#[derive(Clone, Debug)]
pub struct Stopsignal {
    /// The signal.
    pub signal: Word,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.one().map(|signal| Instruction::Stopsignal(Stopsignal { signal }))
}

impl Stopsignal {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        let Some(signal) = stage.expand(&self.signal) else { return };
        if !is_signal(&signal) {
            let error = Diagnostic::error("InvalidSignal", format!("`{signal}` is not a signal")).at(self.signal.span);
            let bare = signal.to_ascii_uppercase();
            stage.report(error.suggest(bare.strip_prefix("SIG").unwrap_or(&bare), NAMES));
            return;
        }
        stage.history(format!("STOPSIGNAL {signal}"), false);
        stage.state.config.config.stop_signal = signal;
    }
}

fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i32>() {
        return number != 0;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |prefix, limit| {
        name.strip_prefix(prefix).and_then(|rest: &str| rest.parse::<u8>().ok()).is_some_and(|n| n > 0 && n <= limit)
    };
    NAMES.contains(&name) || real_time("RTMIN+", 15) || real_time("RTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals() {
        for good in ["9", "KILL", "SIGKILL", "sigquit", "RTMIN+3", "SIGRTMAX-14"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["0", "", "SIG", "KIL", "RTMIN+16", "RTMAX-0"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}
