//! One client's connection of HTTP/1.1: request after request, until one side has had enough.
//!
//! A client has the idle timeout to send a whole head, however slowly it drips, and again for every pause in a body. Refusals are answered
//! and end the connection, after what the client is still sending has been given a moment to drain: closing at once would take the
//! answer away from it.

use std::{future::poll_fn, io, net::SocketAddr, pin::Pin, rc::Rc, sync::Arc, task::Poll, time::Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    answer::Answer,
    buffer::{Buffer, give_line, take_line, with_scratch},
    exchange::Next,
    metrics::Counter,
    request::TlsFacts,
    snapshot::{ListenerConfig, Slot},
    stream::Stream,
    watch::{Alarm, Watch},
    worker::Worker,
};
use crate::http1::head::{Reader, Refusal, RequestHead};

/// How long a client may take to see the end, and how much it may still send.
const LINGER_MS: u64 = 2000;
const LINGER_BYTES: usize = 1 << 20;

pub(crate) struct Client {
    pub worker: Rc<Worker>,
    pub slot: Rc<Slot>,
    pub watch: Rc<Watch>,
    pub stream: Stream,
    /// What the client has sent and nobody has used.
    pub input: Buffer,
    pub reader: Reader,
    pub answers: Reader,
    pub peer: SocketAddr,
    pub tls: Option<Rc<TlsFacts>>,
    pub opened_ms: u64,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("closed")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Alarm(#[from] Alarm),
}

enum Wanted {
    Request(RequestHead),
    Refused(Refusal),
    /// The head did not come in time.
    Late,
    Nothing,
}

impl Client {
    pub(crate) async fn serve(mut self) {
        loop {
            let Some(listener) = self.slot.current() else { return };
            let wanted = self.next(&listener).await;
            // The listener may have changed while nothing came.
            let Some(listener) = self.slot.current() else { return };
            let began = self.worker.clock.tick();
            let next = match wanted {
                Wanted::Request(head) => self.exchange(&listener, head, began).await,
                Wanted::Refused(refusal) => self.refuse(&listener, refusal.status(), began).await,
                Wanted::Late => self.refuse(&listener, 408, began).await,
                Wanted::Nothing => return,
            };
            match next {
                Next::Request => {}
                Next::Close => return self.close().await,
                Next::Gone => return,
            }
        }
    }

    async fn next(&mut self, listener: &ListenerConfig) -> Wanted {
        let idle_ms = idle_ms(listener);
        self.reader.reset();
        if self.input.is_empty() {
            self.watch.set_quiet(true);
            self.watch.until(self.worker.clock.now_ms() + idle_ms);
            let filled = self.fill().await;
            self.watch.set_quiet(false);
            if filled.is_err() {
                return Wanted::Nothing;
            }
            self.worker.clock.tick();
        }
        self.watch.until(self.worker.clock.now_ms() + idle_ms);
        loop {
            match self.reader.request(self.input.filled()) {
                Ok(Some(head)) => return Wanted::Request(head),
                Ok(None) => {}
                Err(refusal) => return Wanted::Refused(refusal),
            }
            match self.fill().await {
                Ok(()) => {}
                Err(Stopped::Alarm(Alarm::Deadline)) => return Wanted::Late,
                Err(_) => return Wanted::Nothing,
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Stopped> {
        let Client { watch, stream, input, .. } = self;
        poll_fn(|cx| {
            watch.check(cx)?;
            match stream.poll_fill(cx, input) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(Stopped::Closed)),
                Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Writes all of it, within the idle timeout.
    pub(crate) async fn write(&mut self, listener: &ListenerConfig, bytes: &[u8]) -> Result<(), Stopped> {
        let Client { watch, stream, worker, .. } = self;
        watch.until(worker.clock.now_ms() + idle_ms(listener));
        let mut written = 0;
        poll_fn(|cx| {
            watch.check(cx)?;
            while written < bytes.len() {
                match Pin::new(&mut *stream).poll_write(cx, &bytes[written..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Stopped::Closed)),
                    Poll::Ready(Ok(length)) => written += length,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Pin::new(&mut *stream).poll_flush(cx).map_err(Stopped::from)
        })
        .await
    }

    /// Answers what was not even a request.
    async fn refuse(&mut self, listener: &Arc<ListenerConfig>, status: u16, began: Instant) -> Next {
        let metrics = &listener.balancer.metrics;
        metrics.one(self.worker.index, Counter::NonCompliant);
        metrics.own_answer(self.worker.index, status);
        let mut line = take_line();
        Answer::error(status).write(&mut line, listener, &self.worker.clock, false, false);
        let sent = self.write(listener, &line).await;
        self.log_refusal(listener, status, line.len(), began);
        give_line(line);
        if sent.is_ok() { Next::Close } else { Next::Gone }
    }

    /// Ends the connection so that the client sees everything that was sent.
    async fn close(mut self) {
        let Client { watch, stream, worker, .. } = &mut self;
        watch.until(worker.clock.now_ms() + LINGER_MS);
        let (mut shut, mut left) = (false, LINGER_BYTES);
        poll_fn(|cx| {
            if watch.check(cx).is_err() {
                return Poll::Ready(());
            }
            if !shut {
                match Pin::new(&mut *stream).poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            with_scratch(|scratch| {
                loop {
                    let mut buffer = ReadBuf::new(scratch);
                    match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                        Poll::Ready(Ok(())) if !buffer.filled().is_empty() && left > 0 => {
                            left = left.saturating_sub(buffer.filled().len());
                        }
                        Poll::Ready(_) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            })
        })
        .await;
    }
}

pub(crate) fn idle_ms(listener: &ListenerConfig) -> u64 {
    u64::from(listener.balancer.attributes.idle_timeout_seconds) * 1000
}
