//! A profile in docker's JSON form.

use std::collections::BTreeMap;

use serde::Deserialize;
use sys::seccomp::{Instruction, RET_KILL_PROCESS, RET_LOG, RET_TRAP};

use super::compile::{ALLOW, Calls, Condition, NATIVE, Test, Verdict, X86, compile, errno};
use super::profile::numbers;
use super::table::TABLE;
use crate::container::caps::CapSet;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    name: Option<String>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Arg>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Arg {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
struct Filter {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
}

/// The program of a profile, for a container with these capabilities.
///
/// Names that this machine's kernel never had are passed over, as docker passes over them.
pub(super) fn custom_program(text: &str, caps: CapSet) -> Result<Vec<Instruction>, String> {
    let profile: Profile = serde_json::from_str(text).map_err(|error| format!("seccomp profile: {error}"))?;
    let default = action(&profile.default_action, profile.default_errno_ret)?;
    let mut verdicts: BTreeMap<(u32, u32), Verdict> = BTreeMap::new();
    for (name, ..) in TABLE {
        for (arch, number) in numbers(name).into_iter().flatten() {
            if let Ok(number) = u32::try_from(number) {
                verdicts.insert((arch, number), Verdict::Rules(Vec::new(), default));
            }
        }
    }
    for group in profile.syscalls.iter().filter(|group| group.applies(caps)) {
        let rule = (group.conditions()?, action(&group.action, group.errno_ret)?);
        for name in group.names.iter().chain(&group.name) {
            for (arch, number) in numbers(name).into_iter().flatten() {
                let entry = u32::try_from(number).ok().and_then(|number| verdicts.get_mut(&(arch, number)));
                if let Some(Verdict::Rules(rules, _)) = entry {
                    rules.push(rule.clone());
                }
            }
        }
    }
    let calls = |arch| Calls {
        arch,
        verdicts: verdicts
            .iter()
            .filter(|((of, _), _)| *of == arch)
            .map(|((_, number), verdict)| (*number, simplified(verdict.clone())))
            .collect(),
    };
    Ok(compile(vec![calls(NATIVE), calls(X86)]))
}

/// A profile of docker's as the runtime specification has it: what depends on capabilities and processors is decided.
pub(crate) fn settled(text: &str, caps: CapSet) -> Result<serde_json::Value, String> {
    use serde_json::Value;
    let wrong = |error: serde_json::Error| format!("seccomp profile: {error}");
    let mut profile: Value = serde_json::from_str(text).map_err(wrong)?;
    let Some(fields) = profile.as_object_mut() else { return Err("seccomp profile: not an object".to_owned()) };
    fields.remove("archMap");
    let Some(Value::Array(groups)) = fields.get_mut("syscalls") else { return Ok(profile) };
    let mut kept = Vec::with_capacity(groups.len());
    for mut value in std::mem::take(groups) {
        let group: Group = serde_json::from_value(value.clone()).map_err(wrong)?;
        if group.applies(caps) {
            let Some(fields) = value.as_object_mut() else { continue };
            for key in ["includes", "excludes", "comment", "name"] {
                fields.remove(key);
            }
            if let Some(name) = group.name {
                fields.insert("names".to_owned(), vec![name].into());
            }
            if fields.get("args").is_some_and(Value::is_null) {
                fields.remove("args");
            }
            kept.push(value);
        }
    }
    *groups = kept;
    Ok(profile)
}

/// A rule without conditions decides, whatever stands beside it.
fn simplified(verdict: Verdict) -> Verdict {
    match &verdict {
        Verdict::Always(_) => verdict,
        Verdict::Rules(rules, otherwise) if rules.is_empty() => Verdict::Always(*otherwise),
        Verdict::Rules(rules, _) => match rules.iter().find(|(conditions, _)| conditions.is_empty()) {
            Some((_, answer)) => Verdict::Always(*answer),
            None => verdict,
        },
    }
}

impl Group {
    fn applies(&self, caps: CapSet) -> bool {
        let has = |name: &String| CapSet::named(name).is_ok_and(|cap| caps.contains(cap));
        let arch = if cfg!(target_arch = "x86_64") { ["amd64", "x86"] } else { ["arm64", "aarch64"] };
        let here = |arches: &[String]| arches.iter().any(|name| arch.contains(&name.as_str()));
        let included =
            self.includes.as_ref().is_none_or(|f| f.caps.iter().all(has) && (f.arches.is_empty() || here(&f.arches)));
        let excluded = self.excludes.as_ref().is_some_and(|f| f.caps.iter().any(has) || here(&f.arches));
        included && !excluded
    }

    fn conditions(&self) -> Result<Vec<Condition>, String> {
        self.args.iter().flatten().map(Arg::condition).collect()
    }
}

impl Arg {
    fn condition(&self) -> Result<Condition, String> {
        if self.index > 5 {
            return Err(format!("seccomp profile: argument index {} is not below 6", self.index));
        }
        let test = match self.op.as_str() {
            "SCMP_CMP_EQ" => Test::Equal(self.value),
            "SCMP_CMP_NE" => Test::NotEqual(self.value),
            "SCMP_CMP_GT" => Test::Greater(self.value),
            "SCMP_CMP_GE" => Test::GreaterEqual(self.value),
            "SCMP_CMP_LT" => Test::Less(self.value),
            "SCMP_CMP_LE" => Test::LessEqual(self.value),
            "SCMP_CMP_MASKED_EQ" => Test::Masked(self.value, self.value_two),
            other => return Err(format!("seccomp profile: unknown comparison {other:?}")),
        };
        Ok((self.index, test))
    }
}

fn action(name: &str, errno_ret: Option<u32>) -> Result<u32, String> {
    match name {
        "SCMP_ACT_ALLOW" => Ok(ALLOW),
        "SCMP_ACT_ERRNO" => Ok(errno(errno_ret.unwrap_or(1) & 0xffff)),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_PROCESS" | "SCMP_ACT_KILL_THREAD" => Ok(RET_KILL_PROCESS),
        "SCMP_ACT_TRAP" => Ok(RET_TRAP),
        "SCMP_ACT_LOG" => Ok(RET_LOG),
        other => Err(format!("seccomp profile: unknown action {other:?}")),
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::super::compile::simulate;
    use super::*;

    #[test]
    fn reads_docker_s_form() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":13},
            {"names":["kill"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":9,"op":"SCMP_CMP_EQ"}]},
            {"names":["chroot"],"action":"SCMP_ACT_ERRNO","excludes":{"caps":["CAP_SYS_CHROOT"]}}]}"#;
        let program = custom_program(text, CapSet::docker()).unwrap();
        let answer = |number, args| simulate(&program, NATIVE, number, args);
        assert_eq!(answer(83, [0; 6]), errno(13));
        assert_eq!(answer(62, [1, 9, 0, 0, 0, 0]), errno(1));
        assert_eq!(answer(62, [1, 15, 0, 0, 0, 0]), ALLOW);
        assert_eq!(answer(161, [0; 6]), ALLOW);
        assert!(custom_program("{}", CapSet::docker()).is_err());
        assert!(custom_program(r#"{"defaultAction":"SCMP_ACT_WHAT"}"#, CapSet::docker()).is_err());
    }
}
