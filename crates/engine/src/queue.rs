//! A queue with one writer and one reader, who may wait for it either way: by blocking a thread or as
//! a future, under any executor.
//!
//! What goes through is bounded by what is asked for (a request by its context), so the queue itself
//! is not: a slow reader never holds up the scheduler.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

struct Inner<T> {
    items: VecDeque<T>,
    waker: Option<Waker>,
    /// The writer is gone.
    closed: bool,
    /// The reader is gone.
    deserted: bool,
}

struct Shared<T> {
    inner: Mutex<Inner<T>>,
    ready: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing end; dropping it ends the queue.
pub(crate) struct Writer<T>(Arc<Shared<T>>);

/// The reading end.
pub(crate) struct Reader<T>(Arc<Shared<T>>);

/// An empty queue with room for `capacity` items before it allocates again.
pub(crate) fn queue<T>(capacity: usize) -> (Writer<T>, Reader<T>) {
    let items = VecDeque::with_capacity(capacity);
    let inner = Mutex::new(Inner { items, waker: None, closed: false, deserted: false });
    let shared = Arc::new(Shared { inner, ready: Condvar::new() });
    (Writer(shared.clone()), Reader(shared))
}

impl<T> Writer<T> {
    /// Appends an item; says whether anyone can still read it.
    pub(crate) fn push(&self, item: T) -> bool {
        self.update(|items| items.push_back(item))
    }

    /// Changes the unread items in place; says whether anyone can still read them.
    pub(crate) fn update(&self, change: impl FnOnce(&mut VecDeque<T>)) -> bool {
        let waker = {
            let mut inner = self.0.lock();
            if inner.deserted {
                return false;
            }
            change(&mut inner.items);
            inner.waker.take()
        };
        self.0.ready.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        let waker = {
            let mut inner = self.0.lock();
            inner.closed = true;
            inner.waker.take()
        };
        self.0.ready.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Reader<T> {
    /// The next item, or `None` after the last.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut inner = self.0.lock();
        match inner.items.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if inner.closed => Poll::Ready(None),
            None => {
                inner.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits for the next item, blocking the thread; `None` after the last.
    pub(crate) fn next_blocking(&mut self) -> Option<T> {
        let mut inner = self.0.lock();
        loop {
            if let Some(item) = inner.items.pop_front() {
                return Some(item);
            }
            if inner.closed {
                return None;
            }
            inner = self.0.ready.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.deserted = true;
        inner.items.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_arrive_in_order_and_then_the_end() {
        let (writer, mut reader) = queue(2);
        let thread = std::thread::spawn(move || {
            for i in 0..1000 {
                assert!(writer.push(i));
            }
        });
        for i in 0..1000 {
            assert_eq!(reader.next_blocking(), Some(i));
        }
        assert_eq!(reader.next_blocking(), None);
        thread.join().unwrap();
    }

    #[test]
    fn a_future_is_woken_by_items_and_by_the_end() {
        let (writer, mut reader) = queue(1);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(reader.poll_next(&mut cx), Poll::Pending);
        writer.push(7);
        assert_eq!(reader.poll_next(&mut cx), Poll::Ready(Some(7)));
        assert_eq!(reader.poll_next(&mut cx), Poll::Pending);
        drop(writer);
        assert_eq!(reader.poll_next(&mut cx), Poll::Ready(None));
    }

    #[test]
    fn a_writer_learns_that_nobody_reads() {
        let (writer, reader) = queue(1);
        assert!(writer.push(1));
        drop(reader);
        assert!(!writer.push(2));
    }
}
