//! Which calls the monitor is asked about.

use sys::notify::Instruction;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// In `struct seccomp_data`.
const OFFSET_OF_CALL: u32 = 0;
/// In `struct seccomp_data`.
const OFFSET_OF_ARCHITECTURE: u32 = 4;

/// In `struct seccomp_data`, six of eight bytes each.
const OFFSET_OF_ARGUMENTS: u32 = 16;
const ARGUMENT: u32 = 8;
/// Where the low half of a number is.
const LOW_HALF: u32 = if cfg!(target_endian = "big") { 4 } else { 0 };

/// Those that change an owner.
const OWNERS: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    libc::SYS_fchown,
    libc::SYS_fchownat,
];

/// Those that change or tell an identity.
const IDENTITIES: &[libc::c_long] = &[
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
];

/// A call that is answered so where all tests hold, and runs as it is otherwise.
struct Case {
    call: libc::c_long,
    tests: &'static [Test],
    answer: u32,
}

/// A test of an argument's lower half, by the argument's place.
enum Test {
    Equals(u32, u32),
    Has(u32, u32),
    /// Of the whole argument.
    IsSet(u32),
}

const EMPTY_PATH: u32 = libc::AT_EMPTY_PATH.unsigned_abs();
const MARK: u32 = libc::RLIMIT_RTTIME;
/// Nothing happens, and the caller is told that it did.
const PRETEND: u32 = libc::SECCOMP_RET_ERRNO;
const ASK: u32 = libc::SECCOMP_RET_USER_NOTIF;

const CASES: &[Case] = &[
    // The owner of an open file; of a path's without the flag.
    Case { call: libc::SYS_newfstatat, tests: &[Test::Has(3, EMPTY_PATH)], answer: ASK },
    Case { call: libc::SYS_statx, tests: &[Test::Has(2, EMPTY_PATH)], answer: ASK },
    Case { call: libc::SYS_prctl, tests: &[Test::Equals(0, libc::PR_SET_KEEPCAPS.unsigned_abs())], answer: ASK },
    // The limit that a process' mark is kept in (sys::mark): PAM sets all of them anew at each su.
    Case { call: libc::SYS_prlimit64, tests: &[Test::Equals(1, MARK), Test::IsSet(2)], answer: PRETEND },
    Case { call: libc::SYS_setrlimit, tests: &[Test::Equals(0, MARK)], answer: PRETEND },
];

/// The program for [`sys::notify::install`]: asks the monitor about chown and its kin, about identities, and about the
/// owners of open files.
///
/// stat by path isn't among them, as programs do little else: a monitor in its way would slow all of them down. capset
/// isn't either: what it drops is dropped in a user namespace as elsewhere. Calls by other architectures' numbers (32-bit
/// programs) run as they are.
pub fn filter() -> Vec<Instruction> {
    let calls: Vec<libc::c_long> = IDENTITIES.iter().chain(OWNERS).chain(&[libc::SYS_fstat]).copied().collect();
    let mut program = vec![
        load(OFFSET_OF_ARCHITECTURE),
        jump_if(ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_ALLOW),
        load(OFFSET_OF_CALL),
    ];
    for case in CASES {
        case.append_to(&mut program);
    }
    for (index, call) in calls.iter().enumerate() {
        // To the last instruction: over the calls still to be compared with, and over the first answer.
        program.push(jump_if(number(*call), distance(calls.len() - index), 0));
    }
    program.extend([answer(libc::SECCOMP_RET_ALLOW), answer(ASK)]);
    program
}

impl Case {
    fn append_to(&self, program: &mut Vec<Instruction>) {
        let length: usize = self.tests.iter().map(Test::length).sum();
        program.push(jump_if(number(self.call), 0, distance(length + 2)));
        let mut left = length;
        for test in self.tests {
            left -= test.length();
            // Over the tests still to come, and over the answer.
            test.append_to(program, distance(left + 1));
        }
        program.extend([answer(self.answer), answer(libc::SECCOMP_RET_ALLOW)]);
    }
}

impl Test {
    fn length(&self) -> usize {
        match self {
            Self::Equals(..) | Self::Has(..) => 2,
            Self::IsSet(_) => 4,
        }
    }

    fn append_to(&self, program: &mut Vec<Instruction>, otherwise: u8) {
        let half = |argument: u32, half: u32| load(OFFSET_OF_ARGUMENTS + argument * ARGUMENT + half);
        match *self {
            Self::Equals(argument, value) => {
                program.extend([half(argument, LOW_HALF), jump_if(value, 0, otherwise)]);
            }
            Self::Has(argument, bits) => {
                let test = instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, bits, 0, otherwise);
                program.extend([half(argument, LOW_HALF), test]);
            }
            Self::IsSet(argument) => program.extend([
                half(argument, LOW_HALF),
                jump_if(0, 0, 2),
                half(argument, ARGUMENT / 2 - LOW_HALF),
                jump_if(0, otherwise, 0),
            ]),
        }
    }
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// A jump's length; the program is far from the limit.
fn distance(instructions: usize) -> u8 {
    u8::try_from(instructions).unwrap_or(u8::MAX)
}

fn load(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

fn jump_if(equal: u32, then: u8, or: u8) -> Instruction {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, equal, then, or)
}

fn answer(what: u32) -> Instruction {
    instruction(libc::BPF_RET | libc::BPF_K, what, 0, 0)
}

fn instruction(code: u32, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    // Classic BPF's codes are one byte.
    Instruction { code: u16::try_from(code).unwrap_or_default(), if_true, if_false, operand }
}
