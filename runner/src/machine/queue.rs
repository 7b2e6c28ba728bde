//! Work for several threads, some of which comes of other work.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Pieces of work that wait for a thread.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    /// Pieces under way.
    busy: usize,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue of `work`.
    pub fn new(work: impl IntoIterator<Item = T>) -> Self {
        let state = State { waiting: work.into_iter().collect(), busy: 0, closed: false };
        Queue { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first piece, once there is one; `None` when there will be none.
    pub fn take(&self) -> Option<Piece<'_, T>> {
        let mut state = self.lock();
        loop {
            if state.closed || (state.waiting.is_empty() && state.busy == 0) {
                return None;
            }
            if let Some(work) = state.waiting.pop_front() {
                state.busy += 1;
                return Some(Piece { queue: self, work });
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

/// A piece under way, until it is dropped.
#[derive(Debug)]
pub struct Piece<'q, T> {
    queue: &'q Queue<T>,
    /// What to do.
    pub work: T,
}

impl<T> Piece<'_, T> {
    /// Something that came of this piece and goes before all that waits.
    pub fn push(&self, work: T) {
        self.queue.lock().waiting.push_front(work);
        self.queue.changed.notify_one();
    }
}

impl<T> Drop for Piece<'_, T> {
    fn drop(&mut self) {
        self.queue.lock().busy -= 1;
        self.queue.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn what_came_of_a_piece_goes_before_the_rest() {
        let queue = Queue::new(['a', 'b']);
        let first = queue.take().unwrap();
        first.push('c');
        drop(first);
        assert_eq!(queue.take().unwrap().work, 'c');
        assert_eq!(queue.take().unwrap().work, 'b');
        assert!(queue.take().is_none());
    }

    #[test]
    fn nobody_leaves_while_work_may_still_come() {
        let queue = Queue::new([3]);
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(piece) = queue.take() {
                        for _ in 0..2_usize.min(piece.work) {
                            piece.push(piece.work - 1);
                        }
                        thread::yield_now();
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 1 + 2 + 4 + 4);
    }

    #[test]
    fn a_closed_queue_hands_out_nothing() {
        let queue = Queue::new([()]);
        queue.close();
        assert!(queue.take().is_none());
    }
}
