//! From verdicts on system calls to a program for the kernel.
//!
//! The program is a binary search over ranges of numbers with one verdict: nine steps a call instead of hundreds, which
//! counts twice, since the kernel runs a new filter over every number once to learn which ones it always allows.

use sys::seccomp::{Instruction, RET_ALLOW, RET_ERRNO};

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGS: u32 = 16;

const ENOSYS: u32 = 38;

/// The machine's own system calls, as the kernel's audit code calls them.
#[cfg(target_arch = "x86_64")]
pub(super) const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const NATIVE: u32 = 0xc000_00b7;
/// Those of 32-bit x86 programs.
pub(super) const X86: u32 = 0x4000_0003;

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// Equal.
    Equal(u64),
    /// Not equal.
    NotEqual(u64),
    /// Greater.
    Greater(u64),
    /// Greater or equal.
    GreaterEqual(u64),
    /// Less.
    Less(u64),
    /// Less or equal.
    LessEqual(u64),
    /// Equal in these bits: mask, value.
    Masked(u64, u64),
    /// The low half equal in these bits, whatever the high half: mask, value.
    LowMasked(u32, u32),
    /// The low half not equal, whatever the high half: the kernel itself reads no more of it.
    LowNotEqual(u32),
}

/// One condition: the argument's place and its test.
pub(super) type Condition = (u8, Test);

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This answer.
    Always(u32),
    /// The answer of the first rule whose conditions all hold, else the last.
    Rules(Vec<(Vec<Condition>, u32)>, u32),
}

/// Refused with this error number.
pub(super) const fn errno(number: u32) -> u32 {
    RET_ERRNO | number
}

/// The calls of one architecture: its audit code, and the verdicts by number, in order.
pub(super) struct Calls {
    pub(super) arch: u32,
    pub(super) verdicts: Vec<(u32, Verdict)>,
}

/// The whole program. Numbers without a verdict, and other architectures, get ENOSYS.
pub(super) fn compile(architectures: Vec<Calls>) -> Vec<Instruction> {
    let mut program = vec![statement(LOAD, OFFSET_ARCH)];
    for calls in architectures {
        let tree = tree(&ranges(calls.verdicts));
        program.push(jump(JUMP_EQUAL, calls.arch, 1, 0));
        program.push(statement(JUMP, tree.len() as u32 + 1));
        program.push(statement(LOAD, OFFSET_NUMBER));
        program.extend(tree);
    }
    program.push(statement(RETURN, errno(ENOSYS)));
    program
}

/// Consecutive numbers with one verdict, by the first of them; the last range has no end.
fn ranges(mut verdicts: Vec<(u32, Verdict)>) -> Vec<(u32, Verdict)> {
    verdicts.sort_by_key(|(number, _)| *number);
    let absent = Verdict::Always(errno(ENOSYS));
    let mut ranges: Vec<(u32, Verdict)> = Vec::with_capacity(verdicts.len() / 4);
    let mut next = 0;
    let mut push = |number, verdict: Verdict| match ranges.last() {
        Some((_, last)) if *last == verdict => {}
        _ => ranges.push((number, verdict)),
    };
    for (number, verdict) in verdicts {
        if number > next {
            push(next, absent.clone());
        }
        push(number, verdict);
        next = number + 1;
    }
    push(next, absent);
    ranges
}

fn tree(ranges: &[(u32, Verdict)]) -> Vec<Instruction> {
    match ranges {
        [] => vec![statement(RETURN, errno(ENOSYS))],
        [(_, verdict)] => leaf(verdict),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let (left, right) = (tree(low), tree(high));
            let mut code = Vec::with_capacity(left.len() + right.len() + 2);
            match u8::try_from(left.len()) {
                Ok(distance) => code.push(jump(JUMP_GREATER_EQUAL, high[0].0, distance, 0)),
                Err(_) => {
                    code.push(jump(JUMP_GREATER_EQUAL, high[0].0, 0, 1));
                    code.push(statement(JUMP, left.len() as u32));
                }
            }
            code.extend(left);
            code.extend(right);
            code
        }
    }
}

fn leaf(verdict: &Verdict) -> Vec<Instruction> {
    match verdict {
        Verdict::Always(answer) => vec![statement(RETURN, *answer)],
        Verdict::Rules(rules, otherwise) => {
            let mut code = Vec::new();
            for (conditions, answer) in rules {
                // From the last condition back: each one that fails jumps over all that follows it, and the answer.
                let mut body = vec![statement(RETURN, *answer)];
                for (arg, test) in conditions.iter().rev() {
                    let mut checked = check(*arg, *test, body.len() as u8);
                    checked.extend(body);
                    body = checked;
                }
                code.extend(body);
            }
            code.push(statement(RETURN, *otherwise));
            code
        }
    }
}

/// Instructions that fall through where the test holds, and else jump over `skip` more that follow them.
fn check(arg: u8, test: Test, skip: u8) -> Vec<Instruction> {
    let low = statement(LOAD, OFFSET_ARGS + u32::from(arg) * 8);
    let high = statement(LOAD, OFFSET_ARGS + u32::from(arg) * 8 + 4);
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    match test {
        Test::LowMasked(mask, value) => vec![low, statement(AND, mask), jump(JUMP_EQUAL, value, 0, skip)],
        Test::LowNotEqual(value) => vec![low, jump(JUMP_EQUAL, value, skip, 0)],
        Test::Equal(value) => {
            let (h, l) = halves(value);
            vec![high, jump(JUMP_EQUAL, h, 0, skip + 2), low, jump(JUMP_EQUAL, l, 0, skip)]
        }
        Test::NotEqual(value) => {
            let (h, l) = halves(value);
            vec![high, jump(JUMP_EQUAL, h, 0, 2), low, jump(JUMP_EQUAL, l, skip, 0)]
        }
        Test::Masked(mask, value) => {
            let ((mh, ml), (vh, vl)) = (halves(mask), halves(value));
            vec![
                high,
                statement(AND, mh),
                jump(JUMP_EQUAL, vh, 0, skip + 3),
                low,
                statement(AND, ml),
                jump(JUMP_EQUAL, vl, 0, skip),
            ]
        }
        Test::Greater(value) => ordered(high, low, value, JUMP_GREATER, true, skip),
        Test::GreaterEqual(value) => ordered(high, low, value, JUMP_GREATER_EQUAL, true, skip),
        Test::Less(value) => ordered(high, low, value, JUMP_GREATER_EQUAL, false, skip),
        Test::LessEqual(value) => ordered(high, low, value, JUMP_GREATER, false, skip),
    }
}

/// Compares 64 bits by halves: the high half decides unless it is equal. `holds` says whether greater is what is wanted.
fn ordered(high: Instruction, low: Instruction, value: u64, by: u16, holds: bool, skip: u8) -> Vec<Instruction> {
    let (h, l) = ((value >> 32) as u32, value as u32);
    let pick = |distance: u8| if holds { (distance, skip) } else { (skip, distance) };
    // From the second instruction, the end is 3 away; a failure goes `skip` further.
    let (greater, less) = if holds { (3, skip + 2) } else { (skip + 3, 2) };
    let (yes, no) = pick(0);
    vec![high, jump(JUMP_GREATER, h, greater, 0), jump(JUMP_EQUAL, h, 0, less), low, jump(by, l, yes, no)]
}

fn statement(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// What the kernel would answer: the same program, run here.
#[cfg(test)]
pub(super) fn simulate(program: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        OFFSET_NUMBER => number,
        OFFSET_ARCH => arch,
        _ => {
            let arg = args[(offset - OFFSET_ARGS) as usize / 8];
            if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
        }
    };
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let taken = match code {
            LOAD => {
                accumulator = word(k);
                continue;
            }
            AND => {
                accumulator &= k;
                continue;
            }
            JUMP => {
                at += k as usize;
                continue;
            }
            RETURN => return k,
            JUMP_EQUAL => accumulator == k,
            JUMP_GREATER => accumulator > k,
            JUMP_GREATER_EQUAL => accumulator >= k,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if taken { jt } else { jf });
    }
}

/// Let through.
pub(super) const ALLOW: u32 = RET_ALLOW;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_compares_64_bits_as_integers_do() {
        type Expected = fn(u64, u64) -> bool;
        const VALUES: [u64; 7] = [0, 1, 5, u32::MAX as u64, 1 << 32, (1 << 32) + 5, u64::MAX];
        for value in VALUES {
            let tests: [(Test, Expected); 6] = [
                (Test::Equal(value), |a, b| a == b),
                (Test::NotEqual(value), |a, b| a != b),
                (Test::Greater(value), |a, b| a > b),
                (Test::GreaterEqual(value), |a, b| a >= b),
                (Test::Less(value), |a, b| a < b),
                (Test::LessEqual(value), |a, b| a <= b),
            ];
            for (test, expected) in tests {
                let rule = vec![(2, test), (0, Test::Equal(7))];
                let verdict = Verdict::Rules(vec![(rule, ALLOW)], errno(1));
                let program = compile(vec![Calls { arch: NATIVE, verdicts: vec![(9, verdict)] }]);
                for arg in VALUES {
                    let answer = simulate(&program, NATIVE, 9, [7, 0, arg, 0, 0, 0]);
                    assert_eq!(answer == ALLOW, expected(arg, value), "{test:?} of {arg:#x}");
                    assert_ne!(simulate(&program, NATIVE, 9, [8, 0, arg, 0, 0, 0]), ALLOW);
                }
            }
        }
    }

    #[test]
    fn what_has_no_verdict_is_absent() {
        let program = compile(vec![Calls { arch: NATIVE, verdicts: vec![(9, Verdict::Always(ALLOW))] }]);
        assert_eq!(simulate(&program, NATIVE, 9, [0; 6]), ALLOW);
        assert_eq!(simulate(&program, NATIVE, 8, [0; 6]), errno(ENOSYS));
        assert_eq!(simulate(&program, NATIVE, 100_000, [0; 6]), errno(ENOSYS));
        assert_eq!(simulate(&program, X86, 9, [0; 6]), errno(ENOSYS));
    }
}
