use std::fmt::Write as _;

use super::*;

/// A stream of four actions: each person likes one; the number in the context tells what they did last.
fn stream(rows: usize) -> String {
    let mut text = "row,hh,ts,gap,b0,b1,b2,b3,r0,r1,r2,r3\n".to_owned();
    for row in 0..rows {
        let person = row % 10;
        let likes = |action: usize| u8::from(action == person % 4);
        let _ =
            write!(text, "{row},{person},2026-01-{:02} 10:{:02},{}", 1 + row / 60, row % 60, (row % 7) as f64 / 7.0);
        for action in (0..4).chain(0..4) {
            let _ = write!(text, ",{}", likes(action));
        }
        text.push('\n');
    }
    text
}

fn folder(rows: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stream.csv"), stream(rows)).unwrap();
    folder
}

fn play(input: &Path, train: &[PathBuf], seed: u64) -> Result<String, EvaluateError> {
    let out = input.join(format!("out{seed}.csv"));
    let run = Run { seed, ..Run::over(input, train, &out) };
    evaluate(&run)?;
    Ok(std::fs::read_to_string(out).unwrap())
}

fn answers(out: &str) -> Vec<(usize, f64)> {
    let answer = |line: &str| {
        let mut fields = line.split(',').skip(1);
        (fields.next().unwrap().parse().unwrap(), fields.next().unwrap().parse().unwrap())
    };
    out.lines().skip(1).map(answer).collect()
}

#[test]
fn habits_are_found_and_every_seed_replays() {
    let folder = folder(200);
    let first = play(folder.path(), &[], 1).unwrap();
    assert_eq!(first, play(folder.path(), &[], 1).unwrap());
    assert_ne!(first, play(folder.path(), &[], 2).unwrap());
    let answers = answers(&first);
    let liked = answers.iter().enumerate().skip(50).filter(|(row, (action, _))| *action == row % 10 % 4).count();
    assert!(liked > 120, "{liked} of 150");
    assert!(answers.iter().all(|(_, p)| *p >= 0.0015 && *p <= 1.0));
}

#[test]
fn what_comes_later_changes_nothing_before() {
    let (short, long) = (folder(60), folder(120));
    let (short, long) = (play(short.path(), &[], 1).unwrap(), play(long.path(), &[], 1).unwrap());
    assert!(long.starts_with(&short));
}

#[test]
fn only_the_reward_of_the_chosen_action_is_looked_at() {
    let folder = folder(80);
    let first = play(folder.path(), &[], 1).unwrap();
    let chosen = answers(&first);
    let text = stream(80);
    let mut lines = text.lines();
    let mut other = format!("{}\n", lines.next().unwrap());
    for (line, (action, _)) in lines.zip(&chosen) {
        let mut fields: Vec<&str> = line.split(',').collect();
        (0..4).filter(|a| a != action).for_each(|a| fields[8 + a] = "0.5");
        other.push_str(&fields.join(","));
        other.push('\n');
    }
    std::fs::write(folder.path().join("stream.csv"), other).unwrap();
    assert_eq!(first, play(folder.path(), &[], 1).unwrap());
}

#[test]
fn the_protocol_answers_as_the_file_does() {
    let folder = folder(40);
    let expected = answers(&play(folder.path(), &[], 1).unwrap());
    let (text, mut lines) = (stream(40), String::new());
    for (t, line) in text.lines().skip(1).enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let x = format!(
            "\"gap\":{},\"b0\":{},\"b1\":{},\"b2\":{},\"b3\":{}",
            fields[3], fields[4], fields[5], fields[6], fields[7]
        );
        let _ =
            writeln!(lines, "{{\"t\":{t},\"hh\":{},\"ts\":\"{}\",\"x\":{{{x}}},\"actions\":4}}", fields[1], fields[2]);
        let _ = writeln!(lines, "{{\"t\":{t},\"r\":{}}}", fields[8 + expected[t].0]);
    }
    let mut output = Vec::new();
    converse(Player::new(1), lines.as_bytes(), &mut output).unwrap();
    let got: Vec<(usize, f64)> = String::from_utf8(output)
        .unwrap()
        .lines()
        .map(|line| {
            let reply: serde_json::Value = serde_json::from_str(line).unwrap();
            (reply["a"].as_u64().unwrap() as usize, reply["p"].as_f64().unwrap())
        })
        .collect();
    assert_eq!(got, expected);
}

#[test]
fn odd_lines_are_borne_or_told() {
    let question = |t: u64, x: &str| format!("{{\"t\":{t},\"x\":{{{x}}},\"actions\":3}}\n");
    let say = |lines: String| {
        let mut output = Vec::new();
        converse(Player::new(1), lines.as_bytes(), &mut output).map(|_| String::from_utf8(output).unwrap())
    };
    // No household, no date, a number missing, rewards late, twice, unknown, or never: all borne.
    let lines = question(5, "\"a\":1.5")
        + &question(6, "\"a\":null")
        + &question(7, "")
        + "\n"
        + "{\"t\":6,\"r\":1}\n{\"t\":6,\"r\":1}\n{\"t\":99,\"r\":0}\n{\"t\":5,\"r\":0.5}\n";
    let answers = say(lines).unwrap();
    assert_eq!(answers.lines().count(), 3);
    assert!(!answers.contains("null"));
    let told = |lines: String| say(lines).unwrap_err().to_string();
    assert!(told("nonsense\n".to_owned()).contains("standard input: line 1"));
    assert!(told(question(1, "") + "{\"t\":1,\"r\":2}\n").contains("line 2: a reward of 2"));
    assert!(told("{\"t\":1}\n".to_owned()).contains("neither a question"));
    assert!(told("{\"t\":1,\"actions\":0}\n".to_owned()).contains("actions"));
}

#[test]
fn a_log_with_all_rewards_warms_it() {
    let (warm, cold) = (folder(120), folder(30));
    let hits = |answers: &[(usize, f64)]| answers.iter().enumerate().filter(|(row, (a, _))| *a == row % 10 % 4).count();
    let alone = hits(&answers(&play(cold.path(), &[], 1).unwrap()));
    let taught = hits(&answers(&play(cold.path(), &[warm.path().to_owned()], 1).unwrap()));
    assert!(taught >= 26 && taught >= alone, "{taught} against {alone} of 30");
    std::fs::write(cold.path().join("stream.csv"), "row,hh,ts,gap,r0,r1\n0,1,,0.5,7,0\n1,1,,0.5,7,7\n").unwrap();
    let told = play(cold.path(), &[], 1).unwrap_err().to_string();
    assert!(
        told.contains("stream.csv, line 2, column \"r") || told.contains("stream.csv, line 3, column \"r"),
        "{told}"
    );
    std::fs::write(cold.path().join("stream.csv"), "row,hh,ts,gap\n").unwrap();
    assert!(play(cold.path(), &[], 1).unwrap_err().to_string().contains("r0"));
}
