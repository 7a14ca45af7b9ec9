//! Lots without bookkeeping rows. All points ever credited to a member form one stream of positions;
//! a credit makes the range from the stream's end, a use takes the next range from the front (first
//! in, first out). Which lots a use touched is the overlap of ranges, so nothing on the posting path
//! reads history, however long it is.

use hunch_kernel::Points;

/// Half-open range of positions in a member's lot stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LotRange {
    pub lo: i64,
    pub hi: i64,
}

impl LotRange {
    pub fn len(self) -> i64 {
        (self.hi - self.lo).max(0)
    }

    pub fn is_empty(self) -> bool {
        self.hi <= self.lo
    }

    pub fn overlap(self, other: LotRange) -> LotRange {
        LotRange { lo: self.lo.max(other.lo), hi: self.hi.min(other.hi) }
    }

    /// The last `points` positions.
    pub fn tail(self, points: Points) -> LotRange {
        LotRange { lo: (self.hi - points.0).max(self.lo), hi: self.hi }
    }

    /// What is left without `voids`, which are sorted and disjoint.
    pub fn without(self, voids: &[LotRange]) -> Vec<LotRange> {
        let mut left = Vec::new();
        let mut from = self.lo;
        let first = voids.partition_point(|void| void.hi <= self.lo);
        for void in voids[first..].iter().take_while(|void| void.lo < self.hi) {
            let cut = self.overlap(*void);
            if cut.is_empty() {
                continue;
            }
            if from < cut.lo {
                left.push(LotRange { lo: from, hi: cut.lo });
            }
            from = from.max(cut.hi);
        }
        if from < self.hi {
            left.push(LotRange { lo: from, hi: self.hi });
        }
        left
    }
}

/// Where the front of the stream stands after `points` more are used, stepping over `voids` (sorted,
/// disjoint). The range from `consumed` to the answer holds exactly `points` positions that are not void.
pub(crate) fn consume(consumed: i64, points: Points, voids: &[LotRange]) -> i64 {
    let mut at = consumed;
    let mut needed = points.0;
    for void in voids.iter().filter(|v| v.hi > consumed) {
        let free = (void.lo - at).max(0);
        if needed <= free {
            return at + needed;
        }
        needed -= free;
        at = at.max(void.hi);
    }
    at + needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn voids() -> impl Strategy<Value = Vec<LotRange>> {
        proptest::collection::vec((0i64..20, 1i64..20), 0..8).prop_map(|gaps| {
            let mut at = 0;
            gaps.into_iter()
                .map(|(gap, length)| {
                    let lo = at + gap;
                    at = lo + length;
                    LotRange { lo, hi: at }
                })
                .collect()
        })
    }

    proptest! {
        /// A use takes exactly as many positions as points, none of them void.
        #[test]
        fn a_use_takes_exactly_its_points(voids in voids(), from in 0i64..100, points in 1i64..200) {
            let to = consume(from, Points(points), &voids);
            let used: i64 = LotRange { lo: from, hi: to }.without(&voids).iter().map(|r| r.len()).sum();
            prop_assert_eq!(used, points);
        }

        /// Cutting voids out loses and doubles nothing.
        #[test]
        fn cutting_is_exact(voids in voids(), lo in 0i64..100, length in 0i64..100) {
            let whole = LotRange { lo, hi: lo + length };
            let cut: i64 = voids.iter().map(|v| whole.overlap(*v).len()).sum();
            let left: i64 = whole.without(&voids).iter().map(|r| r.len()).sum();
            prop_assert_eq!(cut + left, whole.len());
        }
    }
}
