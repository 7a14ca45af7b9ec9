#!/usr/bin/env python3
"""Times the Python package obp on the rows that `hunch evaluate ope` reads, one thread.

usage: compare_ope.py SET_DIR

For each replicate of the log: one reward model by cross-fitting in five folds (logistic regression over the occasion and
the action, as in the package's examples), then for every policy the six estimators that both sides have, with intervals
from 100 resamples, the package's own number. Prints one JSON line: seconds of fit and of estimate, summed over the
replicates. Ours has no action vector that is the same for everyone, so the package gets the whole row as the occasion.

The package imports torch for learners that are not used here; so that gigabytes need not be fetched for nothing, empty
modules stand in for it."""
import glob
import json
import sys
import time
import types
import warnings

import numpy as np
import pandas as pd


class Absent(types.ModuleType):
    """A module in which every name is an empty class."""
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def without_torch():
    for name in ("torch", "torch.nn", "torch.nn.functional", "torch.optim", "torch.utils", "torch.utils.data"):
        sys.modules[name] = Absent(name)
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], own, sys.modules[name])


def main():
    warnings.filterwarnings("ignore")
    without_torch()
    from obp import ope
    from sklearn.linear_model import LogisticRegression

    folder = sys.argv[1]
    context = pd.read_csv(f"{folder}/context.csv").set_index("row")
    policies = [pd.read_csv(file).set_index("row") for file in sorted(glob.glob(f"{folder}/policy_*.csv"))]
    log = pd.read_csv(f"{folder}/log.csv")
    estimators = [ope.InverseProbabilityWeighting(), ope.SelfNormalizedInverseProbabilityWeighting(), ope.DirectMethod(),
                  ope.DoublyRobust(), ope.SelfNormalizedDoublyRobust(), ope.SwitchDoublyRobust(tau=10.0)]
    fit = estimate = 0.0
    for _, replicate in log.groupby("rep"):
        x = context.loc[replicate.row].to_numpy()
        actions = policies[0].shape[1]
        n, reward, chosen = len(replicate), replicate.reward.to_numpy(), replicate.action.to_numpy()
        start = time.perf_counter()
        model = ope.RegressionModel(n_actions=actions, base_model=LogisticRegression(max_iter=1000),
                                    action_context=np.eye(actions))
        guessed = model.fit_predict(context=x, action=chosen, reward=reward, n_folds=5, random_state=1)
        fit += time.perf_counter() - start
        given = dict(n_rounds=n, n_actions=actions, action=chosen, reward=reward, position=np.zeros(n, int),
                     pscore=replicate.propensity.to_numpy(), context=x, action_context=np.eye(actions))
        chances = [policy.loc[replicate.row].to_numpy()[:, :, None] for policy in policies]
        start = time.perf_counter()
        for chance in chances:
            judged = ope.OffPolicyEvaluation(bandit_feedback=given, ope_estimators=estimators)
            judged.estimate_policy_values(action_dist=chance, estimated_rewards_by_reg_model=guessed)
            judged.estimate_intervals(action_dist=chance, estimated_rewards_by_reg_model=guessed, random_state=1)
        estimate += time.perf_counter() - start
    print(json.dumps({"fit_s": round(fit, 4), "estimate_s": round(estimate, 4)}))


if __name__ == "__main__":
    main()
