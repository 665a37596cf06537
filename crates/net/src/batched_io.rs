//! Batches a connection's writes, and limits how much it reads before its calls run.
//!
//! h2 (0.4) writes a response's head and message separately from its trailers, which costs a system
//! call and a packet more. It also reads frames as long as there are any, before the calls have
//! consumed the earlier ones.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::discard::{DISCARDED_BYTES, LINGER};
use crate::lock;

/// Maximum bytes that wait: the largest frame that HTTP/2 allows by default.
const MOST: usize = 16 * 1024;
/// Bytes that a connection reads before other tasks run.
const QUANTUM: usize = 16 * 1024;
/// Bytes that the peer must accept to count as reading. With a smaller number, a peer that accepts
/// a byte now and then would keep everything that waits for it.
const PROGRESS: usize = 16 * 1024;

/// A stream that collects writes until [`Flusher`] sends them.
pub struct BatchedStream<S>(Arc<Mutex<Held<S>>>);

/// Sends the collected writes of a stream.
pub struct Flusher<S>(Arc<Mutex<Held<S>>>);

struct Held<S> {
    stream: S,
    bytes: BytesMut,
    /// Whether the stream may hold bytes back: TLS accepts more than the socket does.
    unflushed: bool,
    /// Time since which the peer has accepted less than [`PROGRESS`]. None while it reads.
    blocked: Option<Instant>,
    /// Bytes that the peer has accepted since then.
    taken: usize,
    /// Bytes read ahead to detect the client's protocol.
    ahead: Bytes,
    /// Bytes that may still be read before other tasks run.
    quantum: usize,
    state: Arc<State>,
}

/// State of the stream that is shared with the connection.
#[derive(Default)]
pub(crate) struct State {
    heard: AtomicBool,
    full: AtomicBool,
}

/// Returns the stream for the writer, and the handle that sends what was written.
pub fn batched<S>(stream: S) -> (BatchedStream<S>, Flusher<S>) {
    let held = Arc::new(Mutex::new(Held {
        stream,
        bytes: BytesMut::new(),
        unflushed: false,
        blocked: None,
        taken: 0,
        ahead: Bytes::new(),
        quantum: QUANTUM,
        state: Arc::default(),
    }));
    (BatchedStream(held.clone()), Flusher(held))
}

impl<S> BatchedStream<S> {
    pub(crate) fn state(&self) -> Arc<State> {
        lock(&self.0).state.clone()
    }
}

impl State {
    /// Returns whether anything was read since the last call.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// Returns whether the last write found the buffer full and the peer not reading.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

impl<S: AsyncRead + Unpin> BatchedStream<S> {
    /// Returns whether the client begins with these bytes. Does not consume them.
    pub async fn begins_with(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let mut ahead = BytesMut::new();
        while ahead.len() < bytes.len() && bytes.starts_with(&ahead) {
            if self.read_buf(&mut ahead).await? == 0 {
                break;
            }
        }
        let begins = ahead.starts_with(bytes);
        lock(&self.0).ahead = ahead.freeze();
        Ok(begins)
    }
}

impl<S: AsyncWrite + Unpin> Flusher<S> {
    /// Polls `work` and sends what it writes. Returns None once the time that `patience` returns
    /// has passed. Each poll calls `patience` with the time since which the peer reads nothing, or
    /// None while it reads.
    pub async fn of<F: Future>(
        &self,
        mut work: Pin<&mut F>,
        patience: impl Fn(Option<Instant>) -> Option<Instant>,
    ) -> Option<F::Output> {
        let mut clock: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            lock(&self.0).quantum = QUANTUM;
            let polled = work.as_mut().poll(cx).map(Some);
            let blocked = {
                let mut held = lock(&self.0);
                // The next read reports a failure.
                let _ = held.poll_send(cx);
                held.blocked
            };
            let (false, Some(at)) = (polled.is_ready(), patience(blocked)) else {
                clock = None;
                return polled;
            };
            let clock = clock.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if clock.deadline() != at {
                clock.as_mut().reset(at);
            }
            clock.as_mut().poll(cx).map(|()| None)
        })
        .await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Flusher<S> {
    /// Continues to read for a while after the last response. Closing the connection while the
    /// client still sends would reset it, and the response would be lost (RFC 9112, 9.6).
    pub async fn linger(self) {
        let (mut bytes, mut discarded) = ([0; 8 * 1024], 0);
        let rest = poll_fn(|cx| {
            let mut held = lock(&self.0);
            // Read even if the client does not: it may first send everything.
            let _ = held.poll_send(cx);
            while discarded < DISCARDED_BYTES {
                let mut into = ReadBuf::new(&mut bytes);
                match ready!(Pin::new(&mut held.stream).poll_read(cx, &mut into)) {
                    Ok(()) if !into.filled().is_empty() => discarded += into.filled().len(),
                    Ok(()) | Err(_) => break,
                }
            }
            Poll::Ready(())
        });
        let _ = timeout(LINGER, rest).await;
    }
}

impl<S: AsyncWrite + Unpin> Held<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            let Poll::Ready(sent) = Pin::new(&mut self.stream).poll_write(cx, &self.bytes) else {
                if self.blocked.is_none() {
                    (self.blocked, self.taken) = (Some(Instant::now()), 0);
                }
                return Poll::Pending;
            };
            let sent = sent?;
            if sent == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.taken += sent;
            if self.taken >= PROGRESS {
                (self.blocked, self.taken) = (None, 0);
            }
            self.bytes.advance(sent);
            self.unflushed = true;
        }
        self.blocked = None;
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_batch(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = match self.bytes.len() {
            MOST.. => self.poll_send(cx),
            _ => Poll::Ready(Ok(())),
        };
        self.state.full.store(sent.is_pending(), Ordering::Relaxed);
        ready!(sent)?;
        let before = self.bytes.len();
        for part in parts {
            let room = MOST.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(part.get(..room).unwrap_or(part));
        }
        Poll::Ready(Ok(self.bytes.len() - before))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BatchedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut held = lock(&self.0);
        if !held.ahead.is_empty() {
            let len = held.ahead.len().min(into.remaining());
            into.put_slice(&held.ahead.split_to(len));
            return Poll::Ready(Ok(()));
        }
        if held.quantum == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut held.stream).poll_read(cx, into))?;
        let read = into.filled().len() - before;
        held.quantum = held.quantum.saturating_sub(read);
        held.state.heard.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BatchedStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_batch(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_batch(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Also covers bytes that the stream itself writes, as TLS does. `Flusher` flushes them.
        lock(&self.0).unflushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = lock(&self.0);
        ready!(held.poll_send(cx))?;
        Pin::new(&mut held.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_written_and_flushed_leaves_when_the_writer_waits() {
        let (near, mut far) = duplex(1024);
        let (mut stream, outgoing) = batched(near);
        let mut read = [0; 16];
        let work = pin!(async {
            stream.write_all(b"head ").await.unwrap();
            stream.write_all(b"trailers").await.unwrap();
            stream.flush().await.unwrap();
            std::future::pending::<()>().await;
        });
        let read = tokio::select! {
            _ = outgoing.of(work, |_| None) => unreachable!(),
            len = far.read(&mut read) => &read[..len.unwrap()],
        };
        assert_eq!(read, b"head trailers");
    }

    /// Accepts everything at once and passes it on only when flushed, as TLS does when the socket
    /// is full.
    struct HoldsBack<S> {
        stream: S,
        held: BytesMut,
    }

    impl<S: AsyncWrite + Unpin> AsyncWrite for HoldsBack<S> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.held.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let this = &mut *self;
            while !this.held.is_empty() {
                let sent = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.held))?;
                this.held.advance(sent);
            }
            Pin::new(&mut this.stream).poll_flush(cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_the_stream_held_back_follows_when_the_peer_reads() {
        let (near, mut far) = duplex(100);
        let (mut stream, outgoing) = batched(HoldsBack { stream: near, held: BytesMut::new() });
        let sent: Vec<u8> = (0..=250).cycle().take(1000).collect();
        let work = pin!(async {
            poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &sent)).await.unwrap();
            std::future::pending::<()>().await;
        });
        let mut arrived = vec![0; sent.len()];
        tokio::select! {
            _ = outgoing.of(work, |_| None) => unreachable!(),
            read = far.read_exact(&mut arrived) => assert_eq!(read.unwrap(), sent.len()),
            () = tokio::time::sleep(std::time::Duration::from_secs(60)) => panic!("it is held back"),
        }
        assert!(arrived == sent);
    }

    #[tokio::test(start_paused = true)]
    async fn work_for_a_peer_that_takes_nothing_ends_when_the_patience_is_over() {
        let (near, _far) = duplex(100);
        let (mut stream, outgoing) = batched(near);
        let work = pin!(async {
            stream.write_all(&[0; 5 * MOST]).await.unwrap();
        });
        let second = std::time::Duration::from_secs(1);
        assert!(outgoing.of(work, |blocked| blocked.map(|since| since + second)).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_byte_now_and_then_counts_as_taking_nothing() {
        let (near, mut far) = duplex(100);
        let (mut stream, outgoing) = batched(near);
        let work = pin!(async {
            stream.write_all(&[0; 5 * MOST]).await.unwrap();
        });
        let second = std::time::Duration::from_secs(1);
        let trickle = async {
            while far.read_u8().await.is_ok() {
                tokio::time::sleep(second / 4).await;
            }
        };
        tokio::select! {
            done = outgoing.of(work, |blocked| blocked.map(|since| since + second)) => {
                assert!(done.is_none());
            }
            () = trickle => unreachable!(),
        }
    }

    #[tokio::test]
    async fn more_than_is_held_and_more_than_the_peer_takes_at_once_arrives() {
        let (near, mut far) = duplex(100);
        let (mut stream, outgoing) = batched(near);
        let sent: Vec<u8> = (0..=250).cycle().take(5 * MOST + 7).collect();
        let work = pin!(async {
            stream.write_all(&sent).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let mut arrived = Vec::new();
        let (_, read) = tokio::join!(outgoing.of(work, |_| None), far.read_to_end(&mut arrived));
        read.unwrap();
        assert!(arrived == sent);
    }
}
