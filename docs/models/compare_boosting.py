#!/usr/bin/env python3
"""Sets the boosting of hunch-learning beside LightGBM: the same rows, the same parameters, one thread, one run.

usage: compare_boosting.py DATA PROGRAM [--work DIR] [--repeat N] [--only TABLE] [--json]

DATA holds the public sets, PROGRAM is the built example `boosting_compare`. Each table is cut by time, or by row where
there is no time. Times are seconds on a processor, of which the shortest of N counts. `difference` is ours minus
LightGBM's mean loss on the rows kept back, `noise` its standard error: rows near each other err together, so it is
taken from the means of twenty parts that follow each other.
"""
import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import lightgbm
import numpy as np
import pandas as pd

ROUNDS, LEAVES, RATE = 100, 31, 0.1


def hillstrom(data):
    """Who visits the shop: by row, every fifth kept back."""
    rows = pd.read_csv(data / "hillstrom" / "train.csv")
    names = ["recency", "history", "mens", "womens", "zip_code", "newbie", "channel", "action"]
    kept_back = np.arange(len(rows)) % 5 == 0
    return rows["visit"], rows[names], kept_back


def window(key, when, seconds, amount):
    """Count and sum of `amount` over the rows of the same key in the `seconds` before, the row itself not counted."""
    span = when.max() - when.min() + seconds + 1
    place = key.astype(np.int64) * 2 * span + (when - when.min())
    order = np.argsort(place, kind="stable")
    place = place[order]
    sums = np.concatenate([[0.0], np.cumsum(amount[order])])
    low = np.searchsorted(place, place - seconds, side="left")
    high = np.arange(len(place))
    count, total = np.empty(len(place)), np.empty(len(place))
    count[order], total[order] = high - low, sums[high] - sums[low]
    return count, total


def card_fraud(data):
    """Which payment is a fraud: windows over card and terminal, a terminal's frauds known a week later."""
    rows = pd.read_csv(data / "card_fraud" / "stream.csv.gz")
    rows["when"] = rows["ds"].cumsum()
    rows = rows[rows["fraud"].notna()].reset_index(drop=True)
    day, week = 86_400, 7 * 86_400
    when, amount = rows["when"].to_numpy(), rows["cents"].to_numpy(float) / 100
    table = {"amount": amount, "hour": when % day // 3_600, "weekday": when // day % 7}
    for days in (1, 7, 30):
        count, total = window(rows["customer"].to_numpy(), when, days * day, amount)
        table[f"card_count_{days}"] = count
        table[f"card_mean_{days}"] = np.divide(total, count, out=np.full(len(rows), np.nan), where=count > 0)
        terminal, fraud = rows["terminal"].to_numpy(), rows["fraud"].to_numpy(float)
        near, frauds_near = window(terminal, when, week, fraud)
        far, frauds_far = window(terminal, when, week + days * day, fraud)
        table[f"terminal_count_{days}"] = far - near
        known = far - near
        table[f"terminal_fraud_{days}"] = np.divide(
            frauds_far - frauds_near, known, out=np.full(len(rows), np.nan), where=known > 0
        )
    kept_back = when >= when.max() - week
    return rows["fraud"], pd.DataFrame(table), kept_back


def footfall(data):
    """How many come in an hour, told a week before: calendar and the same hour of earlier weeks."""
    history = pd.read_csv(data / "footfall_hourly" / "history.csv", parse_dates=["ts"])
    parts = []
    for number, name in enumerate(history.columns[1:]):
        count = history[name]
        part = pd.DataFrame({"target": count, "series": number, "ts": history["ts"]})
        part["hour"], part["weekday"] = history["ts"].dt.hour, history["ts"].dt.dayofweek
        part["day"] = history["ts"].dt.dayofyear
        for weeks in (1, 2, 3, 4):
            part[f"lag_{weeks}"] = count.shift(168 * weeks)
        part["mean"] = part[[f"lag_{weeks}" for weeks in (1, 2, 3, 4)]].mean(axis=1)
        part["before"], part["after"] = count.shift(169), count.shift(167)
        part["day_mean"] = count.shift(168).rolling(24, min_periods=12).mean()
        parts.append(part)
    rows = pd.concat(parts)
    rows = rows[rows["target"].notna()].sort_values(["ts", "series"], kind="stable").reset_index(drop=True)
    kept_back = (rows["ts"] >= rows["ts"].max() - pd.Timedelta(days=60)).to_numpy()
    return rows["target"], rows.drop(columns=["target", "ts"]), kept_back


def footfall_ranked(data):
    """Which hours of a place's day are busy: one list a day and place, from 0 to 4."""
    target, features, kept_back = footfall(data)
    features = features.assign(run=np.cumsum(features["hour"].to_numpy() == 0) // features["series"].nunique())
    order = np.lexsort((features["hour"], features["series"], features["run"]))
    group = (features["run"] * 100 + features["series"]).to_numpy()[order]
    target = target.to_numpy()[order]
    places = pd.DataFrame({"group": group, "target": target}).groupby("group")["target"].rank(pct=True)
    grade = np.digitize(places, [0.5, 0.75, 0.875, 0.95]).astype(float)
    features = features.drop(columns=["run", "hour", "lag_1"]).iloc[order].reset_index(drop=True)
    return pd.Series(grade), features.assign(group=group), kept_back[order]


TABLES = {
    "hillstrom, log": (hillstrom, "log", {"objective": "binary"}),
    "card_fraud, log": (card_fraud, "log", {"objective": "binary"}),
    "footfall_hourly, poisson": (footfall, "poisson", {"objective": "poisson"}),
    "footfall_hourly, squared": (footfall, "squared", {"objective": "regression"}),
    "footfall_hourly, quantile 0.1": (footfall, "quantile:0.1", {"objective": "quantile", "alpha": 0.1}),
    "footfall_hourly, quantile 0.9": (footfall, "quantile:0.9", {"objective": "quantile", "alpha": 0.9}),
    "footfall_hourly, tweedie 1.5": (
        footfall, "tweedie:1.5", {"objective": "tweedie", "tweedie_variance_power": 1.5},
    ),
    "footfall_hourly, pairwise": (footfall_ranked, "pairwise", {"objective": "lambdarank"}),
}


def losses(loss, y, told, group):
    """Loss of every row, or of every list."""
    name, _, number = loss.partition(":")
    if name == "log":
        told = np.clip(told, 1e-15, 1 - 1e-15)
        return -y * np.log(told) - (1 - y) * np.log(1 - told)
    if name == "squared":
        return (y - told) ** 2
    if name == "poisson":
        return 2 * (told - y + np.where(y > 0, y * np.log(np.maximum(y, 1) / told), 0))
    if name == "tweedie":
        p = float(number)
        return 2 * (y ** (2 - p) / ((1 - p) * (2 - p)) - y * told ** (1 - p) / (1 - p) + told ** (2 - p) / (2 - p))
    if name == "quantile":
        return np.maximum(float(number) * (y - told), (float(number) - 1) * (y - told))
    missed = []
    for place in pd.Series(np.arange(len(y))).groupby(group).indices.values():
        gains, discount = 2.0 ** y[place] - 1, 1 / np.log2(np.arange(min(10, len(place))) + 2)
        best = (np.sort(gains)[::-1][:10] * discount).sum()
        if best > 0:
            missed.append(1 - (gains[np.argsort(-told[place], kind="stable")][:10] * discount).sum() / best)
    return np.array(missed)


def auc(y, told):
    ranks = pd.Series(told).rank().to_numpy()
    ones = y > 0.5
    return (ranks[ones].sum() - ones.sum() * (ones.sum() + 1) / 2) / (ones.sum() * (~ones).sum())


def by_lightgbm(y, x, group, test, parameters, repeat):
    parameters = dict(
        parameters, num_leaves=LEAVES, learning_rate=RATE, min_data_in_leaf=20, max_bin=255, num_threads=1,
        verbosity=-1, seed=1,
    )
    sizes = None if group is None else pd.Series(group).groupby(group, sort=False).size().to_numpy()
    fits, predictions = [], []
    for _ in range(repeat):
        clock = time.process_time()
        model = lightgbm.train(parameters, lightgbm.Dataset(x, y, group=sizes), num_boost_round=ROUNDS)
        fits.append(time.process_time() - clock)
        clock = time.process_time()
        told = model.predict(test, num_threads=1)
        predictions.append(time.process_time() - clock)
    return told, min(fits), min(predictions)


def compare(name, data, program, work, repeat):
    make, loss, parameters = TABLES[name]
    target, features, kept_back = make(data)
    features = features.astype(float)
    for file, rows in (("train.csv", ~kept_back), ("test.csv", kept_back)):
        features[rows].assign(target=target[rows]).pipe(
            lambda table: table[["target", *features.columns]]
        ).to_csv(work / file, index=False, float_format="%.17g")
    out = work / "told.csv"
    ours = json.loads(subprocess.run(
        [program, work / "train.csv", work / "test.csv", out, loss, f"rounds={ROUNDS}", f"leaves_max={LEAVES}",
         f"learning_rate={RATE}", f"repeat={repeat}"], check=True, capture_output=True, text=True,
    ).stdout)
    told = np.loadtxt(out)
    group = features["group"].to_numpy() if "group" in features else None
    x = features.drop(columns="group", errors="ignore").to_numpy()
    y = target.to_numpy(float)
    theirs, fit_seconds, predict_seconds = by_lightgbm(
        y[~kept_back], x[~kept_back], None if group is None else group[~kept_back], x[kept_back], parameters, repeat
    )
    group = None if group is None else group[kept_back]
    mine, other = (losses(loss, y[kept_back], p, group) for p in (told, theirs))
    apart = mine - other
    result = {
        "table": name, "rows": int((~kept_back).sum()), "rows_test": int(kept_back.sum()), "width": x.shape[1],
        "loss": mine.mean(), "loss_lightgbm": other.mean(), "difference": apart.mean(),
        "noise": np.std([part.mean() for part in np.array_split(apart, 20)], ddof=1) / np.sqrt(20),
        "fit_seconds": ours["fit_seconds"], "fit_seconds_lightgbm": fit_seconds,
        "fit_ratio": ours["fit_seconds"] / fit_seconds,
        "predict_seconds": ours["predict_seconds"], "predict_seconds_lightgbm": predict_seconds,
        "predict_ratio": ours["predict_seconds"] / predict_seconds,
    }
    if loss == "log":
        result["auc"], result["auc_lightgbm"] = auc(y[kept_back], told), auc(y[kept_back], theirs)
    if loss.startswith("quantile"):
        result["below"], result["below_lightgbm"] = (float((y[kept_back] <= p).mean()) for p in (told, theirs))
    return result


def main():
    args = argparse.ArgumentParser()
    args.add_argument("data", type=Path)
    args.add_argument("program", type=Path)
    args.add_argument("--work", type=Path)
    args.add_argument("--repeat", type=int, default=3)
    args.add_argument("--only", default="")
    args.add_argument("--json", action="store_true")
    args = args.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            if args.only in name:
                result = compare(name, args.data, args.program.resolve(), work, args.repeat)
                print(json.dumps(result) if args.json else line(result), flush=True)


def line(r):
    extra = "".join(f"  {key} {r[key]:.4f}/{r[key + '_lightgbm']:.4f}" for key in ("auc", "below") if key in r)
    return (
        f"{r['table']:<30} loss {r['loss']:.6g} / {r['loss_lightgbm']:.6g} "
        f"({r['difference']:+.2g} ± {r['noise']:.1g})"
        f"  fit {r['fit_seconds']:.3f} / {r['fit_seconds_lightgbm']:.3f} s = {r['fit_ratio']:.2f}"
        f"  predict {r['predict_seconds']:.4f} / {r['predict_seconds_lightgbm']:.4f} s = {r['predict_ratio']:.2f}{extra}"
    )


if __name__ == "__main__":
    main()
