//! A target's answer on its way to the client: head, body, and what another protocol says after both have agreed on it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::io::AsyncWrite;

use super::{
    answer::Answer,
    buffer::{Buffer, give_line, take_line},
    connection::{Client, idle_ms},
    exchange::{Job, Next},
    pick::{self},
    pump::{Framing, Pump},
    request::header,
    response::{self, Shape},
    snapshot::ListenerConfig,
    stream::Stream,
};
use crate::http1::{
    body::Body,
    head::{Known, ResponseHead},
};

impl Client {
    /// Passes the answer on.
    #[expect(clippy::too_many_arguments, reason = "the parts of an exchange, each of its own kind")]
    pub(super) async fn respond(
        &mut self,
        listener: &Arc<ListenerConfig>,
        mut job: Job,
        mut target: Stream,
        mut upload: Pump,
        mut answer: Buffer,
        head: ResponseHead,
        sent: Instant,
        took: Duration,
    ) -> Next {
        // What was written for the target is not what the client sent.
        let request_bytes = job.request.len() as u64;
        give_line(std::mem::take(&mut job.request));
        let worker = std::rc::Rc::clone(&self.worker);
        listener.balancer.metrics.target_answer(worker.index, head.status, took);
        job.group.metrics.target_answer(worker.index, head.status, took);
        let switched = head.status == 101;
        if switched && !job.facts.upgrade {
            return self.answer(listener, Answer::error(502), job.facts, false).await;
        }
        let shape = Shape::of(&head, &job.facts, upload.is_read());
        let mut download =
            Pump::new(if switched { Body::UntilClose } else { head.body.clone() }, shape.framing);
        {
            let mut cookies = std::mem::take(&mut job.picked.cookies);
            cookies.append(&mut job.facts.cookies);
            let buffer = answer.filled();
            let set = self
                .answers
                .fields()
                .iter()
                .filter(|field| field.known == Known::SetCookie)
                .map(|field| field.value.of(buffer));
            cookies.extend(pick::application_cookies(
                listener,
                &job.group,
                job.picked.in_flight.target(),
                &worker.clock,
                set,
            ));
            let mut line = take_line();
            response::write_head(
                &mut line,
                buffer,
                &head,
                self.answers.fields(),
                listener,
                &shape,
                &worker.clock,
            );
            for cookie in &cookies {
                // Before the empty line at the end.
                line.truncate(line.len() - 2);
                header(&mut line, b"Set-Cookie", cookie.as_bytes());
                line.extend_from_slice(b"\r\n");
            }
            download.push(&line);
            if let Some(log) = &mut job.facts.log {
                log.sent_head_bytes = line.len() as u64;
            }
            give_line(line);
        }
        let body = download.take(&answer.filled()[head.length..]);
        answer.consume(answer.len());
        if body.is_err() {
            return self.answer(listener, Answer::error(502), job.facts, upload.is_read()).await;
        }
        let answering = Instant::now();
        let finished = if switched {
            self.tunnel(listener, &mut target, &mut download).await
        } else {
            self.relay(listener, &mut target, &mut upload, &mut download).await
        };
        let ended = Instant::now();
        if !upload.excess.is_empty() {
            self.input = std::mem::take(&mut upload.excess);
        }
        let received = job.facts.received_bytes + upload.written.saturating_sub(request_bytes);
        self.count_bytes(listener, received + download.written);
        if let Some(mut log) = job.facts.log.take() {
            log.request_time = Some(sent.duration_since(job.facts.began));
            log.target_time = Some(took);
            log.response_time = Some(answering.duration_since(sent).saturating_sub(took));
            if switched {
                log.kind = if listener.encrypted { "wss" } else { "ws" };
            }
            self.end_log(
                listener,
                log,
                head.status,
                Some(head.status),
                received,
                download.written,
                Some(ended),
            );
        }
        if !finished {
            return Next::Gone;
        }
        if head.keep_alive
            && !job.facts.isolate
            && !switched
            && upload.is_read()
            && download.excess.is_empty()
        {
            let (target_state, now) = (job.picked.in_flight.target(), worker.clock.now_ms());
            worker.pool.keep(&listener.interface, target_state, target, now);
        }
        if shape.keep_alive && !switched { Next::Request } else { Next::Close }
    }

    /// Whether the whole answer reached the client.
    async fn relay(
        &mut self,
        listener: &ListenerConfig,
        target: &mut Stream,
        upload: &mut Pump,
        download: &mut Pump,
    ) -> bool {
        let Client { watch, stream: client, worker, .. } = self;
        let idle_ms = idle_ms(listener);
        watch.until(worker.clock.now_ms() + idle_ms);
        let mut uploaded = upload.is_read();
        let mut moved = 0;
        std::future::poll_fn(|cx| {
            if watch.check(cx).is_err() {
                return Poll::Ready(false);
            }
            if !uploaded {
                uploaded = upload.poll(cx, client, target).is_ready();
            }
            let done = download.poll(cx, target, client);
            if upload.written + download.written > moved {
                moved = upload.written + download.written;
                watch.until(worker.clock.now_ms() + idle_ms);
            }
            match done {
                Poll::Ready(result) => Poll::Ready(result.is_ok()),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Another protocol from here on: bytes both ways until both sides have finished, one breaks off or nothing comes any more.
    async fn tunnel(&mut self, listener: &ListenerConfig, target: &mut Stream, download: &mut Pump) -> bool {
        let Client { watch, stream: client, worker, input, .. } = self;
        let idle_ms = idle_ms(listener);
        let mut upload = Pump::new(Body::UntilClose, Framing::Kept);
        if upload.take(input.filled()).is_err() {
            return false;
        }
        input.consume(input.len());
        watch.until(worker.clock.now_ms() + idle_ms);
        let (mut moved, mut up, mut down) = (0, false, false);
        std::future::poll_fn(|cx| {
            if watch.check(cx).is_err() {
                return Poll::Ready(false);
            }
            if poll_direction(cx, &mut upload, client, target, &mut up).is_err()
                || poll_direction(cx, download, target, client, &mut down).is_err()
            {
                return Poll::Ready(false);
            }
            if upload.written + download.written > moved {
                moved = upload.written + download.written;
                watch.until(worker.clock.now_ms() + idle_ms);
            }
            if up && down { Poll::Ready(true) } else { Poll::Pending }
        })
        .await
    }
}

/// One direction of a tunnel, its end passed on.
fn poll_direction(
    cx: &mut Context<'_>,
    pump: &mut Pump,
    reader: &mut Stream,
    writer: &mut Stream,
    over: &mut bool,
) -> Result<(), io::Error> {
    if *over {
        return Ok(());
    }
    match pump.poll(cx, reader, writer) {
        Poll::Ready(Ok(())) => {
            if let Poll::Ready(shut) = Pin::new(writer).poll_shutdown(cx) {
                *over = true;
                shut?;
            }
            Ok(())
        }
        Poll::Ready(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        Poll::Pending => Ok(()),
    }
}
