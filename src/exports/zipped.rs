//! The zip of an export, written front to back: the length and checksum of a file come after the file, and the table of
//! files comes at the end. Written bytes wait in memory until they are taken, piece by piece.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest;
use bytes::Bytes;
use serde::Serialize;
use zip::{
    CompressionMethod, DateTime, ZipWriter,
    write::{SimpleFileOptions, StreamWriter},
};

use crate::domain::Time;

/// Higher levels hardly make texts of people smaller.
const LEVEL: i64 = 4;

/// A zip that is being written.
pub(super) struct Zipped {
    writer: ZipWriter<StreamWriter<Written>>,
    written: Written,
    options: SimpleFileOptions,
    file: Option<OpenFile>,
}

struct OpenFile {
    name: String,
    bytes: u64,
    hash: digest::Context,
}

/// A file of the zip, as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ZippedFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// The bytes that were written and not taken yet.
#[derive(Debug, Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Zipped {
    /// A zip whose files all have the same time, so that the same content makes the same bytes.
    pub(super) fn at(time: Time) -> Self {
        let written = Written::default();
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(LEVEL))
            .last_modified_time(msdos(time));
        Self { writer: ZipWriter::new_stream(written.clone()), written, options, file: None }
    }

    /// Begins a file. A file that `may_be_large` may have more than 4 GiB; a few readers of zips do not support such
    /// files.
    pub(super) fn begin(&mut self, name: &str, may_be_large: bool) -> io::Result<()> {
        self.writer.start_file(name, self.options.large_file(may_be_large))?;
        let hash = digest::Context::new(&digest::SHA256);
        self.file = Some(OpenFile { name: name.to_owned(), bytes: 0, hash });
        Ok(())
    }

    /// Writes into the current file.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        if let Some(file) = &mut self.file {
            file.bytes += bytes.len() as u64;
            file.hash.update(bytes);
        }
        Ok(())
    }

    /// Ends the current file; `None` if there is none.
    pub(super) fn end(&mut self) -> Option<ZippedFile> {
        let OpenFile { name, bytes, hash } = self.file.take()?;
        let hash = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(ZippedFile { name, bytes, sha256: hash })
    }

    /// The number of bytes that wait to be taken.
    pub(super) fn waiting(&self) -> usize {
        self.written.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes the bytes that were written.
    pub(super) fn take(&mut self) -> Bytes {
        taken(&self.written)
    }

    /// Writes the table of files, and returns the last bytes.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        self.writer.finish()?;
        Ok(taken(&self.written))
    }
}

fn taken(written: &Written) -> Bytes {
    std::mem::take(&mut *written.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
}

/// The time in the format of zips, which begins in 1980 and has even seconds.
fn msdos(time: Time) -> DateTime {
    let at = time.datetime();
    let year = u16::try_from(at.year()).unwrap_or_default();
    DateTime::from_date_and_time(year, at.month().into(), at.day(), at.hour(), at.minute(), at.second())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::*;

    fn zip_of(files: &[(&str, &[u8])]) -> (Vec<u8>, Vec<ZippedFile>) {
        let mut zipped = Zipped::at("2026-11-29T12:00:00Z".parse().expect("time"));
        let (mut bytes, mut told) = (Vec::new(), Vec::new());
        for (name, content) in files {
            zipped.begin(name, true).expect("begun");
            for piece in content.chunks(7) {
                zipped.write(piece).expect("written");
                bytes.extend_from_slice(&zipped.take());
            }
            told.extend(zipped.end());
        }
        bytes.extend_from_slice(&zipped.finish().expect("finished"));
        (bytes, told)
    }

    #[test]
    fn what_was_written_piece_by_piece_is_read_back() {
        let files = [("a.txt", &b"hello"[..]), ("b/c.ndjson", &b"{}\n{}\n"[..]), ("empty", b"")];
        let (bytes, told) = zip_of(&files);
        assert_eq!(zip_of(&files).0, bytes, "the same content makes the same bytes");
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).expect("a zip");
        for ((name, content), told) in files.iter().zip(&told) {
            let mut read = Vec::new();
            zip.by_name(name).expect("a file").read_to_end(&mut read).expect("intact");
            assert_eq!((&read[..], told.bytes), (*content, content.len() as u64));
        }
        let hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!((told.len(), &*told[0].name, &*told[0].sha256), (3, "a.txt", hello));
    }
}
