//! A small HTTP server that answers with its name, and can be killed and started again.
//!
//! A killed one keeps its port without listening: the kernel refuses connections to it as if it were free, and
//! nobody else can take it meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use super::until;

pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    core: Arc<Core>,
    task: Option<JoinHandle<()>>,
    /// Holds the port.
    _reserved: TcpSocket,
}

struct Core {
    name: &'static str,
    /// Requests for `/held` that wait.
    held: AtomicUsize,
    release: Notify,
}

impl Upstream {
    pub(crate) fn start(name: &'static str) -> Self {
        let reserved = bind("127.0.0.1:0".parse().unwrap());
        let core = Core { name, held: AtomicUsize::new(0), release: Notify::new() };
        let mut upstream = Self {
            addr: reserved.local_addr().unwrap(),
            core: Arc::new(core),
            task: None,
            _reserved: reserved,
        };
        upstream.restart();
        upstream
    }

    /// Listens, on the same port as ever.
    pub(crate) fn restart(&mut self) {
        let listener = bind(self.addr).listen(1_024).unwrap();
        self.task = Some(tokio::spawn(serve(listener, self.core.clone())));
    }

    /// Cuts every connection and refuses new ones.
    pub(crate) async fn kill(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// Waits until a request for `/held` is here.
    pub(crate) async fn holds(&self) {
        until("the request arrives", async || self.core.held.load(SeqCst), |held| *held == 1).await;
    }

    /// Answers the request for `/held`.
    pub(crate) fn release(&self) {
        self.core.release.notify_one();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A socket on an address that others of ours may have too.
fn bind(addr: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(addr).unwrap();
    socket
}

async fn serve(listener: TcpListener, core: Arc<Core>) {
    // Dropped with the task, it ends every connection.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(answer(stream, core.clone()));
    }
}

async fn answer(mut stream: TcpStream, core: Arc<Core>) {
    let Core { name, held, release } = &*core;
    let mut heard = Vec::new();
    while matches!(stream.read_buf(&mut heard).await, Ok(1..)) {
        if !heard.ends_with(b"\r\n\r\n") {
            continue;
        }
        if heard.starts_with(b"GET /held ") {
            held.fetch_add(1, SeqCst);
            release.notified().await;
        }
        heard.clear();
        let said = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
        if stream.write_all(said.as_bytes()).await.is_err() {
            return;
        }
    }
}
