//! Weights, laid out in several threads ahead of the one that writes them to the device.

use std::{
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use tessera_graph::BackendError;

use crate::weights::Write;

/// Threads at most: memory and the way to the device have had enough then.
const THREADS: usize = 8;

/// Bytes that are handed over at once at most ...
const PIECE: usize = 4 << 20;

/// ... and how many such pieces of a source wait.
const WAITING: usize = 2;

/// A piece of a source's contents and where it begins, or the end of it.
type Piece = Result<Option<(usize, Vec<u8>)>, BackendError>;

/// Told the number of a source, and a piece of its contents with its first byte; at the source's end, nothing.
pub type Sink<'a> = dyn FnMut(usize, Option<(usize, &[u8])>) -> Result<(), BackendError> + 'a;

/// Lays out the source of a number.
pub type Fill<'a> = dyn Fn(usize, &mut Write<'_>) -> Result<(), BackendError> + Sync + 'a;

/// Lays out `count` sources; the sink has one after the other.
pub fn fill_all(count: usize, fill: &Fill<'_>, sink: &mut Sink<'_>) -> Result<(), BackendError> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..count).map(|_| sync_channel::<Piece>(WAITING)).unzip();
    let senders: Vec<_> = senders.into_iter().map(|sender| Mutex::new(Some(sender))).collect();
    let next = AtomicUsize::new(0);
    let take = |i: usize| {
        let sender = senders.get(i)?.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some((i, sender))
    };
    let work = || {
        while let Some((i, sender)) = take(next.fetch_add(1, Relaxed)) {
            let send = |piece| sender.send(piece).map_err(|_| BackendError::Cancelled);
            let filled = fill(i, &mut |offset, bytes| {
                let mut pieces = bytes.chunks(PIECE).enumerate();
                pieces.try_for_each(|(n, it)| send(Ok(Some((offset + n * PIECE, it.to_vec())))))
            });
            // where nobody listens any more there is nothing to tell
            let _ = sender.send(filled.map(|()| None));
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
    thread::scope(|scope| {
        (0..threads.min(count)).for_each(|_| {
            scope.spawn(work);
        });
        let written = write_all(receivers, sink);
        // those who wait to hand something over are told by the channels, which are gone
        next.store(count, Relaxed);
        written
    })
}

fn write_all(receivers: Vec<Receiver<Piece>>, sink: &mut Sink<'_>) -> Result<(), BackendError> {
    for (i, receiver) in receivers.into_iter().enumerate() {
        loop {
            let lost = |_| BackendError::Weights("a thread that lays them out is gone".into());
            match receiver.recv().map_err(lost)?? {
                Some((offset, bytes)) => sink(i, Some((offset, &bytes)))?,
                None => break sink(i, None)?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What source `i` is made of; one is larger than a piece.
    fn contents(i: usize) -> Vec<u8> {
        vec![i as u8; if i == 20 { 2 * PIECE + 3 } else { 100 + i }]
    }

    /// Lays a source out in two parts.
    fn fill(i: usize, write: &mut Write<'_>) -> Result<(), BackendError> {
        let all = contents(i);
        let (head, tail) = all.split_at(90);
        write(0, head)?;
        write(90, tail)
    }

    #[test]
    fn all_comes_in_order() {
        let mut got = vec![Vec::new()];
        fill_all(40, &fill, &mut |i, piece| {
            assert_eq!(i + 1, got.len(), "one source after the other");
            match piece {
                Some((offset, bytes)) => {
                    assert!(offset == got[i].len() && bytes.len() <= PIECE);
                    got[i].extend_from_slice(bytes);
                }
                None => got.push(Vec::new()),
            }
            Ok(())
        })
        .expect("nothing fails");
        assert_eq!(got.pop(), Some(Vec::new()));
        assert!(got == (0..40).map(contents).collect::<Vec<_>>());
        fill_all(0, &fill, &mut |_, _| unreachable!()).expect("nothing to do");
    }

    #[test]
    fn it_can_be_given_up_anywhere() {
        for last in [0, 1, 20, 39] {
            let ended = fill_all(40, &fill, &mut |i, piece| match piece {
                Some(_) if i == last => Err(BackendError::Cancelled),
                _ => Ok(()),
            });
            assert!(matches!(ended, Err(BackendError::Cancelled)), "{last}");
        }
    }

    #[test]
    fn what_fails_is_told() {
        for bad in [0, 7, 39] {
            let fails = |i, write: &mut Write<'_>| match i == bad {
                true => Err(BackendError::Weights(format!("source {i}"))),
                false => fill(i, write),
            };
            let mut whole = 0;
            let ended = fill_all(40, &fails, &mut |_, piece| {
                whole += usize::from(piece.is_none());
                Ok(())
            });
            assert!(ended.unwrap_err().to_string().contains(&format!("source {bad}")));
            assert_eq!(whole, bad, "those before it");
        }
    }
}
