//! A client that says one thing and hears the answer out.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::within;

/// An answer, as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a field; empty if it is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// GET on a connection of its own.
pub(crate) async fn ask(addr: SocketAddr, path: &str) -> Answer {
    asking(addr, path).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The same, where it may be that no answer comes.
pub(crate) async fn asking(addr: SocketAddr, path: &str) -> io::Result<Answer> {
    let heard = within(path, async {
        let mut stream = TcpStream::connect(addr).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await?;
        Ok::<_, io::Error>(heard)
    })
    .await?;
    let (head, body) = heard.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Whether nobody takes connections there.
pub(crate) async fn refused(addr: SocketAddr) -> bool {
    let refused = within("connect", TcpStream::connect(addr)).await;
    refused.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
