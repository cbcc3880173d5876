//! A digest over every byte of a file, kept within the file itself.
//!
//! The checksum over rows says that the rows are right; it says nothing of statistics, indexes and Bloom filters, which
//! decide what a reader skips. The digest is in the footer as text, so a file cannot contain it while it is computed:
//! the file is written with a text of the same length in its place, `xxh3-file-v1:` and 32 zeros, the digest is
//! XXH3-128 over these bytes, and its 32 hex digits are then written over the zeros. Knows nothing of Parquet.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use xxhash_rust::xxh3::Xxh3;

use crate::footer::DIGEST;

/// What stands in a file until the digest is known.
pub(crate) const PLACEHOLDER: &str = "xxh3-file-v1:00000000000000000000000000000000";
const DEFINITION: &str = "xxh3-file-v1:";
const DIGITS: usize = 32;
const ZEROS: [u8; DIGITS] = [b'0'; DIGITS];
/// The digest stands in the footer, whose size is at most this much from the end of a file.
const TAIL_BYTES_MAX: u64 = 64 * 1024 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that digests what is written to it.
pub(crate) struct DigestingFile<'a> {
    file: &'a File,
    hasher: Xxh3,
}

impl<'a> DigestingFile<'a> {
    /// Begins at the beginning of an empty file.
    pub(crate) fn new(file: &'a File) -> Self {
        Self {
            file,
            hasher: Xxh3::new(),
        }
    }

    /// Writes the digest over its placeholder. The file was opened for reading, too.
    pub(crate) fn finish(self) -> io::Result<()> {
        let (at, _) = find(self.file)?
            .ok_or_else(|| io::Error::other("the file has no place for its digest"))?;
        let digits = format!("{:032x}", self.hasher.digest128());
        self.file.write_all_at(digits.as_bytes(), at)
    }
}

impl Write for DigestingFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What a look at the bytes of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Digested {
    /// Every byte is as it was written.
    Whole,
    /// Some byte is not.
    Damaged,
    /// The file carries no digest that could be found.
    Unsaid,
}

/// Reads a whole file and holds it against its digest; tells how many bytes are read as it goes.
pub(crate) fn check(file: &mut File, read: &mut dyn FnMut(u64)) -> io::Result<Digested> {
    let Some((at, expected)) = find(file)? else {
        return Ok(Digested::Unsaid);
    };
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut position: u64 = 0;
    loop {
        let bytes = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for (digit, zero) in (at..).zip(ZEROS) {
            // The digits count as the zeros that stood there.
            if (position..position + bytes as u64).contains(&digit) {
                buffer[(digit - position) as usize] = zero;
            }
        }
        hasher.update(&buffer[..bytes]);
        position += bytes as u64;
        read(bytes as u64);
    }
    let found = format!("{:032x}", hasher.digest128());
    Ok(if found.as_bytes() == expected {
        Digested::Whole
    } else {
        Digested::Damaged
    })
}

/// Where the digits stand, and what they are: behind the last mention of the key.
fn find(file: &File) -> io::Result<Option<(u64, [u8; DIGITS])>> {
    let length = file.metadata()?.len();
    let mark = [DIGEST.name.as_bytes(), DEFINITION.as_bytes()];
    // Most footers are short.
    for tail_bytes in [64 * 1024, TAIL_BYTES_MAX] {
        let from = length.saturating_sub(tail_bytes);
        let mut tail = vec![0; (length - from) as usize];
        file.read_exact_at(&mut tail, from)?;
        let key = last(&tail, mark[0]);
        if let Some(key) = key
            && let Some(value) = last(&tail[key..], mark[1])
            && let Some(digits) = tail
                .get(key + value + DEFINITION.len()..)
                .and_then(|rest| rest.first_chunk::<DIGITS>())
        {
            let at = from + (key + value + DEFINITION.len()) as u64;
            return Ok(Some((at, *digits)));
        }
        if from == 0 {
            break;
        }
    }
    Ok(None)
}

fn last(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes
        .windows(pattern.len())
        .rposition(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn written(content: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        let mut digesting = DigestingFile::new(&file);
        digesting.write_all(content).unwrap();
        digesting.write_all(DIGEST.name.as_bytes()).unwrap();
        digesting.write_all(b"\x18-").unwrap();
        digesting.write_all(PLACEHOLDER.as_bytes()).unwrap();
        digesting.write_all(b"rest").unwrap();
        digesting.finish().unwrap();
        file
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_seen(
            content in prop::collection::vec(any::<u8>(), 0..300),
            victim in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let mut file = written(&content);
            prop_assert_eq!(check(&mut file, &mut |_| {}).unwrap(), Digested::Whole);
            let at = victim.index(file.metadata().unwrap().len() as usize) as u64;
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
            prop_assert_ne!(check(&mut file, &mut |_| {}).unwrap(), Digested::Whole);
        }
    }

    #[test]
    fn a_file_without_one_is_not_called_whole() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"something").unwrap();
        assert_eq!(check(&mut file, &mut |_| {}).unwrap(), Digested::Unsaid);
    }
}
