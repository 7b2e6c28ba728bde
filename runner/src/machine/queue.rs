//! Work for several threads, each piece with a weight, so that what is under way at a time never
//! weighs more than the machine bears.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Pieces of work that wait for a thread.
#[derive(Debug)]
pub struct Queue<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<(usize, T)>,
    /// Weight under way.
    load: usize,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue for work of `capacity` at a time; each piece comes with its weight.
    pub fn new(capacity: usize, work: impl IntoIterator<Item = (usize, T)>) -> Self {
        // What is too heavy for the machine runs alone.
        let weigh = |(weight, piece): (usize, T)| (weight.clamp(1, capacity), piece);
        let waiting = work.into_iter().map(weigh).collect();
        let state = State { waiting, load: 0, closed: false };
        Queue { capacity, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first piece that there is room for, once there is room; `None` when there will be none.
    pub fn take(&self) -> Option<Piece<'_, T>> {
        let mut state = self.lock();
        loop {
            if state.closed || (state.waiting.is_empty() && state.load == 0) {
                return None;
            }
            let room = self.capacity - state.load;
            // A heavy piece lets lighter ones pass: there is an end to them.
            if let Some(index) = state.waiting.iter().position(|(weight, _)| *weight <= room)
                && let Some((weight, work)) = state.waiting.remove(index)
            {
                state.load += weight;
                return Some(Piece { queue: self, weight, work });
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hands out nothing more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// A piece under way; its weight is free again when it is dropped.
#[derive(Debug)]
pub struct Piece<'q, T> {
    queue: &'q Queue<T>,
    weight: usize,
    /// What to do.
    pub work: T,
}

impl<T> Piece<'_, T> {
    /// Something of the same weight that came of this piece and goes before all that waits.
    pub fn push(&self, work: T) {
        self.queue.lock().waiting.push_front((self.weight, work));
    }
}

impl<T> Drop for Piece<'_, T> {
    fn drop(&mut self) {
        self.queue.lock().load -= self.weight;
        self.queue.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn heavy_work_waits_and_lighter_work_passes() {
        let queue = Queue::new(2, [(1, 'a'), (2, 'b'), (1, 'c'), (9, 'd')]);
        let first = queue.take().unwrap();
        let second = queue.take().unwrap();
        assert_eq!((first.work, second.work), ('a', 'c'));
        first.push('e');
        drop(first);
        let third = queue.take().unwrap();
        assert_eq!(third.work, 'e');
        drop((second, third));
        assert_eq!(queue.take().unwrap().work, 'b');
        assert_eq!(queue.take().unwrap().work, 'd');
        assert!(queue.take().is_none());
    }

    #[test]
    fn nobody_leaves_while_work_may_still_come() {
        let queue = Queue::new(2, [(1, 3)]);
        let (load, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(piece) = queue.take() {
                        most.fetch_max(load.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        for _ in 0..2_usize.min(piece.work) {
                            piece.push(piece.work - 1);
                        }
                        thread::yield_now();
                        done.fetch_add(1, Ordering::SeqCst);
                        load.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 1 + 2 + 4 + 4);
        assert!(most.into_inner() <= 2);
    }

    #[test]
    fn a_closed_queue_hands_out_nothing() {
        let queue = Queue::new(1, [(1, ())]);
        queue.close();
        assert!(queue.take().is_none());
    }
}
