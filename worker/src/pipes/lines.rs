//! Bytes to lines, in bounded memory.

/// Collects bytes until a line is whole. A line over the limit is skipped and reported once, as
/// [`Line::TooLong`].
#[derive(Debug)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    limit: usize,
    skipping: bool,
}

/// What the bytes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A whole line without its end.
    Whole(&'a [u8]),
    /// A line over the limit; its text is gone.
    TooLong,
}

impl Lines {
    /// Lines of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), limit, skipping: false }
    }

    /// Takes bytes and gives every line that they complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.take(&bytes[..end], &mut each);
            if !self.skipping {
                each(Line::Whole(&self.partial));
            }
            self.partial.clear();
            self.skipping = false;
            bytes = &bytes[end + 1..];
        }
        self.take(bytes, &mut each);
    }

    /// The last line, if the writer never ended it.
    pub(crate) fn finish(&mut self, each: impl FnOnce(Line<'_>)) {
        if !self.skipping && !self.partial.is_empty() {
            each(Line::Whole(&self.partial));
        }
        self.partial.clear();
    }

    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        if self.skipping {
            return;
        }
        if self.partial.len() + bytes.len() > self.limit {
            self.skipping = true;
            self.partial.clear();
            each(Line::TooLong);
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::new(8);
        let mut read = Vec::new();
        let mut each = |line: Line<'_>| {
            read.push(match line {
                Line::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Line::TooLong => "<too long>".to_owned(),
            });
        };
        for chunk in chunks {
            lines.feed(chunk, &mut each);
        }
        lines.finish(&mut each);
        read
    }

    #[test]
    fn a_line_may_come_in_pieces() {
        assert_eq!(read(&[b"ab", b"c\nde", b"f\n"]), ["abc", "def"]);
    }

    #[test]
    fn a_last_line_without_an_end_is_a_line() {
        assert_eq!(read(&[b"abc\nde"]), ["abc", "de"]);
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_one_is_read() {
        assert_eq!(read(&[b"12345", b"6789", b"and more\nnext\n"]), ["<too long>", "next"]);
        assert_eq!(read(&[b"123456789\nnext"]), ["<too long>", "next"]);
    }
}
