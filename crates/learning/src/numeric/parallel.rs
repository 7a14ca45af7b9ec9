//! Independent work shared out to threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// `work` for every item, by up to `threads` threads; the answers stand in the order of the items, so that they are the
/// same however many threads there are. Threads take the next item when they are done with one: items may differ in size.
pub fn map<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let (next, work) = (&AtomicUsize::new(0), &work);
    let share = move || {
        let mut done = Vec::new();
        while let Some((place, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
        {
            done.push((place, work(item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(share)).collect();
        let whole = |thread: std::thread::ScopedJoinHandle<'_, Vec<(usize, R)>>| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        running.into_iter().flat_map(whole).collect()
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_stand_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        for threads in [0, 1, 2, 7, 300] {
            let told = super::map(&items, threads, |i| i * i);
            assert!(told.iter().zip(&items).all(|(square, i)| *square == i * i) && told.len() == 100, "{threads}");
        }
        assert!(super::map(&[0_u8; 0], 3, |i| *i).is_empty());
    }

    #[test]
    #[should_panic(expected = "third")]
    fn what_breaks_in_a_thread_breaks_outside() {
        super::map(&[1, 2, 3], 2, |i| assert!(*i < 3, "the third"));
    }
}
