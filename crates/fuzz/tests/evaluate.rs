//! What `hunch evaluate` says of folders that are not as they should be, and that threads change nothing.

use std::error::Error;
use std::fs;
use std::path::Path;

use hunch_fuzz::evaluate::outcome;

fn seed(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/evaluate");
    fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Seeds that are refused, and what the refusal says.
const REFUSED: &[(&str, &[&str])] = &[
    ("churn_cutoff", &["in/task.json: the cutoff \"soon\" is not a date or a date with a time"]),
    ("churn_no_days", &["in/task.json: horizon_days is 0, at least 1 is needed"]),
    (
        "demand_ages_apart",
        &["in/history.csv, line 3, column \"ts\"", "this is more than 350000 rows after the first one"],
    ),
    ("demand_doubled", &["in/history.csv, line 3, column \"ts\"", "this time stood before, or a later one did"]),
    ("demand_events_huge", &["in/events.csv, line 2, column \"size\"", "1e308 is more than can be reckoned with"]),
    ("demand_far_horizon", &["in/task.json: a horizon is 1 to 8784 rows, not 1000000000000000"]),
    ("demand_huge", &["in/history.csv, line 2, column \"b\"", "1e307 is more than can be reckoned with"]),
    ("demand_infinite", &["in/history.csv, line 2, column \"a\"", "inf is not finite"]),
    ("demand_lists_empty", &["in/history.csv: there is no series"]),
    (
        "demand_lists_not_numbers",
        &["in/history.csv, line 2, column \"values\"", "these are not all finite numbers of usual size"],
    ),
    ("demand_no_horizon", &["in/task.json: a horizon is 1 to 8784 rows, not 0"]),
    ("demand_no_origin", &["in/task.json: there is no origin"]),
    ("demand_no_series", &["in/history.csv: there is no series"]),
    (
        "demand_origin_ages_later",
        &["in/history.csv: it begins 2024-01-02 00:00, more than 350000 rows before an origin"],
    ),
    ("demand_origin_odd", &["in/task.json: origin \"soon\" is not a time on the grid"]),
    ("demand_out_of_order", &["in/history.csv, line 3, column \"ts\"", "this time stood before, or a later one did"]),
    (
        "fraud_back_in_time",
        &["in/stream.csv, line 3, column \"ds\"", "\"-3\" is not a whole number that can be used here"],
    ),
    ("fraud_delay", &["in/task.json: label_delay_days is -1"]),
    ("fraud_label", &["in/stream.csv, line 2, column \"fraud\"", "it must be 0, 1 or empty"]),
    (
        "fraud_negative",
        &["in/stream.csv, line 2, column \"cents\"", "\"-5\" is not a whole number that can be used here"],
    ),
    ("fraud_packed_badly", &["in/stream.csv.gz", "gzip"]),
    ("fraud_too_much", &["in/stream.csv, line 2, column \"cents\"", "it is more than can be reckoned with"]),
    ("lmsr_huge", &["in/trades.csv, line 2, column \"transaction_shares\"", "1e308 is more than can be reckoned with"]),
    ("lmsr_infinite", &["in/trades.csv, line 2, column \"transaction_shares\"", "inf is not finite"]),
    ("lmsr_kind", &["in/trades.csv, line 2, column \"transaction_type\"", "buy or sell is needed here"]),
    ("ltv_column_twice", &["in/log.csv: the header names \"value\" twice"]),
    ("ltv_date", &["in/log.csv, line 2, column \"ts\"", "a date is needed here, with or without a time"]),
    ("ltv_empty", &["in/log.csv: no purchase up to 2024-03-01T23:59:59.999999999"]),
    ("ltv_huge", &["in/log.csv, line 2, column \"value\"", "1e308 is more than can be reckoned with"]),
    ("ltv_infinite", &["in/log.csv, line 2, column \"value\"", "inf is not finite"]),
    ("ltv_negative", &["in/log.csv, line 3, column \"value\"", "-3 is negative; a refund comes off its purchase"]),
    ("ltv_no_column", &["in/log.csv has no column \"value\""]),
    ("ltv_ragged", &["in/log.csv", "line: 2"]),
    ("metric-anomaly_huge", &["in/series/a.csv, line 2, column \"value\"", "1e308 is more than can be reckoned with"]),
    ("metric-anomaly_infinite", &["in/series/a.csv, line 2, column \"value\"", "inf is not finite"]),
    (
        "metric-anomaly_leap",
        &["in/series/a.csv, line 52, column \"value\"", "1e+300 is more than can be reckoned with"],
    ),
    ("metric-anomaly_no_column", &["in/series/a.csv has no column \"value\""]),
    ("metric-anomaly_nothing", &["in/series cannot be read", "No such file"]),
    ("nba_infinite", &["in/stream.csv, line 2, column \"x\"", "nan is not finite"]),
    ("nba_nameless_column", &["in/stream.csv, line 2, column \"column 3\"", "\"2024-01-01 10:00\" is not a number"]),
    ("nba_no_reward", &["in/stream.csv has no column \"r0\""]),
    ("nba_one_action", &["in/stream.csv, line 4, column \"x\"", "1e308 is more than can be reckoned with"]),
    ("nba_protocol_neither", &["standard input: line 1: neither a question (\"actions\") nor a reward (\"r\")"]),
    ("nba_protocol_no_action", &["standard input: line 1: there must be 1 to 100000 actions"]),
    ("nba_protocol_reward", &["standard input: line 2: a reward of 7 is outside what this bandit learns from"]),
    ("nba_reward_above_one", &["in/stream.csv, line 3, column \"r0\"", "a reward is from 0 to 1"]),
    ("no_such_task", &["no task \"fortune\"", "there are nba, ope"]),
    ("obd_click_huge", &["in/random.csv, line 22, column \"click\"", "1e308 is more than can be reckoned with"]),
    ("obd_click_nan", &["in/random.csv, line 22, column \"click\"", "nan is not finite"]),
    ("obd_empty", &["random.csv: there are no decisions"]),
    ("obd_no_policy", &["in/random.csv, line 2, column \"position\"", "policy_bts.csv does not name it"]),
    ("obd_propensity_0", &["in/random.csv, line 2, column \"propensity\"", "a propensity is from 1e-12 to 1"]),
    (
        "offer_doubled",
        &["in/input.csv, line 5, column \"household_id\"", "this household stands in this campaign already"],
    ),
    (
        "offer_ends_before_start",
        &["train/train.csv, line 2, column \"end_date\"", "the campaign ends before it starts"],
    ),
    ("offer_no_train", &["offer needs a --train folder with train.csv to learn from"]),
    ("offer_outcome", &["train/train.csv, line 2, column \"redeemed\"", "0 or 1 is needed here"]),
    ("ope_context_huge", &["in/context.csv, line 2, column \"a0\"", "1e308 is more than can be reckoned with"]),
    ("ope_context_missing", &["in/context.csv is not there, neither plain nor with .gz"]),
    ("ope_empty", &["in/log.csv: it has no decisions"]),
    ("ope_no_overlap", &["replicate 0 of log.csv: the log never chose what the policy would choose"]),
    ("ope_propensity_0", &["in/log.csv, line 2, column \"propensity\"", "a propensity is from 1e-12 to 1"]),
    ("ope_propensity_tiny", &["in/log.csv, line 2, column \"propensity\"", "a propensity is from 1e-12 to 1"]),
    ("ope_reward_huge", &["in/log.csv, line 2, column \"reward\"", "1e300 is more than can be reckoned with"]),
    ("policy_arm_left_out", &["train.csv: every arm needs fifty people or more"]),
    ("policy_constant", &["train.csv: every arm needs fifty people or more"]),
    ("policy_empty", &["train.csv: every arm needs fifty people or more"]),
    ("policy_huge", &["train/train.csv, line 2, column \"recency\"", "1e308 is more than can be reckoned with"]),
    ("policy_input_empty", &["train.csv: every arm needs fifty people or more"]),
    ("policy_no_train", &["policy needs one --train DIR, with train.csv"]),
    ("policy_one_arm", &["train.csv: every arm needs fifty people or more"]),
    ("policy_one_row", &["train.csv: every arm needs fifty people or more"]),
    ("policy_propensity_0", &["train/train.csv, line 2, column \"propensity\"", "a propensity is from 1e-12 to 1"]),
    ("policy_propensity_tiny", &["train/train.csv, line 2, column \"propensity\"", "a propensity is from 1e-12 to 1"]),
    ("recs_twice", &["in/candidates.csv, line 2, column \"candidates\"", "a candidate is there twice"]),
    ("recs_vectors_huge", &["in/text_vectors.csv, line 2, column \"v0\"", "1e308 is more than can be reckoned with"]),
    ("recs_vectors_infinite", &["in/text_vectors.csv, line 2, column \"v0\"", "inf is not finite"]),
    ("table-anomaly_huge", &["in/a.csv, line 2, column \"x0\"", "1.7e308 is more than can be reckoned with"]),
    ("table-anomaly_infinite", &["in/a.csv, line 3, column \"x0\"", "inf is not finite"]),
    ("table-anomaly_none", &["in has no CSV file with columns x0, x1, …"]),
    ("winprob_doubled", &["in/stream.csv: line 3: row 0 is there twice"]),
    (
        "winprob_negative_quantity",
        &["in/stream.csv, line 2, column \"quantity\"", "-1 is no amount: a finite number from 0 up is needed"],
    ),
    ("winprob_no_column", &["in/stream.csv has no column \"value\""]),
    ("winprob_orders_odd", &["in/stream.csv, line 3, column \"quantity\"", "1e308 is more than can be reckoned with"]),
    ("winprob_value_above_one", &["in/stream.csv, line 2, column \"value\"", "1.5 is not a probability from 0 to 1"]),
];

#[test]
fn a_refusal_names_what_is_wrong() {
    for (name, words) in REFUSED {
        let refusal = outcome(&seed(name), 1).unwrap().err().unwrap_or_else(|| panic!("{name} was not refused"));
        let cause = refusal.source().map(|source| format!(": {source}")).unwrap_or_default();
        let sentence = format!("{refusal}{cause}");
        for word in *words {
            assert!(sentence.contains(word), "{name}: {word:?} is not in {sentence:?}");
        }
    }
}

/// Every folder gives the same bytes, or a refusal, however many threads work on it; and none is refused that the table
/// above does not name.
#[test]
fn threads_change_nothing() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/evaluate")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let [one, three] = [1, 3].map(|threads| outcome(&bytes, threads).unwrap());
        let refused = REFUSED.iter().any(|(name, _)| path.ends_with(name));
        assert_eq!([one.is_err(), three.is_err()], [refused; 2], "{}", path.display());
        assert!(one.ok() == three.ok(), "{}", path.display());
    }
}
