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

/// Those that tell the owner of an open file if this argument has `AT_EMPTY_PATH`, and of a path's otherwise.
const BY_FLAGS: &[(libc::c_long, u32)] = &[(libc::SYS_newfstatat, 3), (libc::SYS_statx, 2)];

/// The program for [`sys::notify::install`]: asks the monitor about chown and its kin, about identities, and about the
/// owners of open files.
///
/// stat by path isn't among them, as programs do little else: a monitor in its way would slow all of them down. capset
/// isn't either: what it drops is dropped in a user namespace as elsewhere. Calls by other architectures' numbers (32-bit
/// programs) run as they are.
pub fn filter() -> Vec<Instruction> {
    let calls: Vec<libc::c_long> = IDENTITIES.iter().chain(OWNERS).chain(&[libc::SYS_fstat]).copied().collect();
    let number = |call: libc::c_long| u32::try_from(call).unwrap_or(u32::MAX);
    let mut program = vec![
        load(OFFSET_OF_ARCHITECTURE),
        jump_if(ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_ALLOW),
        load(OFFSET_OF_CALL),
    ];
    for (call, argument) in BY_FLAGS {
        program.extend([
            jump_if(number(*call), 0, 4),
            load(OFFSET_OF_ARGUMENTS + argument * ARGUMENT + LOW_HALF),
            instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, libc::AT_EMPTY_PATH.unsigned_abs(), 0, 1),
            answer(libc::SECCOMP_RET_USER_NOTIF),
            answer(libc::SECCOMP_RET_ALLOW),
        ]);
    }
    for (index, call) in calls.iter().enumerate() {
        // To the last instruction: over the calls still to be compared with, and over the first answer.
        let over = u8::try_from(calls.len() - index).unwrap_or(u8::MAX);
        program.push(jump_if(number(*call), over, 0));
    }
    program.extend([answer(libc::SECCOMP_RET_ALLOW), answer(libc::SECCOMP_RET_USER_NOTIF)]);
    program
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
