//! An upstream that follows a script and writes down every byte it gets.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

use super::message;

/// What to do with one request.
#[derive(Clone)]
pub(crate) struct Act(pub(crate) Reads, pub(crate) Vec<Step>);

/// How much to read before acting.
#[derive(Clone, Copy)]
pub(crate) enum Reads {
    Nothing,
    /// The head, and what came with it.
    Head,
    /// The head and at least this many bytes after it.
    Body(usize),
    Whole,
}

#[derive(Clone)]
pub(crate) enum Step {
    Say(String),
    /// Until the test lets it go on.
    Wait(Arc<Notify>),
    Close,
    Reset,
    /// Says and closes nothing until the other side closes.
    Hang,
}

impl Act {
    /// Reads the request, answers, and keeps the connection.
    pub(crate) fn answer(answer: impl Into<String>) -> Self {
        Self(Reads::Whole, vec![Step::Say(answer.into())])
    }

    /// 200 with this body and a length.
    pub(crate) fn ok(body: &str) -> Self {
        Self::answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    /// Reads the request, says this much, and then this.
    pub(crate) fn then(said: &str, step: Step) -> Self {
        Self(Reads::Whole, vec![Step::Say(said.into()), step])
    }
}

pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    log: Arc<Log>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    script: Mutex<VecDeque<Act>>,
    /// The connection's number and what was read, for each act.
    requests: Mutex<Vec<(usize, String)>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

impl Upstream {
    /// Plays one act for each request, over all connections, the last one for ever.
    pub(crate) async fn start(script: impl IntoIterator<Item = Act>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    fn on(listener: TcpListener, script: impl IntoIterator<Item = Act>) -> Self {
        let addr = listener.local_addr().unwrap();
        let log =
            Arc::new(Log { script: Mutex::new(script.into_iter().collect()), ..Log::default() });
        let shared = Arc::clone(&log);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = shared.accepted.fetch_add(1, SeqCst);
                shared.open.fetch_add(1, SeqCst);
                let log = Arc::clone(&shared);
                tokio::spawn(async move {
                    play(stream, number, &log).await;
                    log.open.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { addr, log, task }
    }

    /// What was read, act by act.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.log.requests.lock().unwrap().iter().map(|(_, bytes)| bytes.clone()).collect()
    }

    /// The one request it got.
    pub(crate) fn only(&self) -> String {
        let [only] = self.seen().try_into().unwrap();
        only
    }

    /// On which connection each act was played, counted from 0.
    pub(crate) fn connections(&self) -> Vec<usize> {
        self.log.requests.lock().unwrap().iter().map(|(number, _)| *number).collect()
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.log.accepted.load(SeqCst)
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.log.open.load(SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address where nobody listens, kept from others.
pub(crate) struct Refusing {
    pub(crate) addr: SocketAddr,
    socket: TcpSocket,
}

pub(crate) fn refusing() -> Refusing {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Refusing { addr: socket.local_addr().unwrap(), socket }
}

impl Refusing {
    /// From now on an upstream listens there.
    pub(crate) fn returns(self, script: impl IntoIterator<Item = Act>) -> Upstream {
        Upstream::on(self.socket.listen(64).unwrap(), script)
    }
}

impl Log {
    fn next(&self) -> Act {
        let mut script = self.script.lock().unwrap();
        if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
            .expect("a script has at least one act")
    }

    /// The next act, without taking it: how much it reads decides when it is taken.
    fn reads(&self) -> Reads {
        self.script.lock().unwrap().front().expect("a script has at least one act").0
    }
}

async fn play(mut stream: TcpStream, number: usize, log: &Log) {
    let mut bytes = Vec::new();
    loop {
        let read = loop {
            let head = message::find(&bytes, b"\r\n\r\n").map(|head| head + 4);
            let enough = match log.reads() {
                Reads::Nothing => Some(bytes.len()),
                Reads::Head => head.map(|_| bytes.len()),
                Reads::Body(more) => {
                    head.filter(|head| bytes.len() >= head + more).map(|_| bytes.len())
                }
                Reads::Whole => message::whole(&bytes, true),
            };
            if let Some(read) = enough {
                break read;
            }
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
        };
        let Act(_, steps) = log.next();
        let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
        bytes.drain(..read);
        log.requests.lock().unwrap().push((number, request));
        for step in steps {
            match step {
                Step::Say(text) => {
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
                Step::Wait(gate) => gate.notified().await,
                Step::Close => return,
                Step::Reset => {
                    stream.set_zero_linger().unwrap();
                    return;
                }
                Step::Hang => {
                    while matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {}
                    return;
                }
            }
        }
    }
}
