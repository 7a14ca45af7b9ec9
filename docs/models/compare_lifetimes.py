"""Times the Python package lifetimes on the purchase log of a folder: fits and predictions of BG/NBD, Pareto/NBD and
Gamma-Gamma on the rows up to the cut-off of task.json.

usage: compare_lifetimes.py DIR [DIR ...]      one line of JSON for each folder
Ours, on the same rows: cargo run --release -p hunch-learning --example time_value -- SUMMARY.csv, whose summary this
program writes with --summary FILE (repeats, recency, age in weeks; days with spend, mean spend)."""
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


def timed(work):
    start = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - start


if __name__ == '__main__':
    args = sys.argv[1:]
    file = args.pop(args.index('--summary') + 1) if '--summary' in args else None
    args = [a for a in args if a != '--summary']
    for folder in args:
        s, horizon = summary(folder)
        if file:
            s.to_csv(file, index=False)
        seconds = {}
        for name, fitter in (('bg_nbd', BetaGeoFitter()), ('pareto_nbd', ParetoNBDFitter())):
            try:
                _, seconds[name + '_fit'] = timed(lambda: fitter.fit(s.x, s.recency, s.age))
                _, seconds[name + '_expected'] = timed(
                    lambda: fitter.conditional_expected_number_of_purchases_up_to_time(horizon, s.x, s.recency, s.age))
                _, seconds[name + '_alive'] = timed(lambda: fitter.conditional_probability_alive(s.x, s.recency, s.age))
            except Exception as e:  # it does not converge on every log
                seconds[name + '_fit'] = None
                print(f'{folder}: {name}: {type(e).__name__}', file=sys.stderr)
        some = s[s['mean'] > 0]
        spend = GammaGammaFitter()
        _, seconds['gamma_gamma_fit'] = timed(lambda: spend.fit(some.days, some['mean']))
        _, seconds['gamma_gamma_expected'] = timed(lambda: spend.conditional_expected_average_profit(some.days, some['mean']))
        print(json.dumps(dict(folder=os.path.basename(os.path.normpath(folder)), customers=len(s), horizon_weeks=horizon,
                              seconds={k: v if v is None else round(v, 6) for k, v in seconds.items()})))
