//! The filter in the words of the runtime specification (config-linux.md, Seccomp).

use serde_json::{Value, json};

use crate::container::seccomp::Rule;
use crate::container::{CapSet, Seccomp, StartError};

/// The filter, for a container with these capabilities; `null` for none.
pub(super) fn describe(seccomp: &Seccomp, caps: CapSet) -> Result<Value, StartError> {
    match seccomp {
        Seccomp::Unconfined => Ok(Value::Null),
        Seccomp::Custom(text) => crate::container::seccomp::settled(text, caps).map_err(StartError::Invalid),
        Seccomp::Default => Ok(json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "architectures": architectures(),
            "syscalls": crate::container::seccomp::rules(caps).iter().map(rule).collect::<Vec<_>>(),
        })),
    }
}

fn architectures() -> Value {
    if cfg!(target_arch = "x86_64") {
        json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
    } else {
        json!(["SCMP_ARCH_AARCH64"])
    }
}

fn rule(rule: &Rule) -> Value {
    let mut value =
        json!({ "names": rule.names, "action": if rule.errno == 0 { "SCMP_ACT_ALLOW" } else { "SCMP_ACT_ERRNO" } });
    if rule.errno != 0 {
        value["errnoRet"] = json!(rule.errno);
    }
    if let Some((operator, first, second)) = rule.first_argument {
        let mut argument = json!({ "index": 0, "value": first, "op": operator });
        if let Some(second) = second {
            argument["valueTwo"] = json!(second);
        }
        value["args"] = json!([argument]);
    }
    value
}
