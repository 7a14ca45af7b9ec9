//! A model card (Mitchell et al. 2019), generated from the model's file alone: whoever holds the file can make it.

use super::artifact::{Artifact, Better, Metric};
use super::drift::{CALIBRATION_GAP_ALARM, PSI_ALARM, PSI_WATCH};

/// The card in Markdown.
pub fn card(model: &Artifact) -> String {
    let sha256 = model.sha256().unwrap_or_else(|e| format!("none: {e}"));
    let (window, judged, purpose) = (&model.window, &model.judged, &model.purpose);
    let mut text = format!("# {}\n\n", if purpose.title.is_empty() { &model.kind } else { &purpose.title });
    let mut line = |name: &str, value: &str| text.push_str(&format!("- **{name}:** {value}\n"));
    line("Kind", &model.kind);
    line("File's SHA-256", &sha256);
    line("Made by", &format!("hunch {}, seed {}", model.code_version, model.seed));
    line("Owner", &purpose.owner_role);
    text.push_str(&format!("\n## Intended use\n\n{}\n\n## Must not be used\n\n", purpose.intended_use));
    purpose.must_not.iter().for_each(|sentence| text.push_str(&format!("- {sentence}\n")));
    text.push_str(&format!(
        "\n## Data\n\n{} rows, from {} to {}; SHA-256 of the files read: {}.\n",
        window.rows, window.from, window.to, window.sha256
    ));
    text.push_str(&format!(
        "\n## How well\n\n{} Judged on {} rows after {}, up to {}.\n\n| metric | model | baseline | which baseline | better | gate | beaten |\n|---|---|---|---|---|---|---|\n",
        judged.how, judged.rows, judged.learned_until, judged.to
    ));
    model.metrics.iter().for_each(|metric| text.push_str(&row(metric)));
    text.push_str(&format!(
        "\n## Drift alarms\n\n- Population stability index of a feature or score: watch from {PSI_WATCH}, alarm from {PSI_ALARM}, and only \
         beyond what chance alone gives at that number of rows.\n- Calibration: alarm when the mean gap over ten bins reaches \
         {CALIBRATION_GAP_ALARM} and the bins differ from the predictions beyond chance (one in a thousand).\n"
    ));
    if !model.reference.is_empty() {
        let names: Vec<&str> = model.reference.iter().map(|reference| reference.name.as_str()).collect();
        text.push_str(&format!("- Watched: {}.\n", names.join(", ")));
    }
    text
}

fn row(metric: &Metric) -> String {
    let yes = |is: bool| if is { "yes" } else { "no" };
    let better = match metric.better {
        Better::Lower => "lower",
        Better::Higher => "higher",
    };
    format!(
        "| {} | {:.5} | {:.5} | {} | {better} | {} | {} |\n",
        metric.name,
        metric.value,
        metric.baseline,
        metric.baseline_name,
        yes(metric.gate),
        yes(metric.beats())
    )
}

#[cfg(test)]
mod tests {
    use super::super::artifact::tests::model;
    use super::super::{Judged, Purpose, Reference};
    use super::*;

    #[test]
    fn a_card_says_what_must_be_known() {
        let mut churn = model(&[1.0]);
        churn.judged = Judged {
            learned_until: "2026-05-01".to_owned(),
            to: "2026-06-30".to_owned(),
            rows: 2,
            how: "One earlier cut-off.".to_owned(),
        };
        churn.purpose = Purpose {
            title: "Who will not come back".to_owned(),
            owner_role: "loyalty manager".to_owned(),
            intended_use: "Choosing whom to greet.".to_owned(),
            must_not: vec!["To set prices.".to_owned()],
        };
        churn.reference = vec![Reference::new("score", &[0.1, 0.2, 0.3], 2).unwrap()];
        let text = card(&churn);
        for needed in [
            "# Who will not come back",
            "loyalty manager",
            "Choosing whom to greet.",
            "- To set prices.",
            "3 rows, from 2026-01-01 to 2026-06-30",
            "after 2026-05-01, up to 2026-06-30",
            "| log loss | 0.40000 | 0.50000 | base rate | lower | yes | yes |",
            "alarm from 0.25",
            "Watched: score",
            &churn.sha256().unwrap(),
        ] {
            assert!(text.contains(needed), "{needed:?} is not in\n{text}");
        }
    }
}
