//! CRC-64 of ISO 3309, eight bytes at a time: what tar splits hold of each file.

/// The polynomial, lowest bit first.
const POLYNOMIAL: u64 = 0xd800_0000_0000_0000;

/// `TABLES[n][b]`: what byte `b` becomes when `n` zeros follow.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// The sum of a stream.
#[derive(Debug, Default)]
pub(super) struct Crc64(u64);

impl Crc64 {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let mut crc = !self.0;
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
            crc = mixed.iter().zip(TABLES.iter().rev()).fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
        }
        for byte in rest {
            crc = crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)];
        }
        self.0 = !crc;
    }

    /// As splits write it.
    pub(super) fn bytes(&self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known sum of the nine digits, and any cut of a stream the same.
    #[test]
    fn sums() {
        let mut digits = Crc64::default();
        digits.update(b"123456789");
        assert_eq!(digits.0, 0xb909_56c7_75a4_1001);
        let long: Vec<u8> = (0..1000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let mut whole = Crc64::default();
        whole.update(&long);
        for cut in [1, 7, 8, 9, 500, 999] {
            let mut parts = Crc64::default();
            parts.update(&long[..cut]);
            parts.update(&long[cut..]);
            assert_eq!(parts.0, whole.0, "{cut}");
        }
    }
}
