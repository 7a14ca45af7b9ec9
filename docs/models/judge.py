"""Makes docs/models.md: runs every task of `hunch evaluate` on every data set, has it judged, and sets it beside the anchors.

Run by `cargo xtask models`. HUNCH_DATA_DIR names the folder with the data sets and, in `score`, the programs that judge
predictions; without it there is nothing to judge. Nothing here is known to the models: they get directories only.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

HERE = pathlib.Path(__file__).resolve().parent

LOW, HIGH = "lower", "higher"


def near(target):
    return ("near", target)


LTV = {"tx_mae": LOW, "tx_rmse": LOW, "tx_abs_bias": LOW, "tx_corr": HIGH, "spend_mae": LOW, "spend_abs_bias": LOW,
       "spend_gini": HIGH, "spend_top10": HIGH}
CHURN = {"churn_auc": HIGH, "churn_ap": HIGH, "churn_brier": LOW, "churn_logloss": LOW, "churn_ece": LOW}
DEMAND = {"mase": LOW, "smape": LOW, "wape": LOW, "wql": LOW, "scaled_ql": LOW, "msis80": LOW, "cover80": near(0.80),
          "cover95": near(0.95)}
CUSTOMERS = ("cdnow", "journey", "online_retail")
PLACES = ("footfall_hourly", "footfall_daily", "store_daily", "store_hourly", "m4_hourly")

# Heading, task, set, judge, metrics.
JUDGED = [
    *[("Lifetime value", "ltv", name, "eval_ltv.py", LTV) for name in CUSTOMERS],
    *[("Churn", "churn", name, "eval_churn.py", CHURN) for name in CUSTOMERS],
    ("Off-policy evaluation", "ope", "ope", "eval_ope.py",
     {"best_estimator_rel_rmse": LOW, "ips_rel_rmse": LOW, "snips_rel_rmse": LOW, "dm_rel_rmse": LOW, "dr_rel_rmse": LOW,
      "sndr_rel_rmse": LOW, "switch-dr_rel_rmse": LOW, "ips_ci95_coverage": near(0.95), "snips_ci95_coverage": near(0.95),
      "dm_ci95_coverage": near(0.95), "dr_ci95_coverage": near(0.95), "sndr_ci95_coverage": near(0.95),
      "switch-dr_ci95_coverage": near(0.95), "parity_max_abs_diff": LOW}),
    ("Off-policy evaluation, real log", "obd", "obd", "eval_obd.py",
     {f"{e}_{m}": d for e in ("ips", "snips", "dm", "dr", "sndr") for m, d in (("rel_err_full_data", LOW), ("ci_holds_truth", HIGH))}),
    *[("Demand", "demand", name, "eval_forecast.py", DEMAND) for name in PLACES],
    ("Win probability", "winprob", "predictionbook", "eval_winprob.py",
     {"brier": LOW, "logloss": LOW, "ece": LOW, "auc": HIGH, "accuracy": HIGH, "brier_per_question": LOW}),
    ("Win probability", "winprob", "gjp_market", "eval_winprob.py",
     {"brier": LOW, "logloss": LOW, "ece": LOW, "auc": HIGH, "accuracy": HIGH, "brier_per_market": LOW}),
    ("Market ranking", "recs", "predictionbook", "eval_recs.py", {"hr10": HIGH, "ndcg10": HIGH, "mrr": HIGH, "won_ndcg10": HIGH}),
    ("Market maker", "lmsr", "lmsr_trades", "eval_lmsr.py", {"max_abs_diff": LOW, "median_abs_diff": LOW}),
    ("Card fraud", "fraud", "card_fraud", "eval_fraud.py", {"auc": HIGH, "ap": HIGH, "cp100": HIGH, "precision_top1pct": HIGH}),
    ("Metric anomalies", "metric-anomaly", "metric_streams", "eval_stream_anomaly.py",
     {"nab_standard": HIGH, "nab_low_fp": HIGH, "nab_low_fn": HIGH, "nab_own_threshold": HIGH, "windows_hit": HIGH,
      "false_alerts_per_1000": LOW}),
    ("Table outliers", "table-anomaly", "tabular_anomaly", "eval_tabular_anomaly.py", {"mean_auc": HIGH, "mean_ap": HIGH}),
    ("Offer response", "offer", "offer", "eval_offer.py", {"auc": HIGH, "auc_within_campaign": HIGH, "ap": HIGH, "brier": LOW, "logloss": LOW, "ece": LOW}),
    ("Targeting", "policy", "hillstrom", "eval_policy.py", {"visit_value": HIGH, "net_visit_at_cost_0.05": HIGH}),
]
NOTES = {"gjp_market": [
    "", "A weak test: 977 rows of 16 contracts in 11 markets of one exchange, three of ten rows YES, and the anchors are no models. "
    "The starting coefficients come from a year of such an exchange too."]}
NBA = {"reward": HIGH, "reward_last_quarter": HIGH, "propensity_support_err": LOW, "snips_of_uniform_rel_err": LOW}


class Judge:
    def __init__(self, args):
        self.data, self.hunch, self.work = args.data.resolve(), args.hunch.resolve(), args.work.resolve()
        self.examples = args.examples.resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.anchors = {}

    def evaluate(self, task, folder, out, *more):
        command = [self.hunch, "evaluate", task, "--in", folder, "--out", out, *more]
        began = time.perf_counter()
        subprocess.run([str(part) for part in command], check=True)
        return time.perf_counter() - began

    def score(self, program, folder, predictions):
        scorer = self.data / "score" / program
        told = subprocess.run([sys.executable, scorer.name, str(folder), str(predictions), "--json"], cwd=scorer.parent,
                              capture_output=True, text=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
        if told.returncode:
            raise RuntimeError(f"{program} on {folder.name}: {told.stderr or told.stdout}")
        return json.loads(told.stdout.strip().splitlines()[-1])

    def anchors_of(self, name):
        file = self.data / name / "anchors.json"
        return json.loads(file.read_text())["anchors"] if file.exists() else {}

    # Sets that come without a judged half get one here; later or unseen rows are the judged ones.
    def prepared(self, name):
        folder = self.data / name
        if (folder / "truth.csv").exists() or name in ("obd", "lmsr_trades", "metric_streams", *PLACES):
            return folder, [], self.anchors_of(name)
        made = self.work / name
        for part in ("in", "train"):
            (made / part).mkdir(parents=True, exist_ok=True)
        return getattr(self, f"split_{name}")(folder, made)

    def split_hillstrom(self, folder, made):
        rows = pd.read_csv(folder / "train.csv")
        judged = np.random.default_rng(7).random(len(rows)) < 0.5
        rows[~judged].to_csv(made / "train" / "train.csv", index=False)
        hidden = ["action", "visit", "conversion", "spend", "propensity"]
        rows[judged].drop(columns=hidden).to_csv(made / "in" / "input.csv", index=False)
        truth = rows.loc[judged, ["row", *hidden]]
        truth.to_csv(made / "in" / "truth.csv", index=False)
        plans = {"nobody": 0, "men's mail to all": 1, "women's mail to all": 2}
        anchors = {}
        for plan, action in plans.items():
            fixed = truth[["row"]].assign(**{f"p{a}": float(a == action) for a in range(3)})
            fixed.to_csv(self.work / "fixed.csv", index=False)
            anchors[plan] = self.score("eval_policy.py", made / "in", self.work / "fixed.csv")
        return made / "in", ["--train", made / "train", "--cost", "0.05"], anchors

    def split_offer(self, folder, made):
        rows = pd.read_csv(folder / "train.csv")
        starts = rows.groupby("campaign_id").start_date.first().sort_values()
        later = set(starts.index[len(starts) * 3 // 5:])
        cut = starts[list(later)].min()
        judged = rows.campaign_id.isin(later)
        known = rows[~judged & (rows.end_date < cut)]
        known.to_csv(made / "train" / "train.csv", index=False)
        redeemed = pd.read_csv(folder / "redemptions.csv")
        redeemed[redeemed.date < cut].to_csv(made / "train" / "redemptions.csv", index=False)
        rows[judged].drop(columns="redeemed").to_csv(made / "in" / "input.csv", index=False)
        truth = rows[judged]
        truth.to_csv(made / "in" / "truth.csv", index=False)
        rate = known.groupby("campaign_type").redeemed.mean()
        truth.assign(p_redeem=truth.campaign_type.map(rate).fillna(known.redeemed.mean()))[
            ["household_id", "campaign_id", "p_redeem"]].to_csv(self.work / "fixed.csv", index=False)
        anchors = {"rate of the campaign's type": self.score("eval_offer.py", made / "in", self.work / "fixed.csv")}
        log = made / "log"
        log.mkdir(exist_ok=True)
        for file in ("log.csv", "task.json"):
            (log / file).write_bytes((self.data / "journey" / file).read_bytes())
        return made / "in", ["--train", made / "train", "--train", log], anchors

    def year_before(self, name):
        """A forecast every four weeks of the year before the judged ones; None where the history is too short for it."""
        task = json.loads((self.data / name / "task.json").read_text())
        times = pd.to_datetime(pd.read_csv(self.data / name / "history.csv", usecols=[0]).iloc[:, 0])
        first = pd.Timestamp(task["origins"][0])
        origins = [first - pd.Timedelta(28 * back, "D") for back in range(13, 0, -1)]
        if (origins[0] - times.iloc[0]).days < 180:
            return None
        made = self.work / f"{name}-year"
        made.mkdir(parents=True, exist_ok=True)
        written = "%Y-%m-%d" if task["unit"] == "D" else "%Y-%m-%d %H:%M"
        (made / "task.json").write_text(json.dumps(task | {"origins": [origin.strftime(written) for origin in origins]}))
        (made / "history.csv").write_bytes((self.data / name / "history.csv").read_bytes())
        self.evaluate("demand", made, self.work / f"demand-{name}-year.csv")
        return self.score("eval_forecast.py", made, self.work / f"demand-{name}-year.csv")

    def simple_prices(self):
        """What can be said of a contract without a model: nothing, the price of the order, the mean of its last ten orders."""
        truth = pd.read_csv(self.data / "gjp_market" / "truth.csv")
        stream = pd.read_csv(self.data / "gjp_market" / "stream.csv")
        orders = stream[stream.kind == "O"]
        recent = orders.groupby(["market", "contract"]).price.transform(lambda price: price.rolling(10, min_periods=1).mean())
        said = {"always one half": orders.assign(p_yes=0.5), "price of the order": orders.assign(p_yes=orders.price),
                "mean of the last ten orders": orders.assign(p_yes=recent)}
        return {name: self.judged(truth, rows) for name, rows in said.items()}

    def judged(self, truth, rows):
        truth[["row"]].merge(rows, on="row")[["row", "p_yes"]].to_csv(self.work / "fixed.csv", index=False)
        return self.score("eval_winprob.py", self.data / "gjp_market", self.work / "fixed.csv")

    def live(self, more=()):
        """The bandit, row by row over its protocol; gives metrics, rewards, microseconds from question to answer, and what it says of its own."""
        stream = pd.read_csv(self.data / "nba_category" / "stream.csv")
        reward = [c for c in stream if c[0] == "r" and c[1:].isdigit()]
        context = [c for c in stream if c not in reward and c not in ("row", "hh", "ts")]
        rewards, rows = stream[reward].to_numpy(int), stream[context].to_dict("records")
        command = [str(part) for part in (self.hunch, "evaluate", "nba", "--protocol", *more)]
        told, took = [], []
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as bandit:
            for t, x in enumerate(rows):
                question = {"t": t, "hh": int(stream.hh.iat[t]), "ts": str(stream.ts.iat[t]), "x": x, "actions": len(reward)}
                began = time.perf_counter()
                print(json.dumps(question), file=bandit.stdin, flush=True)
                answer = json.loads(bandit.stdout.readline())
                took.append(time.perf_counter() - began)
                told.append((t, answer["a"], answer["p"]))
                print(json.dumps({"t": t, "r": int(rewards[t, answer["a"]])}), file=bandit.stdin, flush=True)
            bandit.stdin.close()
            inside = bandit.stderr.read().strip().splitlines()[-1]
        out = self.work / "nba.csv"
        pd.DataFrame(told, columns=["row", "action", "propensity"]).to_csv(out, index=False)
        earned = rewards[np.arange(len(told)), [action for _, action, _ in told]]
        return self.score("eval_bandit_online.py", self.data / "nba_category", out), earned, rewards, np.array(took) * 1e6, inside


# --- Words ------------------------------------------------------------------------------------------------------------


def best_of(anchors, metric, direction):
    known = {name: values[metric] for name, values in anchors.items() if values.get(metric) is not None}
    if not known:
        return None
    if isinstance(direction, tuple):
        return min(known.items(), key=lambda item: abs(item[1] - direction[1]))
    return (min if direction == LOW else max)(known.items(), key=lambda item: item[1])


def verdict(ours, best, direction):
    if best is None:
        return ""
    if isinstance(direction, tuple):
        ours, theirs, scale = abs(ours - direction[1]), abs(best[1] - direction[1]), 1.0
        better, level = ours < theirs, abs(ours - theirs) <= 0.01
    else:
        scale = max(abs(best[1]), 1e-9)
        better = ours < best[1] if direction == LOW else ours > best[1]
        level = abs(ours - best[1]) <= 0.005 * scale
    return "level" if level else "**better**" if better else "behind"


def rows_of(ours, anchors, metrics):
    rows, count = [], {"level": 0, "**better**": 0, "behind": 0}
    for metric, direction in metrics.items():
        if metric not in ours:
            continue
        best = best_of(anchors, metric, direction)
        word = verdict(ours[metric], best, direction)
        if word:
            count[word] += 1
        wanted = f"near {direction[1]}" if isinstance(direction, tuple) else direction
        there = f"{best[1]:.4g} ({best[0]})" if best else ""
        rows.append(f"| {metric} | {wanted} | {ours[metric]:.4g} | {there} | {word} |")
    return rows, count


# --- Pictures ---------------------------------------------------------------------------------------------------------


def picture(name, title, draw, x, y):
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    draw(axes)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    figure.savefig(HERE / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def calibration(name, title, said, came):
    order = np.argsort(said, kind="stable")
    bins = [part for part in np.array_split(order, 10) if len(part)]
    xs, ys = [said[b].mean() for b in bins], [came[b].mean() for b in bins]
    bars = [1.96 * np.sqrt(max(y * (1 - y), 1e-9) / len(b)) for y, b in zip(ys, bins)]

    def draw(axes):
        axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="what is said comes true")
        axes.errorbar(xs, ys, yerr=bars, fmt="o", color="#0a6", capsize=3, label="tenths of all, with 95 % bars")

    picture(name, title, draw, "probability said", "share that came true")


def bands(judge, predictions):
    told = pd.read_csv(predictions)
    origin, series = told.origin.iloc[-1], told.series.iloc[0]
    told = told[(told.origin == origin) & (told.series == series)]
    history = pd.read_csv(judge.data / "footfall_daily" / "history.csv").set_index("ts")[series]
    days = pd.to_datetime(told.ts)
    before = history[history.index < origin].tail(42)

    def draw(axes):
        axes.plot(pd.to_datetime(before.index), before, color="black", linewidth=1)
        axes.plot(days, history.reindex(told.ts), color="black", linewidth=1, label="counted")
        axes.fill_between(days, told.q025, told.q975, color="#0a6", alpha=0.15, label="95 % band")
        axes.fill_between(days, told.q100, told.q900, color="#0a6", alpha=0.3, label="80 % band")
        axes.plot(days, told.q500, color="#0a6", label="forecast")
        axes.set_ylim(bottom=0)
        axes.tick_params(axis="x", rotation=30)

    picture("bands", "People a day at one place, forecast four weeks ahead", draw, "", "people")


def gain(judge, predictions):
    truth = pd.read_csv(judge.data / "journey" / "truth.csv").merge(pd.read_csv(predictions), on="customer_id")
    share = np.arange(1, len(truth) + 1) / len(truth)

    def draw(axes):
        for column, label, colour in (("exp_spend", "by what we expect", "#0a6"), ("spend", "by what they will spend", "grey")):
            spent = truth.sort_values(column, ascending=False, kind="stable").spend.cumsum() / truth.spend.sum()
            axes.plot(share, spent, label=label, color=colour)
        axes.plot([0, 1], [0, 1], color="lightgrey", linewidth=1, label="in any order")

    picture("gain", "Spend of the next 91 days, best customers first", draw, "share of customers", "share of spend")


def year(judge):
    """The forecasts of a whole year: the judged ones fall on a few weeks of it."""
    rows = []
    for name in PLACES[:-1]:
        told = judge.year_before(name)
        if told:
            rows.append(f"| `{name}` | " + " | ".join(f"{told[metric]:.4g}" for metric in (*DEMAND, "worst_origin_cover80")) + " |")
    print(*rows, sep="\n", flush=True)
    return ["", "The judged weeks are some of five months. The same forecasts from thirteen origins, four weeks apart, of the year before them, Christmas",
            "with them, for sets with so long a history (the last column is the coverage of the worst of the thirteen):", "",
            "| Set | " + " | ".join((*DEMAND, "worst")) + " |", "|---" * (len(DEMAND) + 2) + "|", *rows] if rows else []


def regret(earned, rewards):
    best = rewards.max(1)

    def draw(axes):
        for label, got, colour in (("bandit", earned, "#0a6"), ("always the best single action", rewards[:, rewards.mean(0).argmax()], "#c60"),
                                   ("at random", rewards.mean(1), "grey")):
            axes.plot(np.cumsum(best - got), label=label, color=colour)

    picture("regret", "Rewards missed against knowing everything", draw, "decisions", "rewards missed")


# --- The page ---------------------------------------------------------------------------------------------------------


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=pathlib.Path, required=True)
    arguments.add_argument("--hunch", type=pathlib.Path, required=True)
    arguments.add_argument("--examples", type=pathlib.Path, required=True, help="folder of the built examples")
    arguments.add_argument("--work", type=pathlib.Path, required=True)
    arguments.add_argument("--task", help="only this one, printed and not written")
    args = arguments.parse_args()
    judge = Judge(args)
    page, total = [], {"level": 0, "**better**": 0, "behind": 0}
    heading = None
    for title, task, name, program, metrics in JUDGED:
        if args.task and args.task != task:
            continue
        folder, more, anchors = judge.prepared(name)
        if name == "gjp_market":
            anchors = judge.simple_prices()
        out = judge.work / f"{task}-{name}.csv"
        seconds = judge.evaluate(task, folder, out, *more)
        ours = judge.score(program, folder, out)
        rows, count = rows_of(ours, anchors, metrics)
        for word, n in count.items():
            total[word] += n
        if title != heading:
            page += ["", f"## {title} (`hunch evaluate {task}`)"]
            heading = title
        page += ["", f"`{name}`, {seconds:.1f} s for the whole run", "", "| Metric | Wanted | Ours | Best anchor | |", "|---|---|---|---|---|", *rows]
        print(f"{task} {name}: {seconds:.1f} s", *rows, sep="\n", flush=True)
        page += NOTES.get(name, [])
        if name == PLACES[-1]:
            page += year(judge)
    if args.task in (None, "nba"):
        ours, earned, rewards, took, inside = judge.live()
        rows, count = rows_of(ours, judge.anchors_of("nba_category"), NBA)
        usable = {n: a for n, a in judge.anchors_of("nba_category").items() if a["propensity_support_err"] <= 0.15 and a["snips_of_uniform_rel_err"] <= 0.30}
        best = best_of(usable, "reward", HIGH)
        page += ["", "## Next best action, online (`hunch evaluate nba --protocol`)", "", "`nba_category`, row by row over the line protocol: "
                 f"median {np.percentile(took, 50):.0f} µs and 99th percentile {np.percentile(took, 99):.0f} µs from question to answer, pipes and JSON included; the decision alone: "
                 f"{inside.split('decisions, ')[1].replace('us', 'µs')}.",
                 "", "| Metric | Wanted | Ours | Best anchor | |", "|---|---|---|---|---|", *rows, "",
                 f"The log must support later judgement: of the anchors whose propensities do, the best earns {best[1]:.4f} ({best[0]}).",
                 "", "![Rewards missed](models/regret.svg)"]
        print(*rows, sep="\n")
        for word, n in count.items():
            total[word] += n
        if not args.task:
            regret(earned, rewards)
    if args.task:
        return
    pictures(judge)
    page += ["", "## Pictures", "", "![Calibration of churn](models/calibration-churn.svg)", "",
             "![Calibration of win probability](models/calibration-winprob.svg)", "", "![Forecast bands](models/bands.svg)", "",
             "![Cumulative gain](models/gain.svg)"]
    page += ["", "## Times beside the usual tools", "", *compare(judge)]
    head = ["# How good the models are", "",
            "Made by `docs/models/judge.py`, which `HUNCH_DATA_DIR=… cargo xtask models` runs. Each row is one metric of one task on one public data set,",
            "beside the best of the anchors: what the usual tools reach on the very same rows. Models get directories and know no set by",
            "name. Sets without a judged part are split here: the later campaigns, half of the customers. Constants of several models were",
            "chosen while these public parts were in sight: expect somewhat less on data that nobody here has seen.", "",
            f"Of {sum(total.values())} metrics with an anchor {total['**better**']} are better than the best anchor, {total['level']} level with it",
            f"(within 0.5 % of the value, or 0.01 of a share), {total['behind']} behind. The best anchor is chosen anew for each metric, so a row can be behind a tool that is far",
            "behind elsewhere."]
    (HERE.parent / "models.md").write_text("\n".join(head + page) + "\n")


def pictures(judge):
    truth = pd.read_csv(judge.data / "journey" / "truth.csv").merge(pd.read_csv(judge.work / "churn-journey.csv"), on="customer_id")
    calibration("calibration-churn", "Churn within 28 days", truth.p_churn.to_numpy(), 1 - truth.active.to_numpy())
    truth = pd.read_csv(judge.data / "predictionbook" / "truth.csv").merge(pd.read_csv(judge.work / "winprob-predictionbook.csv"), on="row")
    calibration("calibration-winprob", "Will it come true?", truth.p_yes.to_numpy(), truth.outcome.to_numpy())
    bands(judge, judge.work / "demand-footfall_daily.csv")
    gain(judge, judge.work / "ltv-journey.csv")


def told_by(program, *arguments):
    """What a comparison printed, one JSON value a line; nothing where its tool does not run."""
    quiet = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    command = [sys.executable, str(HERE / program), *map(str, arguments)]
    told = subprocess.run(command, capture_output=True, text=True, env=quiet | threads)
    if told.returncode:
        print(f"{program} does not run:", told.stderr[-2000:], file=sys.stderr)
    return [json.loads(line) for line in told.stdout.splitlines() if line[:1] in "[{"]


def row(what, data, theirs, ours):
    """Fit and prediction: seconds of the tool, ours, and how many times quicker we are."""
    cells = []
    for a, b in zip(theirs, ours):
        cells += [f"{a:.3g} s" if a else "", f"{b:.2g} s" if b else "", f"{a / b:.2g} ×" if a and b else ""]
    print(what, data, *cells)
    return f"| {what} | `{data}` | " + " | ".join(cells) + " |"


def compare(judge):
    """Both sides on the same rows, one thread each, in this run."""
    rows = ["| Tool | Data | Its fit | Ours | Quicker | Its prediction | Ours | Quicker |", "|---|---|---|---|---|---|---|---|"]
    losses = ["", "The boosting beside LightGBM at equal parameters; `noise` is the standard error of the difference:", "",
              "| Data | Rows | Our loss | LightGBM's | Difference | Noise |", "|---|---|---|---|---|---|"]
    for one in told_by("compare_boosting.py", judge.data, judge.examples / "boosting_compare", "--json"):
        rows.append(row("LightGBM", one["table"], (one["fit_seconds_lightgbm"], one["predict_seconds_lightgbm"]),
                        (one["fit_seconds"], one["predict_seconds"])))
        losses.append(f"| `{one['table']}` | {one['rows']} | {one['loss']:.5g} | {one['loss_lightgbm']:.5g} | {one['difference']:+.2g} | {one['noise']:.2g} |")
    summary = judge.work / "summary.csv"
    for name in CUSTOMERS:
        for one in told_by("compare_lifetimes.py", "--summary", summary, judge.data / name):
            ours = subprocess.run([judge.examples / "time_value", summary, str(one["horizon_weeks"])], check=True, capture_output=True, text=True)
            seconds = {k: float(v) for k, v in (line.split() for line in ours.stdout.splitlines())}
            for model, title in (("bg_nbd", "BG/NBD"), ("pareto_nbd", "Pareto/NBD"), ("gamma_gamma", "Gamma-Gamma")):
                keys = [f"{model}_fit", f"{model}_expected"]
                rows.append(row(f"lifetimes, {title}", name, [one["seconds"].get(k) for k in keys], [seconds.get(k) for k in keys]))
    for name, origins in (("footfall_daily", 4), ("footfall_hourly", 1)):
        command = [str(judge.hunch), "evaluate", "demand", "--in", str(judge.data / name), "--out", str(judge.work / "timed.csv")]
        ours = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        fit, predict = (float(ours.split(f"{word} ")[1].split(" s")[0]) for word in ("fit", "predict"))
        task = json.loads((judge.data / name / "task.json").read_text())
        runs = task["series"] * len(task["origins"])
        # MSTL takes a minute an origin; so everything is reckoned for one series at one origin.
        for one in told_by("compare_statsforecast.py", judge.data / name, origins):
            theirs = (one["fit_s"] / one["fits"], one["predict_s"] / one["fits"])
            rows.append(row(f"statsforecast, {one['model']}", name, theirs, (fit / runs, predict / runs)))
    command = [str(judge.hunch), "evaluate", "ope", "--in", str(judge.data / "ope"), "--out", str(judge.work / "timed.csv")]
    ours = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    ours = [float(ours.split(f"{word} ")[-1].split(" s")[0]) for word in ("fit", "estimate")]
    for one in told_by("compare_ope.py", judge.data / "ope"):
        rows.append(row("obp, six estimators", "ope", (one["fit_s"], one["estimate_s"]), ours))
    for many in told_by("compare_anomaly.py", judge.data / "tabular_anomaly", judge.hunch, "evaluate", "--json"):
        for one in many:
            whole = one["forest_fit_seconds"] + one["forest_score_seconds"]
            rows.append(row("scikit-learn, isolation forest", one["set"], (whole, None), (one["ours_seconds"], None)))
    note = ["", "`statsforecast`: seconds for one series at one origin. It fits one model a row; ours fits all its models, combines them on rolling origins and makes the bands.",
            "`obp`: fit is the reward model; prediction is the estimates of all policies from all replicates with their intervals, from 100 resamples there, from the spread of the terms here.",
            "The tables' times are fit and judging together: one forest there, four detectors here."]
    return rows + note + losses


if __name__ == "__main__":
    main()
