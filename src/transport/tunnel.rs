//! The bytes of a session that runs through a channel of another one.
//!
//! A session that writes does not read. The connection below it waits for who does not read, so it would wait for a
//! session that waits for it: what comes through the channel is therefore taken off it by a task of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::oneshot;

use super::session::WINDOW;

/// What is kept of a channel that is not read yet: more than the host behind it may send before it is heard.
const BUFFER: usize = 2 * WINDOW as usize;

/// A channel as bytes in both directions. It is closed when it is dropped.
pub(super) struct Tunnel {
    reader: DuplexStream,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    _open: oneshot::Sender<()>,
}

impl Tunnel {
    /// Takes a channel over.
    pub(super) fn new(channel: Channel<Msg>) -> Self {
        let (mut read, write) = channel.split();
        let (to, reader) = duplex(BUFFER);
        let (open, dropped) = oneshot::channel();
        let writer = Box::pin(write.make_writer());
        tokio::spawn(async move {
            let carrying = async move {
                let mut to = Some(to);
                while let Some(message) = read.wait().await {
                    let over = match (message, &mut to) {
                        (ChannelMsg::Data { data }, Some(pipe)) => pipe.write_all(&data).await.is_err(),
                        (message, _) => matches!(message, ChannelMsg::Eof | ChannelMsg::Close),
                    };
                    if over {
                        to = None;
                    }
                }
                drop(to);
                // It may still write.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = carrying => {}
                _ = dropped => {}
            }
            let _ = write.close().await;
        });
        Self { reader, writer, _open: open }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writer.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_shutdown(cx)
    }
}
