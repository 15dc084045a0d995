//! docker's default profile, for a set of capabilities.

use super::compile::{ALLOW, Calls, NATIVE, Test, Verdict, X86, compile, errno};
use super::table::{Grant, Row, SYS_ADMIN, TABLE, X};
use crate::container::caps::CapSet;
use sys::seccomp::Instruction;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Address families that reach into the kernel or the host whatever the namespaces: AF_ALG, AF_VSOCK.
const REFUSED_FAMILIES: [u32; 2] = [38, 40];
/// Linux, Linux of 32 bits, both with the old version number, and the question which one it is.
const PERSONALITIES: [u32; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// Every CLONE_NEW… flag that clone(2) takes.
const NAMESPACE_FLAGS: u32 = 0x7e02_0000;

/// The program for a container with these capabilities.
pub(super) fn default_program(caps: CapSet) -> Vec<Instruction> {
    let calls = |arch, number: fn(&Row) -> i16| Calls {
        arch,
        verdicts: TABLE
            .iter()
            .filter_map(|row| Some((u32::try_from(number(row)).ok()?, verdict(row.4, caps))))
            .collect(),
    };
    if cfg!(target_arch = "x86_64") {
        compile(vec![calls(NATIVE, |row| row.1), calls(X86, |row| row.2)])
    } else {
        compile(vec![calls(NATIVE, |row| row.3)])
    }
}

fn verdict(grant: Grant, caps: CapSet) -> Verdict {
    let refused = Verdict::Always(errno(EPERM));
    let allowed = Verdict::Always(ALLOW);
    match grant {
        Grant::Always => allowed,
        Grant::Never => refused,
        Grant::Needs(any) if caps.0 & any.0 != 0 => allowed,
        Grant::Needs(_) => refused,
        Grant::Absent => Verdict::Always(errno(ENOSYS)),
        Grant::Socket => {
            let conditions = REFUSED_FAMILIES.iter().map(|family| (0, Test::LowNotEqual(*family))).collect();
            Verdict::Rules(vec![(conditions, ALLOW)], errno(EPERM))
        }
        Grant::Personality => {
            let rule = |value: &u32| (vec![(0, Test::LowMasked(u32::MAX, *value))], ALLOW);
            Verdict::Rules(PERSONALITIES.iter().map(rule).collect(), errno(EPERM))
        }
        Grant::CloneFlags | Grant::Clone3 if caps.contains(SYS_ADMIN) => allowed,
        Grant::CloneFlags => {
            Verdict::Rules(vec![(vec![(0, Test::LowMasked(NAMESPACE_FLAGS, 0))], ALLOW)], errno(EPERM))
        }
        Grant::Clone3 => Verdict::Always(errno(ENOSYS)),
    }
}

/// One line of the profile, as other runtimes read it.
pub(crate) struct Rule {
    /// The calls.
    pub(crate) names: Vec<&'static str>,
    /// Their answer; 0 lets them through.
    pub(crate) errno: u32,
    /// A comparison with their first argument, where there is one: operator, value, second value.
    pub(crate) first_argument: Option<(&'static str, u64, Option<u64>)>,
}

/// The profile for a container with these capabilities, without what it refuses by default.
pub(crate) fn rules(caps: CapSet) -> Vec<Rule> {
    let named = |wanted: &dyn Fn(&Grant) -> bool| -> Vec<&'static str> {
        TABLE.iter().filter(|row| wanted(&row.4)).map(|row| row.0).collect()
    };
    let admin = caps.contains(SYS_ADMIN);
    let allowed = |grant: &Grant| match grant {
        Grant::Always => true,
        Grant::Needs(any) => caps.0 & any.0 != 0,
        Grant::CloneFlags | Grant::Clone3 => admin,
        Grant::Never | Grant::Absent | Grant::Socket | Grant::Personality => false,
    };
    let absent = |grant: &Grant| *grant == Grant::Absent || *grant == Grant::Clone3 && !admin;
    let plain = |names, errno| Rule { names, errno, first_argument: None };
    let when = |grant: Grant, operator, value, second| Rule {
        names: named(&|found| *found == grant),
        errno: 0,
        first_argument: Some((operator, value, second)),
    };
    let mut rules = vec![plain(named(&allowed), 0), plain(named(&absent), ENOSYS)];
    let [low, high] = REFUSED_FAMILIES.map(u64::from);
    // All but two: below, between, above, as no rule compares one argument twice.
    rules.push(when(Grant::Socket, "SCMP_CMP_LT", low, None));
    rules.extend((low + 1..high).map(|family| when(Grant::Socket, "SCMP_CMP_EQ", family, None)));
    rules.push(when(Grant::Socket, "SCMP_CMP_GT", high, None));
    rules.extend(PERSONALITIES.map(|value| when(Grant::Personality, "SCMP_CMP_EQ", u64::from(value), None)));
    if !admin {
        rules.push(when(Grant::CloneFlags, "SCMP_CMP_MASKED_EQ", u64::from(NAMESPACE_FLAGS), Some(0)));
    }
    rules.retain(|rule| !rule.names.is_empty());
    rules
}

/// A call's number on each architecture that a program is made for.
pub(super) fn numbers(name: &str) -> Option<[(u32, i16); 2]> {
    let row = &TABLE[TABLE.binary_search_by_key(&name, |row| row.0).ok()?];
    Some(if cfg!(target_arch = "x86_64") { [(NATIVE, row.1), (X86, row.2)] } else { [(NATIVE, row.3), (X86, X)] })
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::super::compile::simulate;
    use super::*;

    fn answer(caps: CapSet, name: &str, args: [u64; 6]) -> u32 {
        let [(arch, number), _] = numbers(name).unwrap();
        simulate(&default_program(caps), arch, number as u32, args)
    }

    #[test]
    fn docker_s_answers() {
        let caps = CapSet::docker();
        assert_eq!(answer(caps, "read", [0; 6]), ALLOW);
        assert_eq!(answer(caps, "chroot", [0; 6]), ALLOW);
        assert_eq!(answer(caps, "mount", [0; 6]), errno(EPERM));
        assert_eq!(answer(caps, "io_uring_setup", [0; 6]), errno(EPERM));
        assert_eq!(answer(caps, "clone3", [0; 6]), errno(ENOSYS));
        assert_eq!(answer(caps, "clone", [0x0120_0011, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(answer(caps, "clone", [0x1000_0011, 0, 0, 0, 0, 0]), errno(EPERM));
        assert_eq!(answer(caps, "personality", [0xffff_ffff, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(answer(caps, "personality", [0x0004_0000, 0, 0, 0, 0, 0]), errno(EPERM));
        assert_eq!(answer(CapSet::EMPTY, "chroot", [0; 6]), errno(EPERM));
        assert_eq!(answer(CapSet::ALL, "mount", [0; 6]), ALLOW);
        assert_eq!(answer(CapSet::ALL, "clone3", [0; 6]), ALLOW);
    }

    #[test]
    fn refused_families_stay_refused_with_bits_above_what_the_kernel_reads() {
        for family in [38, 40, 40 | 1 << 32] {
            assert_eq!(answer(CapSet::ALL, "socket", [family, 0, 0, 0, 0, 0]), errno(EPERM));
        }
        assert_eq!(answer(CapSet::EMPTY, "socket", [2, 0, 0, 0, 0, 0]), ALLOW);
    }

    #[test]
    fn programs_of_32_bits_have_their_own_numbers() {
        let program = default_program(CapSet::docker());
        assert_eq!(simulate(&program, X86, 3, [0; 6]), ALLOW);
        assert_eq!(simulate(&program, X86, 21, [0; 6]), errno(EPERM));
        assert_eq!(simulate(&program, X86, 102, [0; 6]), errno(ENOSYS));
        // The x32 numbers of a 64-bit process.
        assert_eq!(simulate(&program, NATIVE, 0x4000_0000, [0; 6]), errno(ENOSYS));
    }

    #[test]
    fn it_fits_and_is_quick_to_make() {
        let started = std::time::Instant::now();
        let program = default_program(CapSet::docker());
        assert!(program.len() < 2000, "{} instructions in {:?}", program.len(), started.elapsed());
    }
}
