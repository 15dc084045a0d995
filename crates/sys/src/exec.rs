//! Becoming another program by way of a few instructions that nobody can change.
//!
//! Whatever executes the image's program is for a moment the image's process, and `/proc/self/exe` of that moment is a
//! way to reach its file: an entry point of `/proc/self/exe`, or a script whose first line names it, would run *our*
//! binary inside the container, where root can then open and overwrite it (CVE-2019-5736). So our binary never executes
//! the program itself. It becomes a [`Trampoline`] first: a sealed file in memory, of one page, that only marks
//! the descriptor of its report as closed on exec and executes its arguments. Which descriptor that is, is the first byte of its own name.
//! `/proc/self/exe` is then the trampoline, which ends with 126 when it finds no such descriptor: executed a second time, as the path of a
//! script, it would go on executing itself for ever.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// The first descriptor after the standard streams: what a program is handed begins here, and what the trampoline reports on comes after.
pub const FIRST_HANDED: RawFd = 3;

/// As many descriptors as a program can be handed: `/`, by which a path begins, is not to be the number of a report.
pub const MAX_HANDED: usize = 32;

/// Below this, numbers are for the program and its report.
pub const LOWEST_OF_OURS: RawFd = 64;

/// A sealed, executable file in memory.
#[derive(Debug)]
pub struct Trampoline(OwnedFd);

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .rodata.estiba_trampoline,\"a\"",
    ".globl estiba_trampoline_start",
    ".globl estiba_trampoline_end",
    ".hidden estiba_trampoline_start",
    ".hidden estiba_trampoline_end",
    "estiba_trampoline_start:",
    // fcntl(argv[0][0], F_SETFD, FD_CLOEXEC)
    "mov rax, [rsp + 8]",
    "movzx ebx, byte ptr [rax]",
    "mov edi, ebx",
    "mov esi, 2",
    "mov edx, 1",
    "mov eax, 72",
    "syscall",
    "test eax, eax",
    "jnz 2f",
    // execve(argv[1], argv + 2, envp)
    "mov rdi, [rsp + 16]",
    "lea rsi, [rsp + 24]",
    "mov rax, [rsp]",
    "lea rdx, [rsp + rax * 8 + 16]",
    "mov eax, 59",
    "syscall",
    // write(argv[0][0], &errno, 4)
    "neg eax",
    "push rax",
    "mov edi, ebx",
    "mov rsi, rsp",
    "mov edx, 4",
    "mov eax, 1",
    "syscall",
    // exit_group(126)
    "2:",
    "mov edi, 126",
    "mov eax, 231",
    "syscall",
    "ud2",
    "estiba_trampoline_end:",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".pushsection .rodata.estiba_trampoline,\"a\"",
    ".balign 8",
    ".globl estiba_trampoline_start",
    ".globl estiba_trampoline_end",
    ".hidden estiba_trampoline_start",
    ".hidden estiba_trampoline_end",
    "estiba_trampoline_start:",
    "ldr x9, [sp, #8]",
    "ldrb w10, [x9]",
    "mov w0, w10",
    "mov x1, #2",
    "mov x2, #1",
    "mov x8, #25",
    "svc #0",
    "cbnz x0, 2f",
    "ldr x0, [sp, #16]",
    "add x1, sp, #24",
    "ldr x3, [sp]",
    "add x2, sp, #16",
    "add x2, x2, x3, lsl #3",
    "mov x8, #221",
    "svc #0",
    "neg x0, x0",
    "str x0, [sp, #-16]!",
    "mov w0, w10",
    "mov x1, sp",
    "mov x2, #4",
    "mov x8, #64",
    "svc #0",
    "2:",
    "mov x0, #126",
    "mov x8, #94",
    "svc #0",
    "brk #1",
    "estiba_trampoline_end:",
    ".popsection",
);

unsafe extern "C" {
    static estiba_trampoline_start: u8;
    static estiba_trampoline_end: u8;
}

#[cfg(target_arch = "x86_64")]
const ELF_MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const ELF_MACHINE: u16 = 183;

/// Where the one segment is mapped: aligned for pages of up to 64 KiB.
const LOAD_ADDRESS: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 2 * 56;

impl Trampoline {
    /// Makes the file.
    pub fn new() -> Result<Self> {
        let mut file = File::from(executable_memfd()?);
        file.write_all(&image()).map_err(|error| Error::from_io("write", "trampoline", &error))?;
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals).map_err(|errno| Error::new("fcntl F_ADD_SEALS", "", errno))?;
        // Out of the way of the numbers that a program's own descriptors get, and of the report's.
        raise(&file, LOWEST_OF_OURS).map(Self)
    }

    /// Becomes `program` with `args` and `env`. Returns only when the trampoline itself can't be executed; that the
    /// program can't be is said on `report`, below 256: the errno, four bytes in native order.
    pub fn exec(&self, report: RawFd, program: &CString, args: &[CString], env: &[CString]) -> Error {
        let report = [u8::try_from(report).unwrap_or(u8::MAX), 0];
        let argv: Vec<*const libc::c_char> = [report.as_ptr().cast(), program.as_ptr()]
            .into_iter()
            .chain(args.iter().map(|arg| arg.as_ptr()))
            .chain(std::iter::once(std::ptr::null()))
            .collect();
        let envp: Vec<*const libc::c_char> =
            env.iter().map(|variable| variable.as_ptr()).chain(std::iter::once(std::ptr::null())).collect();
        // SAFETY: both arrays end with a null and point to terminated strings that outlive the call.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                self.0.as_fd().as_raw_fd(),
                c"".as_ptr(),
                argv.as_ptr(),
                envp.as_ptr(),
                libc::AT_EMPTY_PATH,
            );
        }
        Error::last("execveat", "trampoline")
    }
}

impl AsFd for Trampoline {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Newer kernels want to be told that a file in memory is to be executed; older ones don't know the word.
fn executable_memfd() -> Result<OwnedFd> {
    let known = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let exec = MemfdFlags::from_bits_retain(libc::MFD_EXEC);
    rustix::fs::memfd_create("start", known | exec)
        .or_else(|errno| if errno == Errno::INVAL { rustix::fs::memfd_create("start", known) } else { Err(errno) })
        .map_err(|errno| Error::new("memfd_create", "start", errno))
}

/// A whole ELF file: header, two program headers, the instructions.
fn image() -> Vec<u8> {
    // SAFETY: the two symbols delimit read-only bytes of one section, laid down above.
    let code = unsafe {
        let start = &raw const estiba_trampoline_start;
        let length = (&raw const estiba_trampoline_end).offset_from(start);
        std::slice::from_raw_parts(start, length as usize)
    };
    let size = HEADERS + code.len() as u64;
    let mut elf = Vec::with_capacity(size as usize);
    elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    push_u16(&mut elf, &[2, ELF_MACHINE]);
    push_u32(&mut elf, &[1]);
    push_u64(&mut elf, &[LOAD_ADDRESS + HEADERS, 64, 0]);
    push_u32(&mut elf, &[0]);
    push_u16(&mut elf, &[64, 56, 2, 64, 0, 0]);
    // PT_LOAD, readable and executable, the whole file.
    push_u32(&mut elf, &[1, 5]);
    push_u64(&mut elf, &[0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1_0000]);
    // PT_GNU_STACK, not executable.
    push_u32(&mut elf, &[0x6474_e551, 6]);
    push_u64(&mut elf, &[0, 0, 0, 0, 0, 16]);
    elf.extend_from_slice(code);
    elf
}

fn push_u16(elf: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| elf.extend_from_slice(&value.to_ne_bytes()));
}

fn push_u32(elf: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| elf.extend_from_slice(&value.to_ne_bytes()));
}

fn push_u64(elf: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|value| elf.extend_from_slice(&value.to_ne_bytes()));
}

/// Executes this process's own program again, with these arguments; what is not closed on exec stays open, and blocked signals stay
/// blocked. Returns only when that fails. The program is the one that runs, whatever its path leads to by now.
pub fn again(arguments: &[CString]) -> Error {
    let mut pointers: Vec<*const libc::c_char> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: both are NUL-terminated and live until the call returns, if it does.
    unsafe { libc::execv(c"/proc/self/exe".as_ptr(), pointers.as_ptr()) };
    Error::last("execve", "/proc/self/exe")
}

/// Puts `fd` at exactly `number`, open across exec; `number` may be taken, and may be `fd` itself.
pub fn place(fd: impl AsFd, number: RawFd) -> Result<()> {
    let from = fd.as_fd().as_raw_fd();
    // SAFETY: dup2 touches descriptors only. The caller gives up whatever `number` was before.
    let result = unsafe { if from == number { libc::fcntl(from, libc::F_SETFD, 0) } else { libc::dup2(from, number) } };
    if result >= 0 { Ok(()) } else { Err(Error::last("dup2", "")) }
}

/// A copy of `fd` with a number of at least `lowest`, closed on exec.
pub fn raise(fd: impl AsFd, lowest: RawFd) -> Result<OwnedFd> {
    // SAFETY: the new descriptor is ours alone.
    unsafe {
        let raised = libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest);
        if raised >= 0 { Ok(OwnedFd::from_raw_fd(raised)) } else { Err(Error::last("fcntl F_DUPFD_CLOEXEC", "")) }
    }
}

/// Marks every descriptor from `first` on as closed on exec.
pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    // SAFETY: only flags change; nothing is closed now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    match result {
        0 => Ok(()),
        // Linux 5.10 knows the call, but not the flag.
        _ if Errno::from_io_error(&std::io::Error::last_os_error()) == Some(Errno::INVAL) => mark_each_from(first),
        _ => Err(Error::last("close_range", "")),
    }
}

/// The same, one by one. Nobody who is about to execute a program has so many; what is beyond is closed now.
fn mark_each_from(first: RawFd) -> Result<()> {
    const END: RawFd = 4096;
    for number in first..END {
        // SAFETY: only the flag of a descriptor changes; a number that is not open is refused.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: the numbers are beyond those of any descriptor that is still used.
    let result = unsafe { libc::syscall(libc::SYS_close_range, END.max(first), u32::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(Error::last("close_range", "")) }
}

/// Closes descriptors `first..` now, but for `keep`.
///
/// Only for a process just forked, before it uses any of what it inherited: their owners in this process's memory must
/// never be dropped.
pub fn close_inherited(first: RawFd, keep: &[RawFd]) -> Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    keep.dedup();
    let mut from = first;
    for fd in keep.into_iter().map(Some).chain([None]) {
        let to = fd.map_or(u32::MAX, |fd| (fd - 1) as u32);
        // SAFETY: see the contract above.
        if to >= from as u32 && unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) } != 0 {
            return Err(Error::last("close_range", ""));
        }
        from = fd.map_or(from, |fd| fd + 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_small_and_sealed() {
        assert!(image().len() < 512);
        let trampoline = Trampoline::new().unwrap();
        let seals = rustix::fs::fcntl_get_seals(&trampoline.0).unwrap();
        assert!(seals.contains(SealFlags::WRITE | SealFlags::SEAL));
    }
}
