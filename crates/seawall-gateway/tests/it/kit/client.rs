//! A client that says exactly what it is told and shows exactly what it hears.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{message, within};

pub(crate) struct Client {
    stream: TcpStream,
    heard: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = within("connect", TcpStream::connect(addr)).await.unwrap();
        Self { stream, heard: Vec::new() }
    }

    /// Connects from another address of this machine.
    pub(crate) async fn connect_from(source: &str, addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
        let stream = within("connect", socket.connect(addr)).await.unwrap();
        Self { stream, heard: Vec::new() }
    }

    /// Connects and says this at once: nothing else of this thread runs before that is done.
    pub(crate) fn rushed(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> Self {
        let mut stream = std::net::TcpStream::connect(addr).unwrap();
        std::io::Write::write_all(&mut stream, bytes.as_ref()).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream: TcpStream::from_std(stream).unwrap(), heard: Vec::new() }
    }

    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        within("write", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// The next whole answer, as text.
    pub(crate) async fn hear(&mut self) -> String {
        self.message(true).await
    }

    /// The next answer, to a HEAD or with a status that has no body.
    pub(crate) async fn hear_head(&mut self) -> String {
        self.message(false).await
    }

    pub(crate) async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.say(bytes).await;
        self.hear().await
    }

    /// Waits until the answer so far contains `wanted`.
    pub(crate) async fn hear_until(&mut self, wanted: &str) {
        while message::find(&self.heard, wanted.as_bytes()).is_none() {
            assert!(self.more().await, "closed before {wanted:?}");
        }
    }

    /// Everything up to the end of the connection, and how that came.
    pub(crate) async fn rest(mut self) -> (String, End) {
        let read = within("end of connection", self.stream.read_to_end(&mut self.heard)).await;
        let end = if read.is_ok() { End::Closed } else { End::Reset };
        (String::from_utf8_lossy(&self.heard).into_owned(), end)
    }

    async fn message(&mut self, has_body: bool) -> String {
        loop {
            if let Some(length) = message::whole(&self.heard, has_body) {
                let whole: Vec<u8> = self.heard.drain(..length).collect();
                return String::from_utf8(whole).unwrap();
            }
            let heard = String::from_utf8_lossy(&self.heard).into_owned();
            assert!(self.more().await, "closed within an answer: {heard:?}");
        }
    }

    async fn more(&mut self) -> bool {
        within("read", self.stream.read_buf(&mut self.heard)).await.unwrap() > 0
    }
}
