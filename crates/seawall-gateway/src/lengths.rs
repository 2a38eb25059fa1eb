//! Notices a length that was said and not shown to us.
//!
//! hyper folds a Content-Length that is repeated with the same value into one and tells nobody, though
//! such a client may be one half of a smuggling attempt, and its connection is not to be used again. So
//! the bytes are counted as they are read: every line that starts like a Content-Length must belong to a
//! request that shows one. Once there are more lines than that, the connection closes after the next
//! answer. Lines of a body that look like the field are counted too: the price of keeping no second
//! parser is that such a client has to connect again.

use std::{
    io::{self, BufRead, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use http::{Request, header::CONTENT_LENGTH};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What one connection has said and shown.
#[derive(Debug, Default)]
pub(crate) struct Lengths {
    said: AtomicU64,
    shown: AtomicU64,
}

impl Lengths {
    /// Takes note of a request, and says whether a length remains that no request has shown.
    pub(crate) fn hidden<B>(&self, request: &Request<B>) -> bool {
        let shows = u64::from(request.headers().contains_key(CONTENT_LENGTH));
        let shown = self.shown.fetch_add(shows, Ordering::Relaxed) + shows;
        self.said.load(Ordering::Relaxed) > shown
    }
}

/// A client's stream, counted as it is read.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) stream: TcpStream,
    scan: Scan,
    lengths: Arc<Lengths>,
}

impl Counted {
    pub(crate) fn new(stream: TcpStream) -> (Self, Arc<Lengths>) {
        let lengths = Arc::default();
        (Self { stream, scan: Scan(None), lengths: Arc::clone(&lengths) }, lengths)
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let found = this.scan.count(buf.filled().get(before..).unwrap_or_default());
        if found > 0 {
            this.lengths.said.fetch_add(found, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Where in a line the last read ended: `Some(n)` if its first `n` bytes are those of the name so far,
/// `None` if the rest of it does not matter.
#[derive(Debug)]
struct Scan(Option<usize>);

impl Scan {
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut found = 0;
        while let Some((byte, rest)) = bytes.split_first() {
            match self.0 {
                Some(matched) if NAME.get(matched) == Some(&byte.to_ascii_lowercase()) => {
                    bytes = rest;
                    self.0 = Some(matched + 1);
                    if matched + 1 == NAME.len() {
                        found += 1;
                        self.0 = None;
                    }
                }
                Some(_) => self.0 = None,
                None => {
                    let line = bytes;
                    let skipped = bytes.skip_until(b'\n').unwrap_or(line.len());
                    if line.get(..skipped).is_some_and(|line| line.ends_with(b"\n")) {
                        self.0 = Some(0);
                    }
                }
            }
        }
        found
    }
}

const NAME: &[u8] = b"content-length";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_however_they_are_cut() {
        let text = b"POST /content-length HTTP/1.1\r\nContent-Length: 1\r\nX: content-length\r\n\
            content-LENGTH: 1\ncontent-lengt: 1\n\r\nconcontent-length\ncontent-length";
        for size in 1..=text.len() {
            let mut scan = Scan(None);
            let found: u64 = text.chunks(size).map(|bytes| scan.count(bytes)).sum();
            assert_eq!(found, 3, "in reads of {size}");
        }
    }

    #[test]
    fn a_length_is_hidden_when_more_were_said_than_shown() {
        let with = Request::builder().header(CONTENT_LENGTH, "1").body(()).unwrap();
        let without = Request::new(());
        let lengths = Lengths::default();
        lengths.said.store(1, Ordering::Relaxed);
        assert!(!lengths.hidden(&with));
        assert!(!lengths.hidden(&without));
        lengths.said.store(2, Ordering::Relaxed);
        assert!(lengths.hidden(&without));
        assert!(!lengths.hidden(&with));
        lengths.said.store(4, Ordering::Relaxed);
        assert!(lengths.hidden(&with));
    }
}
