//! A stream of items as a source of messages, with back-pressure: nothing comes that was not asked for.
//!
//! The rule of OTP's sockets (`{active, once}`, `{active, N}`) for anything that can be read item by item.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_core::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use crate::process::{Cell, Envelope, Info, Me, Message, Process, ProcessRef};
use crate::term::Pid;

/// What can be read item by item. Every `Stream` is one, and every `AsyncRead` by [`chunks`].
pub trait Source: Send + 'static {
    /// What is read. A source that can fail has a `Result` here: an error is an item like any other.
    type Item: Send + 'static;

    /// The next item; `None` at the end, after which it is not asked again.
    ///
    /// Never dropped half-way while its server lives.
    fn next(&mut self) -> impl Future<Output = Option<Self::Item>> + Send;
}

impl<T> Source for T
where
    T: Stream<Item: Send + 'static> + Unpin + Send + 'static,
{
    type Item = T::Item;

    async fn next(&mut self) -> Option<T::Item> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

/// What comes from a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sourced<T> {
    /// The next item (`{tcp, Socket, Data}`).
    Item(T),
    /// The last item of those that [`active`](SourceRef::active) asked for was the one before (`{tcp_passive, Socket}`).
    Passive,
    /// The source has ended and is gone (`{tcp_closed, Socket}`).
    Closed,
}

/// A server's hold of one of its sources. It is passive at first: nothing is read until it is asked for.
///
/// What was asked for and read waits in the mailbox like any message. At most one item is read ahead: the one that was
/// under way when the source was made passive; it comes first when the source is active again. Dropping this closes the
/// source.
#[derive(Debug)]
#[must_use = "dropping it closes the source"]
pub struct SourceRef {
    reader: ProcessRef<Control>,
}

#[derive(Clone, Copy)]
enum Control {
    Once,
    More(usize),
    Passive,
    Close,
}

impl SourceRef {
    /// One more item, then none (`{active, once}`). What [`active`](Self::active) had asked for before is replaced.
    pub fn active_once(&self) {
        self.reader.send(Control::Once);
    }

    /// So many items more than were asked for already, then [`Sourced::Passive`] (`{active, N}`).
    pub fn active(&self, items: usize) {
        self.reader.send(Control::More(items));
    }

    /// No more items, until it is active again (`{active, false}`). What was read before still comes.
    pub fn passive(&self) {
        self.reader.send(Control::Passive);
    }

    /// Closes the source. What was read before still comes, [`Sourced::Closed`] does not.
    pub fn close(self) {}

    /// The process that reads it.
    pub fn pid(&self) -> Pid {
        self.reader.pid()
    }

    pub(super) fn start<T, C, K, I>(
        me: &Me,
        server: Arc<Cell<Message<C, K, I>>>,
        source: T,
        mut message: impl FnMut(Sourced<T::Item>) -> I + Send + 'static,
    ) -> Self
    where
        T: Source,
        C: Send + 'static,
        K: Send + 'static,
        I: Send + 'static,
    {
        let owner = me.pid();
        let reader = me.spawn_link(move |mut process: Process<Control>| async move {
            // The link ends it with a server that crashes, the monitor with one that ends normally.
            process.monitor(owner);
            // What was asked for must arrive, whatever the bound of the mailbox: asking is its bound.
            let deliver = |sourced| {
                // Refused only by a server that has ended: the monitor says so next.
                let _ = server.push_unbounded(Envelope::User(Message::Info(message(sourced))));
            };
            if read(&mut process, source, deliver).await {
                process.unlink(owner);
            }
        });
        SourceRef { reader }
    }
}

impl Drop for SourceRef {
    fn drop(&mut self) {
        // At the end of its server the reader may be gone already.
        let _ = self.reader.try_send(Control::Close);
    }
}

/// How many items may be delivered.
#[derive(Clone, Copy)]
enum Credit {
    None,
    Once,
    Items(usize),
}

/// Delivers items as they are asked for. True: the source is done with; false: the server has ended.
async fn read<T: Source>(
    process: &mut Process<Control>,
    mut source: T,
    mut deliver: impl FnMut(Sourced<T::Item>),
) -> bool {
    let mut credit = Credit::None;
    loop {
        while matches!(credit, Credit::None) {
            match obey(credit, process.receive().await, &mut deliver) {
                Ok(next) => credit = next,
                Err(closed) => return closed,
            }
        }
        // Neither of the two that are waited for may ever have to wait.
        process.turn().await;
        let item = {
            let mut next = pin!(source.next());
            loop {
                tokio::select! {
                    biased;
                    info = process.receive() => match obey(credit, info, &mut deliver) {
                        Ok(next) => credit = next,
                        Err(closed) => return closed,
                    },
                    item = &mut next, if !matches!(credit, Credit::None) => break item,
                }
            }
        };
        let Some(item) = item else {
            drop(source);
            deliver(Sourced::Closed);
            return true;
        };
        deliver(Sourced::Item(item));
        credit = match credit {
            Credit::Items(1) => {
                deliver(Sourced::Passive);
                Credit::None
            }
            Credit::Items(items) => Credit::Items(items - 1),
            Credit::Once | Credit::None => Credit::None,
        };
    }
}

/// What the server asks for; an error is the end, and whether it was asked for.
fn obey<T>(
    credit: Credit,
    info: Info<Control>,
    deliver: &mut impl FnMut(Sourced<T>),
) -> Result<Credit, bool> {
    match info {
        Info::User(Control::Once) => Ok(Credit::Once),
        Info::User(Control::More(0)) => {
            if let Credit::None = credit {
                deliver(Sourced::Passive);
            }
            Ok(credit)
        }
        Info::User(Control::More(items)) => Ok(Credit::Items(match credit {
            Credit::Items(left) => left.saturating_add(items),
            Credit::None | Credit::Once => items,
        })),
        Info::User(Control::Passive) => Ok(Credit::None),
        Info::User(Control::Close) => Err(true),
        Info::Down(_) => Err(false),
        _ => Ok(credit),
    }
}

/// The bytes of a reader, as they come: each item at least one byte and at most `at_most`, or the error that ended it.
///
/// # Panics
/// `at_most` is 0.
pub fn chunks<R: AsyncRead + Unpin + Send + 'static>(reader: R, at_most: usize) -> Chunks<R> {
    assert!(at_most > 0, "a chunk has at least one byte");
    Chunks { reader: Some(reader), buffer: vec![0; at_most].into() }
}

/// See [`chunks`].
#[derive(Debug)]
pub struct Chunks<R> {
    /// `None` once it has failed.
    reader: Option<R>,
    buffer: Box<[u8]>,
}

impl<R: AsyncRead + Unpin + Send + 'static> Source for Chunks<R> {
    type Item = io::Result<Vec<u8>>;

    async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        let reader = self.reader.as_mut()?;
        let mut read = ReadBuf::new(&mut self.buffer);
        if let Err(error) = poll_fn(|cx| Pin::new(&mut *reader).poll_read(cx, &mut read)).await {
            self.reader = None;
            return Some(Err(error));
        }
        let read = read.filled();
        if read.is_empty() { None } else { Some(Ok(read.to_vec())) }
    }
}
