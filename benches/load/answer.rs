//! Reads one answer off a connection, no more of it than must be known.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What came in on one connection.
pub struct Answers {
    buffer: Vec<u8>,
    filled: usize,
}

/// One answer, whole. Valid until the next is read.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Answers {
    pub fn new() -> Self {
        Self { buffer: vec![0; 16 * 1024], filled: 0 }
    }

    /// The answer to the one request that is under way. Every server here sends its length, or has nothing to send.
    pub async fn next(&mut self, stream: &mut TcpStream) -> Answer<'_> {
        self.filled = 0;
        let head = loop {
            self.read(stream).await;
            if let Some(at) = find(&self.buffer[..self.filled], b"\r\n\r\n") {
                break at + 4;
            }
        };
        let whole = head + length(&self.buffer[..head]);
        if self.buffer.len() < whole {
            self.buffer.resize(whole, 0);
        }
        while self.filled < whole {
            self.read(stream).await;
        }
        let status = std::str::from_utf8(&self.buffer[9..12]).ok().and_then(|text| text.parse().ok());
        Answer { status: status.expect("a status"), body: &self.buffer[head..whole] }
    }

    async fn read(&mut self, stream: &mut TcpStream) {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        let read = stream.read(&mut self.buffer[self.filled..]).await.expect("an answer");
        assert!(read > 0, "the connection was closed");
        self.filled += read;
    }
}

impl Answer<'_> {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

fn length(head: &[u8]) -> usize {
    header(head, "content-length").map_or(0, |text| text.parse().expect("a length"))
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|byte| *byte == b'\n')
        .find_map(|line| {
            let (before, after) = line.split_at_checked(name.len())?;
            let value = after.strip_prefix(b":")?;
            before.eq_ignore_ascii_case(name.as_bytes()).then(|| std::str::from_utf8(value).ok())?
        })
        .map(str::trim)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
