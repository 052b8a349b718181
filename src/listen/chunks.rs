//! Finds the end of a chunked body (RFC 9112, section 7), so that the search for the next request starts in the right
//! place.

/// The position within a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size {
        digits: u32,
    },
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a trailer, or of the empty line that ends the body.
    Line,
    Trailer,
    TrailerLf,
    EndLf,
}

/// The state of a chunked body while its bytes pass through.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    /// Bytes of the current chunk that have not arrived yet.
    left: u64,
    /// Bytes of extensions and trailers so far.
    beside: usize,
}

/// The most bytes of extensions and trailers of one body.
const MOST_BESIDE: usize = 8 * 1024;

/// The body violates the rules for chunks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Default for Chunks {
    fn default() -> Self {
        Self { at: At::Size { digits: 0 }, left: 0, beside: 0 }
    }
}

impl Chunks {
    /// Checks the next bytes. If the body ends in them, returns how many of them belong to it.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let mut next = 0;
        while let Some(byte) = bytes.get(next) {
            if self.at == At::Data {
                let here = (bytes.len() - next).min(usize::try_from(self.left).unwrap_or(usize::MAX));
                next += here;
                self.left -= here as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            next += 1;
            if self.at == At::EndLf {
                return if *byte == b'\n' { Ok(Some(next)) } else { Err(Broken) };
            }
            self.at = self.step(*byte)?;
        }
        Ok(None)
    }

    fn step(&mut self, byte: u8) -> Result<At, Broken> {
        if matches!(self.at, At::Extension | At::Line | At::Trailer) {
            self.beside += 1;
        }
        let is_text = matches!(byte, b'\t' | 0x20..=0x7e | 0x80..) && self.beside <= MOST_BESIDE;
        Ok(match (self.at, byte) {
            (At::Size { digits: 0..16 }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let At::Size { digits } = self.at else { return Err(Broken) };
                self.left = self.left << 4 | u64::from(char::from(byte).to_digit(16).ok_or(Broken)?);
                At::Size { digits: digits + 1 }
            }
            (At::Size { digits: 1.. } | At::Extension, b'\r') => At::SizeLf,
            (At::Size { digits: 1.. }, b';' | b' ' | b'\t') => At::Extension,
            (At::Extension, _) if is_text => At::Extension,
            (At::SizeLf, b'\n') if self.left == 0 => At::Line,
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size { digits: 0 },
            (At::Line, b'\r') => At::EndLf,
            (At::Line, b'!'..=b'~') | (At::Trailer, _) if is_text => At::Trailer,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::TrailerLf, b'\n') => At::Line,
            _ => return Err(Broken),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result has to be the same however the bytes arrive.
    fn end(body: &[u8]) -> Result<Option<usize>, Broken> {
        let whole = Chunks::default().pass(body);
        let mut singly = Chunks::default();
        let mut found = Ok(None);
        for (index, byte) in body.iter().enumerate() {
            match singly.pass(&[*byte]) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    found = Ok(Some(index + 1));
                    break;
                }
                Err(broken) => {
                    found = Err(broken);
                    break;
                }
            }
        }
        assert_eq!(whole, found, "{}", String::from_utf8_lossy(body));
        whole
    }

    #[test]
    fn a_body_ends_where_the_standard_says() {
        for (body, ends) in [
            ("0\r\n\r\nGET /", Some(5)),
            ("5\r\nhello\r\n0\r\n\r\n", Some(15)),
            ("A\r\n0123456789\r\n000\r\n\r\n", Some(22)),
            ("1;a=b;c=\"d\"\r\nx\r\n0\r\n\r\n", Some(21)),
            ("1 ;a\r\nx\r\n0\r\nTrailer: yes\r\nAnother: one\r\n\r\nrest", Some(42)),
            ("5\r\nhel", None),
            ("0\r\n", None),
        ] {
            assert_eq!(end(body.as_bytes()), Ok(ends), "{body:?}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_seen() {
        let long = format!("1;{}\r\n", "a".repeat(9000));
        for body in [
            "\r\n0\r\n\r\n",
            "x\r\n",
            "0x5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello!\r\n",
            "5\r\nhello0\r\n\r\n",
            "5;a\nb\r\nhello\r\n",
            "00000000000000005\r\nhello\r\n",
            "fffffffffffffffff\r\n",
            "0\r\n\n",
            "0\r\n a: b\r\n\r\n",
            "0\r\na: b\nc: d\r\n\r\n",
            "0\r\na: \0\r\n\r\n",
            &long,
        ] {
            assert_eq!(end(body.as_bytes()), Err(Broken), "{body:?}");
        }
    }
}
