//! A connection, encrypted or not.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{client, server};

use super::buffer::Buffer;

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// From a client; we are the server.
    FromClient(Box<server::TlsStream<TcpStream>>),
    /// To a target; we are the client.
    ToTarget(Box<client::TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::FromClient(stream) => stream.get_ref().0,
            Stream::ToTarget(stream) => stream.get_ref().0,
        }
    }

    /// Reads what is there into the buffer's room: how much, 0 at the end. Holds no memory while nothing comes.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(buffer.spare());
        let read = Pin::new(self).poll_read(cx, &mut room);
        let length = room.filled().len();
        match read {
            Poll::Ready(Ok(())) => {
                buffer.advance(length);
                if length == 0 {
                    buffer.release();
                }
                Poll::Ready(Ok(length))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                buffer.release();
                Poll::Pending
            }
        }
    }

    /// Whether the other side has closed or broken the connection, as far as is known without a system call: for
    /// connections on which nothing should come. Bytes that came count as broken.
    pub(crate) fn has_ended(&self) -> bool {
        let mut byte = [0];
        !matches!(self.tcp().try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::FromClient(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::ToTarget(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::FromClient(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::ToTarget(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::FromClient(stream) => Pin::new(stream).poll_flush(cx),
            Stream::ToTarget(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::FromClient(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::ToTarget(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
