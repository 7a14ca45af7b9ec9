#!/usr/bin/env python3
"""Times `evaluate table-anomaly` beside scikit-learn's IsolationForest on the same tables, one thread each.

usage: compare_anomaly.py TABLES_DIR PROGRAM [--json]

PROGRAM is the built example `evaluate` (or `hunch` with the word evaluate after it). Ours is the time of judging alone,
as the program tells it: four detectors, of which the forest is one. Theirs is fit and score_samples. Reading is in
neither. Each is the best of three runs. Needs numpy and scikit-learn."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
from sklearn.ensemble import IsolationForest

RUNS = 3


def theirs(table):
    best = {"fit": float("inf"), "score": float("inf")}
    for seed in range(RUNS):
        start = time.perf_counter()
        forest = IsolationForest(n_estimators=100, random_state=seed, n_jobs=1).fit(table)
        fitted = time.perf_counter()
        forest.score_samples(table)
        best["fit"] = min(best["fit"], fitted - start)
        best["score"] = min(best["score"], time.perf_counter() - fitted)
    return best


def ours(program, file):
    best = float("inf")
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(file, folder)
            out = os.path.join(folder, "out.txt")
            run = subprocess.run(
                [*program, "table-anomaly", "--in", folder, "--out", out], check=True, capture_output=True, text=True
            )
            best = min(best, float(re.search(r"judge ([0-9.]+) s", run.stderr).group(1)))
    return best


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--json"]
    folder, program = arguments[0], arguments[1:]
    rows = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if not name.endswith(".csv") or open(path).readline().split(",")[0].strip() != "x0":
            continue
        table = np.genfromtxt(path, delimiter=",", skip_header=1, ndmin=2)
        tool, own = theirs(table), ours(program, path)
        whole = tool["fit"] + tool["score"]
        rows.append({"set": name[:-4], "rows": table.shape[0], "columns": table.shape[1], "ours_seconds": own,
                     "forest_fit_seconds": tool["fit"], "forest_score_seconds": tool["score"], "ratio": whole / own})
    if "--json" in sys.argv:
        print(json.dumps(rows))
        return
    print(f"{'set':16}{'rows':>7}{'columns':>9}{'ours s':>10}{'theirs s':>10}{'ratio':>8}")
    for row in rows:
        whole = row["forest_fit_seconds"] + row["forest_score_seconds"]
        print(f"{row['set']:16}{row['rows']:7}{row['columns']:9}{row['ours_seconds']:10.3f}{whole:10.3f}{row['ratio']:8.1f}")


if __name__ == "__main__":
    main()
