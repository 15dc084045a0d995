//! Processors: their names, how the kernel tells their programs, and the smallest program of each.

/// Bytes of an ELF header that tell a program's processor.
pub(super) const HEADER: usize = 20;

/// What is known of a processor.
#[derive(Debug)]
pub(super) struct Processor {
    /// Go's name.
    pub(super) name: &'static str,
    /// Qemu's.
    pub(super) qemu_name: &'static str,
    /// Whether addresses have 64 bits.
    wide: bool,
    /// Whether the lowest byte comes first.
    little: bool,
    /// `e_machine`.
    machine: u16,
    /// `e_flags`.
    flags: u32,
    /// `exit(0)`.
    exit: &'static [u8],
}

/// All that something is known of.
pub(super) const ALL: [Processor; 9] = [
    Processor {
        name: "amd64",
        qemu_name: "x86_64",
        wide: true,
        little: true,
        machine: 62,
        flags: 0,
        // mov eax, 60; xor edi, edi; syscall
        exit: &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05],
    },
    Processor {
        name: "arm64",
        qemu_name: "aarch64",
        wide: true,
        little: true,
        machine: 183,
        flags: 0,
        // mov x8, 93; mov x0, 0; svc 0
        exit: &[0xa8, 0x0b, 0x80, 0xd2, 0, 0, 0x80, 0xd2, 0x01, 0, 0, 0xd4],
    },
    Processor {
        name: "arm",
        qemu_name: "arm",
        wide: false,
        little: true,
        machine: 40,
        // EABI 5.
        flags: 0x0500_0000,
        // mov r7, 1; mov r0, 0; svc 0
        exit: &[0x01, 0x70, 0xa0, 0xe3, 0, 0, 0xa0, 0xe3, 0, 0, 0, 0xef],
    },
    Processor {
        name: "386",
        qemu_name: "i386",
        wide: false,
        little: true,
        machine: 3,
        flags: 0,
        // mov eax, 1; xor ebx, ebx; int 0x80
        exit: &[0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80],
    },
    Processor {
        name: "riscv64",
        qemu_name: "riscv64",
        wide: true,
        little: true,
        machine: 243,
        flags: 0,
        // li a7, 93; li a0, 0; ecall
        exit: &[0x93, 0x08, 0xd0, 0x05, 0x13, 0x05, 0, 0, 0x73, 0, 0, 0],
    },
    Processor {
        name: "ppc64le",
        qemu_name: "ppc64le",
        wide: true,
        little: true,
        machine: 21,
        // The second version of its ABI.
        flags: 2,
        // li r0, 1; li r3, 0; sc
        exit: &[0x01, 0, 0, 0x38, 0, 0, 0x60, 0x38, 0x02, 0, 0, 0x44],
    },
    Processor {
        name: "s390x",
        qemu_name: "s390x",
        wide: true,
        little: false,
        machine: 22,
        flags: 0,
        // lghi %r2, 0; svc 1
        exit: &[0xa7, 0x29, 0, 0, 0x0a, 0x01],
    },
    Processor {
        name: "mips64le",
        qemu_name: "mips64el",
        wide: true,
        little: true,
        machine: 8,
        // The second release of MIPS64.
        flags: 0x8000_0006,
        // li $v0, 5058; li $a0, 0; syscall
        exit: &[0xc2, 0x13, 0x02, 0x24, 0, 0, 0x04, 0x24, 0x0c, 0, 0, 0],
    },
    Processor {
        name: "loong64",
        qemu_name: "loongarch64",
        wide: true,
        little: true,
        machine: 258,
        // The double-precision ABI.
        flags: 0x43,
        // ori $a7, $zero, 93; ori $a0, $zero, 0; syscall 0
        exit: &[0x0b, 0x74, 0x81, 0x03, 0x04, 0, 0x80, 0x03, 0, 0, 0x2b, 0],
    },
];

/// Where the program lies in memory: aligned for pages of up to 64 KiB.
const ADDRESS: u64 = 0x40_0000;

impl Processor {
    /// The one of this name, as Go has it.
    pub(super) fn of(name: &str) -> Option<&'static Processor> {
        ALL.iter().find(|one| one.name == name)
    }

    /// The name of its static emulator.
    pub(super) fn qemu(&self) -> String {
        format!("qemu-{}-static", self.qemu_name)
    }

    /// How its programs begin.
    pub(super) fn magic(&self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(b"\x7fELF");
        (header[4], header[5], header[6]) = (1 + u8::from(self.wide), 2 - u8::from(self.little), 1);
        header[16..18].copy_from_slice(&self.two(2));
        header[18..].copy_from_slice(&self.two(self.machine));
        header
    }

    /// Which bits of that count: not the system's ABI, and of the type not what tells a program from a shared object.
    pub(super) fn mask(&self) -> [u8; HEADER] {
        let mut mask = [0xff; HEADER];
        mask[7] = 0;
        mask[if self.little { 16 } else { 17 }] = 0xfe;
        mask
    }

    /// A program that ends at once, with 0.
    pub(super) fn program(&self) -> Vec<u8> {
        let (header, entry) = if self.wide { (64u16, 56u16) } else { (52, 32) };
        let start = u64::from(header + entry);
        let size = start + self.exit.len() as u64;
        let mut elf = self.magic().to_vec();
        elf.extend(self.four(1));
        for address in [ADDRESS + start, u64::from(header), 0] {
            self.address(&mut elf, address);
        }
        elf.extend(self.four(self.flags));
        for half in [header, entry, 1, if self.wide { 64 } else { 40 }, 0, 0] {
            elf.extend(self.two(half));
        }
        // PT_LOAD, readable and executable, the whole file. The flags' place depends on the class.
        elf.extend(self.four(1));
        if self.wide {
            elf.extend(self.four(5));
        }
        for address in [0, ADDRESS, ADDRESS, size, size] {
            self.address(&mut elf, address);
        }
        if !self.wide {
            elf.extend(self.four(5));
        }
        self.address(&mut elf, 0x1_0000);
        elf.extend(self.exit);
        elf
    }

    fn two(&self, value: u16) -> [u8; 2] {
        if self.little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn four(&self, value: u32) -> [u8; 4] {
        if self.little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn address(&self, out: &mut Vec<u8>, value: u64) {
        match (self.wide, self.little) {
            (true, true) => out.extend(value.to_le_bytes()),
            (true, false) => out.extend(value.to_be_bytes()),
            // All addresses here are small.
            (false, _) => out.extend(self.four(value as u32)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_and_mask_are_those_that_distributions_register() {
        let arm64 = Processor::of("arm64").unwrap();
        assert_eq!(arm64.magic(), *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0");
        assert_eq!(arm64.mask(), *b"\xff\xff\xff\xff\xff\xff\xff\0\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff");
        let s390x = Processor::of("s390x").unwrap();
        assert_eq!(s390x.magic()[16..], *b"\0\x02\0\x16");
        assert_eq!(s390x.mask()[16..], *b"\xff\xfe\xff\xff");
    }

    #[test]
    fn programs_are_whole_files() {
        for one in &ALL {
            let program = one.program();
            let headers = if one.wide { 64 + 56 } else { 52 + 32 };
            assert_eq!(program.len(), headers + one.exit.len(), "{}", one.name);
            assert_eq!(program[..HEADER], one.magic(), "{}", one.name);
        }
    }
}
