//! Bytes to requests, in whatever pieces they come.
//!
//! The redis-protocol crate decodes what it is given from the start, each time anew, and descends into nested arrays on
//! the stack. So a scan goes first: it remembers how far it came, so that a request costs the same in one piece or in
//! thousand; it holds every length against a limit before anything is believed; and it refuses a nested array at its
//! first byte. When the scan is through, it knows where each argument lies, and that is all a request is.
//!
//! Decoding the same bytes once more with the crate would be the larger part of the work: measured on pipelined
//! `SET key:000000012345 xxx`, the scan takes 44 ns, `resp2::decode::decode_range` 164 ns and `decode_bytes` 251 ns more
//! (for `GET`: 25, 127 and 197). So requests are served from the scan, the crate encodes, and the tests and
//! the fuzz target hold each request the scan accepts against what the crate reads in the same bytes.

use bytes::BytesMut;

use super::inline;
use crate::error::ProtocolError;
use crate::number;

/// Read buffers up to this size are kept for the next request, larger ones are given back when they have done their
/// work: one large value must not cost its connection that memory for ever.
const KEPT: usize = 256 * 1024;

/// What a client may send. The defaults are Redis's, but that the last one holds for each request alone: Redis counts what a
/// client has sent and what is not carried out yet.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Arguments in one request. Nothing is reserved for those that a client announces: it is `max_request` that bounds
    /// them, at six bytes each.
    pub max_arguments: usize,
    /// Bytes in one argument.
    pub max_bulk: usize,
    /// Bytes in a line: an inline request, or the digits of a count or a length.
    pub max_line: usize,
    /// Bytes in one request, its framing included. Redis's `client-query-buffer-limit`.
    pub max_request: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_arguments: i32::MAX as usize,
            max_bulk: 512 * 1024 * 1024,
            max_line: 64 * 1024,
            max_request: 1024 * 1024 * 1024,
        }
    }
}

/// A stretch of a request. 32 bits are enough under `max_request`, and they bound what many empty arguments cost:
/// eight bytes for each six received.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// From `start` up to, not including, `end`.
    pub fn new(start: usize, end: usize) -> Self {
        // Both lie within a request, whose size is a u32.
        Self { start: start as u32, end: end as u32 }
    }
}

/// The arguments of one request, the command's name first; a view of the read buffer.
///
/// Borrowed, not counted slices: at fifty clients with sixteen requests in flight the counting would cost more than
/// the scan (60 ns more for a `SET`), and a key that kept its slice would keep the whole read buffer with it. What
/// outlives the request is copied once, to its size.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a> {
    source: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Arguments<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none; never so for a request.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `index`.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| self.slice(span))
    }

    /// The arguments from `index` on.
    pub fn skip(&self, index: usize) -> Self {
        Self { source: self.source, spans: self.spans.get(index..).unwrap_or_default() }
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let arguments = *self;
        self.spans.iter().map(move |span| arguments.slice(span))
    }

    /// Two by two, as `MSET` takes them; a last one without a partner is left out.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let arguments = *self;
        self.spans.chunks_exact(2).map(move |pair| (arguments.slice(&pair[0]), arguments.slice(&pair[1])))
    }

    fn slice(&self, span: &Span) -> &'a [u8] {
        &self.source[span.start as usize..span.end as usize]
    }
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first byte of a request.
    Start,
    /// A line of words.
    Inline,
    /// `*` and the count of arguments.
    Count,
    /// `$` and the length of an argument.
    Length,
    /// An argument of this many bytes.
    Body(usize),
}

/// Where a complete request's arguments lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Buffer,
    Inline,
}

/// Turns a stream of bytes into requests. Holds the read buffer.
///
/// Nothing is reserved for bytes that have not arrived, however large a length the client announces.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: BytesMut,
    /// Where in the buffer the present request begins; all before it is done with.
    start: usize,
    /// Where the first line or argument begins that is not complete yet.
    cursor: usize,
    /// No line end lies between `cursor` and here: what a line that comes in pieces need not search again.
    searched: usize,
    stage: Stage,
    /// Arguments still to come.
    missing: usize,
    spans: Vec<Span>,
    /// The words of an inline request without their quotes.
    words: Vec<u8>,
    /// Where the present request lies, once it is complete.
    source: Source,
    failed: Option<ProtocolError>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            start: 0,
            cursor: 0,
            searched: 0,
            stage: Stage::Start,
            missing: 0,
            spans: Vec::new(),
            words: Vec::new(),
            source: Source::Buffer,
            failed: None,
        }
    }

    /// The read buffer, to append what the socket gives. Only append: the decoder counts on the bytes it has seen.
    ///
    /// Requests that were read are given up by this, and with them their [places](Self::place).
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.compact();
        &mut self.buffer
    }

    /// The next complete request, or `None` when more bytes are needed. Empty requests are passed over, as in Redis.
    ///
    /// # Errors
    ///
    /// When the bytes cannot be a request. Where the next one begins is then unknown, so the decoder stays in this
    /// state and says the same again.
    pub fn next_request(&mut self) -> Result<Option<Arguments<'_>>, ProtocolError> {
        Ok(self.find_request()?.then(|| self.request()))
    }

    /// Goes on to the next complete request, which [`request`](Self::request) then shows; false when more bytes are
    /// needed. [`next_request`](Self::next_request) in two steps, for a caller who looks back while it holds a request.
    ///
    /// # Errors
    ///
    /// As [`next_request`](Self::next_request).
    pub fn find_request(&mut self) -> Result<bool, ProtocolError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.scan() {
            Ok(found) => {
                self.source = found.unwrap_or(self.source);
                Ok(found.is_some())
            }
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    /// The request that [`find_request`](Self::find_request) has found.
    pub fn request(&self) -> Arguments<'_> {
        let source = match self.source {
            Source::Buffer => &self.buffer[self.start..],
            Source::Inline => &self.words,
        };
        Arguments { source, spans: &self.spans }
    }

    /// Where the next request begins, for [`replay`](Self::replay).
    pub fn place(&self) -> usize {
        if self.stage == Stage::Start { self.cursor } else { self.start }
    }

    /// A decoder that reads again from a place that this one has passed.
    pub fn replay(&self, place: usize) -> Self {
        let mut again = Self::new(self.limits);
        again.buffer.extend_from_slice(&self.buffer[place..self.cursor]);
        again
    }

    /// Goes on until a request is complete or the bytes run out.
    fn scan(&mut self) -> Result<Option<Source>, ProtocolError> {
        loop {
            match self.stage {
                Stage::Start => {
                    self.start = self.cursor;
                    self.spans.clear();
                    self.stage = match self.buffer.get(self.cursor) {
                        None => return Ok(None),
                        Some(b'*') => Stage::Count,
                        Some(_) => Stage::Inline,
                    };
                }
                Stage::Inline => match self.inline()? {
                    None => return Ok(None),
                    Some(()) if self.spans.is_empty() => {}
                    Some(()) => return Ok(Some(Source::Inline)),
                },
                Stage::Count => {
                    let Some(count) = self.count()? else { return Ok(None) };
                    self.missing = count;
                    self.stage = if count == 0 { Stage::Start } else { Stage::Length };
                }
                Stage::Length => {
                    let Some(length) = self.length()? else { return Ok(None) };
                    self.stage = Stage::Body(length);
                }
                Stage::Body(length) => {
                    let end = self.cursor + length;
                    let Some(terminator) = self.buffer.get(end..end + 2) else { return Ok(None) };
                    // Redis does not look. A client whose lengths are wrong would have its data read as commands,
                    // so the stream ends here.
                    if terminator != b"\r\n" {
                        return Err(ProtocolError::InvalidLength);
                    }
                    self.spans.push(Span::new(self.cursor - self.start, end - self.start));
                    self.advance(end + 2);
                    self.missing -= 1;
                    if self.missing == 0 {
                        self.stage = Stage::Start;
                        return Ok(Some(Source::Buffer));
                    }
                    self.stage = Stage::Length;
                }
            }
        }
    }

    /// The count of arguments, zero when the request is empty.
    fn count(&mut self) -> Result<Option<usize>, ProtocolError> {
        let (too_big, invalid) = (ProtocolError::TooBigCount, ProtocolError::InvalidCount);
        let Some(end) = self.line(too_big, invalid)? else { return Ok(None) };
        let count = number::parse(&self.buffer[self.cursor + 1..end]).ok_or(invalid)?;
        // A count below zero is an empty request too: Redis reads it so.
        let count = usize::try_from(count.max(0)).map_err(|_| invalid)?;
        if count > self.limits.max_arguments {
            return Err(invalid);
        }
        self.advance(end + 2);
        Ok(Some(count))
    }

    /// The length of the next argument.
    fn length(&mut self) -> Result<Option<usize>, ProtocolError> {
        let (too_big, invalid) = (ProtocolError::TooBigLength, ProtocolError::InvalidLength);
        let Some(end) = self.line(too_big, invalid)? else { return Ok(None) };
        // The line may be empty; its end then stands in for its first byte.
        let marker = self.buffer[self.cursor];
        if marker != b'$' {
            return Err(ProtocolError::ExpectedBulk(marker));
        }
        let length = number::parse(&self.buffer[self.cursor + 1..end]).ok_or(invalid)?;
        let length = usize::try_from(length).map_err(|_| invalid)?;
        if length > self.limits.max_bulk {
            return Err(invalid);
        }
        let framed = (end + 2 - self.start).saturating_add(length).saturating_add(2);
        if framed > self.limits.max_request as usize {
            return Err(ProtocolError::TooBigRequest);
        }
        self.advance(end + 2);
        Ok(Some(length))
    }

    /// The end of the line at the cursor, once both bytes of its line break are there.
    fn line(
        &mut self,
        too_big: ProtocolError,
        invalid: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = self.find(b'\r', too_big)? else { return Ok(None) };
        match self.buffer.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(end)),
            Some(_) => Err(invalid),
        }
    }

    /// An inline request, split into words.
    fn inline(&mut self) -> Result<Option<()>, ProtocolError> {
        let Some(end) = self.find(b'\n', ProtocolError::TooBigInline)? else { return Ok(None) };
        let line = &self.buffer[self.cursor..end];
        self.words.clear();
        inline::split(line.strip_suffix(b"\r").unwrap_or(line), &mut self.words, &mut self.spans)?;
        let first = Arguments { source: &self.words, spans: &self.spans }.get(0).unwrap_or_default();
        if first.eq_ignore_ascii_case(b"post") || first.eq_ignore_ascii_case(b"host:") {
            return Err(ProtocolError::CrossProtocol);
        }
        self.advance(end + 1);
        self.stage = Stage::Start;
        Ok(Some(()))
    }

    /// The first `byte` at or behind the cursor. Whether a line is too long depends on the line alone, never on how
    /// much of it came at once.
    fn find(&mut self, byte: u8, too_big: ProtocolError) -> Result<Option<usize>, ProtocolError> {
        let from = self.searched.max(self.cursor);
        let found = self.buffer[from..].iter().position(|candidate| *candidate == byte);
        let end = found.map_or(self.buffer.len(), |offset| from + offset);
        if end - self.cursor > self.limits.max_line {
            return Err(too_big);
        }
        self.searched = end;
        Ok(found.map(|_| end))
    }

    fn advance(&mut self, cursor: usize) {
        self.cursor = cursor;
        self.searched = cursor;
    }

    /// Moves the request that is still coming to the front of the buffer, and gives memory back that a large request
    /// has needed.
    ///
    /// A byte is moved at most once: only a request that began behind others moves, and afterwards it begins at 0.
    fn compact(&mut self) {
        if self.start == 0 {
            return;
        }
        let rest = self.buffer.len() - self.start;
        if self.buffer.capacity() > KEPT && rest < self.buffer.capacity() / 4 {
            self.buffer = BytesMut::from(&self.buffer[self.start..]);
        } else {
            self.buffer.copy_within(self.start.., 0);
            self.buffer.truncate(rest);
        }
        if self.spans.is_empty() && self.spans.capacity() > KEPT / size_of::<Span>() {
            self.spans = Vec::new();
        }
        self.cursor -= self.start;
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
    }
}
