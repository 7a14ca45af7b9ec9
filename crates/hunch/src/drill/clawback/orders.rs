//! Every order in which a member's purchases, stake and returns can fall between a market's result and its corrections.

/// What happens. The first five are the member's own, the last four happen to the whole market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    BuyFirst,
    BuySecond,
    Stake,
    ReturnFirst,
    ReturnSecond,
    Paid,
    Corrected,
    CorrectedBack,
    CorrectedAgain,
}

const STEPS: [Step; 9] = [
    Step::BuyFirst,
    Step::BuySecond,
    Step::Stake,
    Step::ReturnFirst,
    Step::ReturnSecond,
    Step::Paid,
    Step::Corrected,
    Step::CorrectedBack,
    Step::CorrectedAgain,
];

pub type Order = Vec<Step>;

/// Every order in which each step can be done when its turn comes.
pub fn all() -> Vec<Order> {
    let mut orders = Vec::new();
    extend(&mut Vec::new(), &mut orders);
    orders
}

fn extend(order: &mut Order, orders: &mut Vec<Order>) {
    if order.len() == STEPS.len() {
        orders.push(order.clone());
        return;
    }
    for step in STEPS {
        if possible(step, order) {
            order.push(step);
            extend(order, orders);
            order.pop();
        }
    }
}

fn possible(step: Step, done: &[Step]) -> bool {
    let was = |step: Step| done.contains(&step);
    !was(step)
        && match step {
            Step::BuyFirst => true,
            Step::BuySecond | Step::ReturnFirst => was(Step::BuyFirst),
            Step::ReturnSecond => was(Step::BuySecond),
            // A whole receipt's points are there to be staked.
            Step::Stake => {
                let first = was(Step::BuyFirst) && !was(Step::ReturnFirst);
                let second = was(Step::BuySecond) && !was(Step::ReturnSecond);
                first || second
            }
            Step::Paid => was(Step::Stake),
            Step::Corrected => was(Step::Paid),
            Step::CorrectedBack => was(Step::Corrected),
            Step::CorrectedAgain => was(Step::CorrectedBack),
        }
}

/// The member's own steps before the result, between it and the first correction, and so on.
pub fn phases(order: &Order) -> [Vec<Step>; 5] {
    let mut phases: [Vec<Step>; 5] = Default::default();
    let mut at = 0;
    for step in order {
        match step {
            Step::Paid | Step::Corrected | Step::CorrectedBack | Step::CorrectedAgain => at += 1,
            own => phases[at].push(*own),
        }
    }
    phases
}

/// So many of them, from all over the list.
pub fn spread<T: Clone>(all: &[T], wanted: usize) -> Vec<T> {
    let (have, wanted) = (all.len(), wanted.min(all.len()));
    (0..wanted).map(|n| all[n * have / wanted].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn there_are_enough_orders_and_no_two_are_the_same() {
        let orders = all();
        // Each is lived twice: with a market that is won first, and with one that is lost first.
        assert!(orders.len() * 2 >= 200, "{}", orders.len());
        let told: HashSet<String> = orders.iter().map(|order| format!("{order:?}")).collect();
        assert_eq!(told.len(), orders.len());
        assert!(orders.iter().all(|order| phases(order)[0].contains(&Step::Stake)));
    }

    #[test]
    fn a_spread_is_of_different_orders() {
        let some: HashSet<String> = spread(&all(), 24).iter().map(|order| format!("{order:?}")).collect();
        assert_eq!(some.len(), 24);
    }
}
