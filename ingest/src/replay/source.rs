//! Lines of a file, compressed or not, with the place in it that was reached.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use super::Error;

const BUFFER_BYTES: usize = 256 * 1024;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What comes next.
pub(super) enum Read<'a> {
    /// A line that is not empty.
    Line {
        /// From 1.
        number: u64,
        /// Without white space at its ends.
        text: &'a [u8],
    },
    /// A line that is too long; it was skipped.
    TooLong {
        /// From 1.
        number: u64,
    },
    /// Nothing.
    End,
}

/// An open file.
pub(super) struct Source {
    reader: Box<dyn BufRead>,
    bytes_read: Rc<Cell<u64>>,
    line: Vec<u8>,
    line_bytes_max: usize,
    lines_read: u64,
}

/// The size of a file that can be opened.
pub(super) fn check(path: &Path) -> Result<u64, Error> {
    let size = || {
        let metadata = File::open(path)?.metadata()?;
        match metadata.is_dir() {
            true => Err(io::Error::other("it is a folder; name the files in it")),
            false => Ok(metadata.len()),
        }
    };
    size().map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

impl Source {
    pub(super) fn open(path: &Path, line_bytes_max: usize) -> Result<Self, Error> {
        let open = || {
            let bytes_read = Rc::new(Cell::new(0));
            let counted = Counted {
                file: File::open(path)?,
                bytes: Rc::clone(&bytes_read),
            };
            let mut raw = BufReader::with_capacity(BUFFER_BYTES, counted);
            // By its first bytes: names lie.
            let reader: Box<dyn BufRead> = match raw.fill_buf()?.starts_with(&GZIP_MAGIC) {
                true => Box::new(BufReader::with_capacity(
                    BUFFER_BYTES,
                    MultiGzDecoder::new(raw),
                )),
                false => Box::new(raw),
            };
            Ok((reader, bytes_read))
        };
        let (reader, bytes_read) = open().map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            reader,
            bytes_read,
            line: Vec::new(),
            line_bytes_max,
            lines_read: 0,
        })
    }

    /// Bytes of the file that were read, as they lie on the disk.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    /// Lines that were read, empty ones too.
    pub(super) fn lines_read(&self) -> u64 {
        self.lines_read
    }

    /// The next line that is not empty. Never holds more than `line_bytes_max` bytes of one.
    pub(super) fn next_line(&mut self) -> io::Result<Read<'_>> {
        loop {
            self.line.clear();
            let Some(is_whole) = self.fill()? else {
                return Ok(Read::End);
            };
            self.lines_read += 1;
            let number = self.lines_read;
            if !is_whole {
                return Ok(Read::TooLong { number });
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Read::Line {
            number: self.lines_read,
            text: self.line.trim_ascii(),
        })
    }

    /// Reads up to the end of a line; says whether all of it was kept, or that there is none.
    fn fill(&mut self) -> io::Result<Option<bool>> {
        let (mut is_whole, mut is_any) = (true, false);
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(is_any.then_some(is_whole));
            }
            is_any = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if self.line.len() + part.len() > self.line_bytes_max {
                is_whole = false;
                self.line.clear();
                self.line.shrink_to(BUFFER_BYTES);
            }
            if is_whole {
                self.line.extend_from_slice(part);
            }
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(is_whole));
            }
        }
    }
}

/// A file that counts what was read of it.
struct Counted {
    file: File,
    bytes: Rc<Cell<u64>>,
}

impl io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::io::Write;

    fn lines(bytes: &[u8], line_bytes_max: usize) -> Vec<String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        assert_eq!(check(file.path()).unwrap(), bytes.len() as u64);
        let mut source = Source::open(file.path(), line_bytes_max).unwrap();
        let mut lines = Vec::new();
        loop {
            lines.push(match source.next_line() {
                Ok(Read::Line { number, text }) => {
                    format!("{number} {}", String::from_utf8_lossy(text))
                }
                Ok(Read::TooLong { number }) => format!("{number} too long"),
                Ok(Read::End) => break,
                Err(_) => {
                    lines.push("damaged".to_owned());
                    break;
                }
            });
        }
        if lines.last().is_none_or(|last| last != "damaged") {
            assert_eq!(source.bytes_read(), bytes.len() as u64);
        }
        lines
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_keep_their_numbers() {
        assert_eq!(lines(b"a\n\n  b \r\nc", 100), ["1 a", "3 b", "4 c"]);
        assert!(lines(b"", 100).is_empty());
    }

    #[test]
    fn gzip_is_seen_by_its_bytes() {
        assert_eq!(lines(&gzip("a\nb\n"), 100), ["1 a", "2 b"]);
        assert_eq!(
            lines(&[gzip("a\n"), gzip("b\n")].concat(), 100),
            ["1 a", "2 b"]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_is_read() {
        let long = format!("{}\nshort\n{}", "x".repeat(1_000_000), "y".repeat(11));
        assert_eq!(
            lines(long.as_bytes(), 10),
            ["1 too long", "2 short", "3 too long"]
        );
    }

    #[test]
    fn a_damaged_file_is_read_as_far_as_it_goes() {
        let text: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
        let mut half = gzip(&text);
        half.truncate(half.len() / 2);
        let lines = lines(&half, 100);
        assert_eq!(lines.last().unwrap(), "damaged");
        assert_eq!(lines[0], "1 line 0");
    }
}
