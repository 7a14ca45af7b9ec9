"""Made loess_statsmodels.csv with statsmodels 0.15.0: python loess_statsmodels.py > loess_statsmodels.csv"""

import numpy as np
from statsmodels.tsa.seasonal import STL

rows = 130
t = np.arange(rows)
y = np.round(20 + 0.05 * t + 3 * np.sin(t * np.pi / 2) + 4 * np.cos(t * np.pi / 6) + 5 * np.modf(np.sin(t * 12.9898) * 43.758)[0], 3)
rest = y.copy()
found = [np.zeros(rows), np.zeros(rows)]
for _ in range(2):
    for k, (period, window) in enumerate(((4, 11), (12, 15))):
        rest += found[k]
        trend = int(np.ceil(1.5 * period / (1 - 1.5 / window))) | 1
        low_pass = period | 1
        jumps = {f"{name}_jump": -(-length // 10) for name, length in (("seasonal", window), ("trend", trend), ("low_pass", low_pass))}
        stl = STL(rest, period=period, seasonal=window, trend=trend, low_pass=low_pass, seasonal_deg=0, **jumps)
        found[k] = stl.fit(inner_iter=2, outer_iter=0).seasonal
        rest -= found[k]
print("value,season_4,season_12")
for row in zip(y, *found):
    print(",".join(f"{v:.9g}" for v in row))
