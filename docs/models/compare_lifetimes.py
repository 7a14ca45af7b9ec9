"""Times the Python package lifetimes on the purchase log of a folder: fits and predictions of BG/NBD, Pareto/NBD and
Gamma-Gamma on the rows up to the cut-off of task.json.

usage: compare_lifetimes.py DIR [DIR ...]      one line of JSON for each folder
Ours, on the same rows: cargo run --release -p hunch-learning --example time_value -- SUMMARY.csv WEEKS, whose summary
this program writes with --summary FILE (repeats, recency, age in weeks; days with spend, mean spend).

Both sides time the work alone, within their own process, with the rows in memory before and one answer a row in memory
after; of several times the shortest counts. So neither reading files nor the first call's loading is part of it. Rows
go in as plain arrays, which the package takes faster than columns of a table."""
import json, os, sys, time, warnings
import pandas as pd
from lifetimes import BetaGeoFitter, GammaGammaFitter, ParetoNBDFitter
warnings.filterwarnings('ignore')


def summary(folder):
    task = json.load(open(os.path.join(folder, 'task.json')))
    name = task.get('log', 'input.csv').split()[0]
    log = pd.read_csv(os.path.join(folder, name))
    cutoff = pd.Timestamp(task['cutoff']).normalize()
    log['day'] = pd.to_datetime(log.ts).dt.normalize()
    days = log[log.day <= cutoff].groupby(['customer_id', 'day']).value.sum().reset_index()
    by = days.groupby('customer_id')
    first, last = by.day.min(), by.day.max()
    spent = days[days.value > 0].groupby('customer_id').value
    out = pd.DataFrame(dict(x=by.size() - 1, recency=(last - first).dt.days / 7, age=(cutoff - first).dt.days / 7))
    out['days'], out['mean'] = spent.size().reindex(out.index).fillna(0), spent.mean().reindex(out.index).fillna(0)
    return out, task['horizon_days'] / 7


FITS, PREDICTIONS = 7, 50  # as in time_value


def timed(times, work):
    """The shortest of several times."""
    shortest = float('inf')
    for _ in range(times):
        start = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


if __name__ == '__main__':
    args = sys.argv[1:]
    file = args.pop(args.index('--summary') + 1) if '--summary' in args else None
    args = [a for a in args if a != '--summary']
    for folder in args:
        s, horizon = summary(folder)
        if file:
            s.to_csv(file, index=False)
        seconds = {}
        x, recency, age = (s[name].to_numpy(float) for name in ('x', 'recency', 'age'))
        for name, fitter in (('bg_nbd', BetaGeoFitter()), ('pareto_nbd', ParetoNBDFitter())):
            try:
                seconds[name + '_fit'] = timed(FITS, lambda: fitter.fit(x, recency, age))
            except Exception as e:  # it does not converge on every log
                print(f'{folder}: {name}: {type(e).__name__}', file=sys.stderr)
                continue
            expected, alive = fitter.conditional_expected_number_of_purchases_up_to_time, fitter.conditional_probability_alive
            seconds[name + '_expected'] = timed(PREDICTIONS, lambda: expected(horizon, x, recency, age))
            seconds[name + '_alive'] = timed(PREDICTIONS, lambda: alive(x, recency, age))
        some = s[s['mean'] > 0]
        days, mean = some.days.to_numpy(float), some['mean'].to_numpy(float)
        spend = GammaGammaFitter()
        seconds['gamma_gamma_fit'] = timed(FITS, lambda: spend.fit(days, mean))
        seconds['gamma_gamma_expected'] = timed(PREDICTIONS, lambda: spend.conditional_expected_average_profit(days, mean))
        print(json.dumps(dict(folder=os.path.basename(os.path.normpath(folder)), customers=len(s), horizon_weeks=horizon,
                              seconds={k: round(v, 9) for k, v in seconds.items()})))
