//! Work shared out to scoped threads; answers come back in the order of the work.

/// `work` done on every item by up to `threads` threads.
pub fn map<I: Send, O: Send>(items: Vec<I>, threads: usize, work: impl Fn(I) -> O + Sync) -> Vec<O> {
    if threads <= 1 || items.len() <= 1 {
        return items.into_iter().map(work).collect();
    }
    let share = items.len().div_ceil(threads);
    let mut shares: Vec<Vec<I>> = Vec::with_capacity(threads);
    let mut items = items.into_iter();
    loop {
        let next: Vec<I> = items.by_ref().take(share).collect();
        if next.is_empty() {
            break;
        }
        shares.push(next);
    }
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(work).collect::<Vec<O>>()))
            .collect();
        running
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_come_in_the_order_of_the_work() {
        for threads in [0, 1, 2, 3, 50] {
            let told = super::map((0..10).collect(), threads, |i: i32| i * i);
            assert_eq!(told, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
        }
    }
}
