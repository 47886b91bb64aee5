//! Bodies on their way between hyper's connections.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep},
};

use crate::application::target::InFlight;

pub(super) type Error = Box<dyn std::error::Error + Send + Sync>;
/// Any body; it stays on its thread.
pub(super) type AnyBody = Pin<Box<dyn Body<Data = Bytes, Error = Error>>>;

pub(super) fn whole(bytes: impl Into<Bytes>) -> AnyBody {
    Box::pin(Full::new(bytes.into()).map_err(|never| match never {}))
}

/// What happens when a body has ended, however it did: bytes that passed, and whether all of it did.
pub(super) type AtEnd = Box<dyn FnOnce(u64, bool)>;

/// How a client takes an answer.
pub(super) struct Taking {
    /// When it took something last, or there was nothing to take.
    last: Cell<Instant>,
    idle: Duration,
}

impl Taking {
    pub(super) fn new(idle: Duration) -> Taking {
        Taking { last: Cell::new(Instant::now()), idle }
    }

    /// For how much longer than the idle timeout nothing was taken.
    pub(super) fn overdue(&self) -> Duration {
        self.last.get().elapsed().saturating_sub(self.idle)
    }
}

/// A target's body on its way to the client. The request is in flight until it has ended.
pub(super) struct Carried {
    body: Incoming,
    in_flight: InFlight,
    idle: Duration,
    limit: Pin<Box<Sleep>>,
    passed: u64,
    complete: bool,
    /// Where it is noted that the client takes, where that is of interest.
    taken: Option<Rc<Taking>>,
    at_end: Option<AtEnd>,
}

impl Carried {
    pub(super) fn new(body: Incoming, in_flight: InFlight, idle: Duration, at_end: AtEnd) -> Carried {
        let complete = body.is_end_stream();
        Carried {
            body,
            in_flight,
            idle,
            limit: Box::pin(sleep(idle)),
            passed: 0,
            complete,
            taken: None,
            at_end: Some(at_end),
        }
    }

    /// Notes there whenever the client is ready for more.
    pub(super) fn noting(mut self, taken: Rc<Taking>) -> Carried {
        self.taken = Some(taken);
        self
    }
}

/// How often a body that waits looks whether its target has been cut off.
const CUT_INTERVAL: Duration = Duration::from_millis(200);

impl Body for Carried {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some(taken) = &this.taken {
            taken.last.set(Instant::now());
        }
        let cut = || this.in_flight.target().cut.load(Ordering::Relaxed);
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            let until = Instant::now() + this.idle;
            this.limit.as_mut().reset(until.into());
            return Poll::Ready(match frame {
                Some(Ok(frame)) => {
                    this.passed += frame.data_ref().map_or(0, Bytes::len) as u64;
                    this.complete |= frame.is_trailers() || this.body.is_end_stream();
                    Some(Ok(frame))
                }
                Some(Err(error)) => Some(Err(error.into())),
                None => {
                    this.complete = true;
                    None
                }
            });
        }
        if cut() {
            return Poll::Ready(Some(Err("the target's time to drain is over".into())));
        }
        // A draining target may be cut off before the idle timeout.
        if this.in_flight.target().draining.load(Ordering::Relaxed) {
            let soon = tokio::time::Instant::now() + CUT_INTERVAL;
            if this.limit.deadline() > soon {
                this.limit.as_mut().reset(soon);
            }
            ready!(this.limit.as_mut().poll(cx));
            cx.waker().wake_by_ref();
            let next = tokio::time::Instant::now() + CUT_INTERVAL;
            this.limit.as_mut().reset(next);
            return Poll::Pending;
        }
        ready!(this.limit.as_mut().poll(cx));
        Poll::Ready(Some(Err("nothing came within the idle timeout".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if let Some(at_end) = self.at_end.take() {
            at_end(self.passed, self.complete || self.body.is_end_stream());
        }
    }
}

/// A body that is fed from elsewhere. Its end is the end of what feeds it, if that says so; else it is broken off.
pub(super) struct Fed {
    pub receiver: mpsc::Receiver<Option<Bytes>>,
    pub ended: bool,
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.receiver.poll_recv(cx)) {
            Some(Some(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(None) => {
                self.ended = true;
                None
            }
            None => Some(Err("the client broke off".into())),
        })
    }
}

/// A client's body on its way to the target, counted.
pub(super) struct Counted {
    pub body: Incoming,
    pub passed: Arc<std::sync::atomic::AtomicU64>,
    /// When something passed last.
    pub last: Rc<Cell<Instant>>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.passed.fetch_add(length, Ordering::Relaxed);
            self.last.set(Instant::now());
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
