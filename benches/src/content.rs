//! Contexts for the workloads: the same bytes on every machine.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// A small generator of incompressible bytes (splitmix64); quality does not matter here, speed does.
struct Bytes(u64);

impl Bytes {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (mixed ^ (mixed >> 31)).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// Writes one file of `size` bytes that only `seed` decides.
fn file(path: &Path, seed: u64, size: usize) -> io::Result<()> {
    let mut bytes = Bytes(seed.wrapping_mul(0x1000_0001));
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut block = [0; 1 << 16];
    let mut left = size;
    while left > 0 {
        let now = left.min(block.len());
        bytes.fill(&mut block[..now]);
        out.write_all(&block[..now])?;
        left -= now;
    }
    out.flush()
}

/// Makes a context unless it is there: `write` gets the folder, which appears whole or not at all.
fn once(dir: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    if dir.exists() {
        return Ok(());
    }
    let partial = dir.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    write(&partial)?;
    fs::rename(partial, dir)
}

/// W1: 12 instructions, 2,000 files, 20 MB.
pub(crate) fn cached_rebuild(dir: &Path) -> io::Result<()> {
    once(dir, |dir| {
        for number in 0..2000 {
            let folder = dir.join(format!("src/d{:02}", number / 50));
            fs::create_dir_all(&folder)?;
            file(&folder.join(format!("f{number:04}.txt")), number, 10_240)?;
        }
        fs::write(dir.join("app.conf"), "x=1\n")?;
        fs::write(
            dir.join("Dockerfile"),
            "FROM busybox\nENV A=1 B=2\nARG V=1\nWORKDIR /app\nRUN echo one > one\nRUN mkdir -p d && echo two > d/two\n\
             COPY src /app/src\nCOPY app.conf /etc/app.conf\nRUN ls /app/src | wc -l > n\nLABEL x=y\nEXPOSE 80\nCMD [\"sh\"]\n",
        )
    })
}

/// W2: five RUNs and a COPY.
pub(crate) fn small_runs(dir: &Path) -> io::Result<()> {
    once(dir, |dir| {
        fs::write(dir.join("f"), "f\n")?;
        fs::write(
            dir.join("Dockerfile"),
            "FROM busybox\nRUN echo 1 > /1\nRUN echo 2 > /2\nRUN echo 3 > /3\nRUN echo 4 > /4\nRUN echo 5 > /5\nCOPY f /f\nCMD [\"sh\"]\n",
        )
    })
}

/// W3: 50,000 files of about 4 KB, and one of 1 GiB.
pub(crate) fn large_copy(dir: &Path) -> io::Result<()> {
    once(dir, |dir| {
        files(&dir.join("files"))?;
        file(&dir.join("big.bin"), 7, 1 << 30)?;
        fs::write(dir.join("Dockerfile"), "FROM busybox\nCOPY big.bin /big.bin\nCOPY files /files\n")
    })
}

/// 50,000 files of about 4 KB in 100 folders.
fn files(dir: &Path) -> io::Result<()> {
    for number in 0..50_000_u64 {
        let folder = dir.join(format!("d{:03}", number / 500));
        if number % 500 == 0 {
            fs::create_dir_all(&folder)?;
        }
        let size = 3072 + (number as usize * 37) % 2048;
        file(&folder.join(format!("f{number:05}")), 100_000 + number, size)?;
    }
    Ok(())
}

/// What each stage of W4 runs, without the file that it leaves.
pub(crate) const STAGE: &str = "sleep 2 && i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";

/// W4: four stages side by side, each of which sleeps and then counts.
pub(crate) fn stages(dir: &Path) -> io::Result<()> {
    once(dir, |dir| {
        let mut text = String::new();
        for stage in 0..4 {
            text.push_str(&format!("FROM busybox AS s{stage}\nRUN {STAGE}; echo {stage} > /out{stage}\n"));
        }
        text.push_str("FROM busybox\n");
        for stage in 0..4 {
            text.push_str(&format!("COPY --from=s{stage} /out{stage} /out{stage}\n"));
        }
        fs::write(dir.join("Dockerfile"), text)
    })
}

/// Changes one file of W3 as an edit would: the size stays, content and times do not.
pub(crate) fn touch(dir: &Path, round: u64) -> io::Result<()> {
    file(&dir.join("files/d042/f21000"), 900_000 + round, 3072 + (21_000 * 37) % 2048)
}

/// Bytes of W5's log, and of its file that does not shrink.
const TEXT: u64 = 700_000_000;
const NOISE: usize = 280_000_000;

/// W5: 700 MB that shrink to some two fifths, 280 MB that do not, and four small files, a layer each.
pub(crate) fn large_image(dir: &Path) -> io::Result<()> {
    once(dir, |dir| {
        log(&dir.join("text.log"), TEXT)?;
        file(&dir.join("rnd.bin"), 500, NOISE)?;
        let mut text = String::from("FROM busybox\nCOPY text.log /text.log\nCOPY rnd.bin /rnd.bin\n");
        for number in 0..4 {
            file(&dir.join(format!("small{number}")), 900 + number, 200_000)?;
            text.push_str(&format!("COPY small{number} /s{number}\n"));
        }
        fs::write(dir.join("Dockerfile"), text)
    })
}

/// Lines as a server writes them: a time, an id that is never twice the same, nine of 8,000 words.
fn log(path: &Path, size: u64) -> io::Result<()> {
    let mut bytes = Bytes(5);
    let mut next = |below: u64| {
        let mut word = [0; 8];
        bytes.fill(&mut word);
        u64::from_le_bytes(word) % below
    };
    let words: Vec<String> = (0..8000)
        .map(|_| (0..2 + next(10)).map(|_| char::from(b'a' + u8::try_from(next(26)).unwrap_or(0))).collect())
        .collect();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut written, mut line) = (0, String::new());
    for number in 1.. {
        use std::fmt::Write as _;
        line.clear();
        let (day, hour, minute, second) = (number % 28 + 1, number % 24, number % 60, (number * 7) % 60);
        let failed = |_| io::Error::other("a line that cannot be written");
        write!(line, "2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}Z level=info id={:08x} msg=\"", next(1 << 32))
            .map_err(failed)?;
        for at in 0..9 {
            line.push_str(if at > 0 { " " } else { "" });
            line.push_str(&words[usize::try_from(next(8000)).unwrap_or(0)]);
        }
        writeln!(line, "\" dur={}ms", next(1024)).map_err(failed)?;
        out.write_all(line.as_bytes())?;
        written += line.len() as u64;
        if written >= size {
            break;
        }
    }
    out.flush()
}

/// W7: 50,000 files of about 4 KB.
pub(crate) fn many_files(dir: &Path) -> io::Result<()> {
    once(dir, |dir| {
        files(&dir.join("files"))?;
        fs::write(dir.join("Dockerfile"), "FROM busybox\nCOPY files /files\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            file(&dir.path().join(name), 5, 100_003).unwrap();
        }
        let a = fs::read(dir.path().join("a")).unwrap();
        assert_eq!(a.len(), 100_003);
        assert_eq!(a, fs::read(dir.path().join("b")).unwrap());
        assert_ne!(a[..8], a[8..16]);
    }

    #[test]
    fn contexts_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path().join("w2");
        small_runs(&context).unwrap();
        fs::write(context.join("f"), "mine").unwrap();
        small_runs(&context).unwrap();
        assert_eq!(fs::read_to_string(context.join("f")).unwrap(), "mine");
    }
}
