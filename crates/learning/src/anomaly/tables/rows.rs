//! The same work for every row, on as many threads as the caller allows.

/// `score(row)` for every row below `rows`, in order. Each row is worked on by one thread alone, so the number of
/// threads changes no bit of the result.
pub fn each(rows: usize, threads: usize, score: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
    let mut out = vec![0.0; rows];
    let share = rows.div_ceil(threads.max(1)).max(1);
    let fill = |first: usize, part: &mut [f64]| {
        for (i, out) in part.iter_mut().enumerate() {
            *out = score(first + i);
        }
    };
    if share >= rows {
        fill(0, &mut out);
        return out;
    }
    std::thread::scope(|scope| {
        for (i, part) in out.chunks_mut(share).enumerate() {
            let fill = &fill;
            scope.spawn(move || fill(i * share, part));
        }
    });
    out
}
