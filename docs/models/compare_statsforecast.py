#!/usr/bin/env python3
"""Times statsforecast on the rows that `hunch evaluate demand` reads, on one thread.

usage: compare_statsforecast.py SET_DIR [ORIGINS_MAX]

Per origin of task.json one fit and one forecast of every series: AutoETS and MSTL with the season of a week for days,
MSTL with the seasons of a day and a week for hours. Prints one JSON line a model: seconds of fit and of predict (with
the same seven quantiles), summed over the origins. The first call compiles and is not counted.
"""
import json
import sys
import time

import numpy as np
import pandas as pd
from statsforecast.models import MSTL, AutoETS

LEVELS = [50, 80, 95]


def panels(folder, origins_max):
    """One list of series an origin; gaps are filled forward, as the library takes none."""
    task = json.load(open(f"{folder}/task.json"))
    history = pd.read_csv(f"{folder}/history.csv")
    if "origins" not in task:
        yield task, [np.array(v.split(), float) for v in history["values"]]
        return
    for origin in task["origins"][:origins_max]:
        past = history[history.ts < origin].drop(columns="ts").astype(float).ffill()
        yield task, [past[name].dropna().to_numpy() for name in past]


def main():
    folder = sys.argv[1]
    origins_max = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
    hourly = json.load(open(f"{folder}/task.json"))["unit"] == "h"
    models = {"MSTL": lambda: MSTL(season_length=[24, 168] if hourly else 7)}
    if not hourly:
        models["AutoETS"] = lambda: AutoETS(season_length=7)
    for name, model in models.items():
        model().fit(np.random.default_rng(1).poisson(9, 400).astype(float)).predict(h=7, level=LEVELS)
        fit = predict = 0.0
        count = 0
        for task, series in panels(folder, origins_max):
            for values in series:
                start = time.perf_counter()
                fitted = model().fit(values)
                middle = time.perf_counter()
                fitted.predict(h=task["horizon"], level=LEVELS)
                predict += time.perf_counter() - middle
                fit += middle - start
                count += 1
        print(json.dumps({"model": name, "fits": count, "fit_s": round(fit, 3), "predict_s": round(predict, 4)}))


if __name__ == "__main__":
    main()
