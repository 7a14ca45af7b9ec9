//! How long people wait when they come by chance to several who serve.
//!
//! Erlang (1917): arrivals of a Poisson stream, service times exponential, all who wait stay. `load` is the work that
//! arrives: arrivals per hour times hours of service each, in erlangs.

/// Probability that one who arrives is turned away where nobody may wait (Erlang B).
///
/// `load` in erlangs, not negative. By the recursion in the number of servers, which never overflows.
pub fn blocked(servers: u32, load: f64) -> f64 {
    (1..=servers).fold(1.0, |lost, n| load * lost / (f64::from(n) + load * lost))
}

/// Probability that one who arrives must wait (Erlang C); 1 where the load is at least what the servers can do.
pub fn waits(servers: u32, load: f64) -> f64 {
    let servers_f = f64::from(servers);
    if load <= 0.0 {
        return 0.0;
    }
    if load >= servers_f {
        return 1.0;
    }
    let lost = blocked(servers, load);
    (lost / (1.0 - load / servers_f * (1.0 - lost))).min(1.0)
}

/// Share of those who arrive that are served within `patience`, in units of the service time.
pub fn served_within(servers: u32, load: f64, patience: f64) -> f64 {
    if load >= f64::from(servers) && load > 0.0 {
        return 0.0;
    }
    1.0 - waits(servers, load) * libm::exp(-(f64::from(servers) - load) * patience)
}

/// Mean wait of all who arrive, in units of the service time; infinite where the load is too much.
pub fn mean_wait(servers: u32, load: f64) -> f64 {
    if load <= 0.0 {
        0.0
    } else if load >= f64::from(servers) {
        f64::INFINITY
    } else {
        waits(servers, load) / (f64::from(servers) - load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Published Erlang B traffic tables: the load that n servers bear with one in a hundred turned away.
    #[test]
    fn loads_of_the_erlang_b_table_lose_one_percent() {
        for (servers, load) in [(1, 0.0101), (2, 0.153), (3, 0.455), (5, 1.36), (10, 4.46), (20, 12.0), (50, 37.9)] {
            let lost = blocked(servers, load);
            assert!((lost - 0.01).abs() < 3e-4, "{servers} {load}: {lost}");
        }
    }

    /// Closed forms: with one server all who find it busy wait, C = a; with two, C = a^2 / (2 + a).
    #[test]
    fn erlang_c_has_its_known_values() {
        assert!((waits(1, 0.7) - 0.7).abs() < 1e-12);
        assert!((waits(2, 1.0) - 1.0 / 3.0).abs() < 1e-12);
        assert!((waits(3, 2.0) - 4.0 / 9.0).abs() < 1e-12);
        // The worked example of the Erlang C guides for call centres: 360 calls in half an hour of 240 s each, 55 agents:
        // C = 0.239, 8.2 s mean wait.
        assert!((waits(55, 48.0) - 0.239).abs() < 1e-3);
        assert!((240.0 * mean_wait(55, 48.0) - 8.2).abs() < 0.05);
    }

    proptest! {
        /// More hands, less waiting; all numbers are probabilities.
        #[test]
        fn another_server_helps(servers in 1_u32..200, load in 0.0_f64..220.0, patience in 0.0_f64..5.0) {
            let (one, more) = (served_within(servers, load, patience), served_within(servers + 1, load, patience));
            prop_assert!((0.0..=1.0).contains(&one) && more >= one - 1e-12);
            prop_assert!(mean_wait(servers + 1, load) <= mean_wait(servers, load));
        }
    }
}
