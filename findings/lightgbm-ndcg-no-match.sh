#!/usr/bin/env bash
# Version:  LightGBM 4.7.0; scikit-learn 1.9.1 and ir_measures 0.4.3 beside it, Python 3.11.
# Expected: nDCG and MAP of a query without any relevant document are 0 or not counted, as in
#           scikit-learn and trec_eval; a ranker that puts every match last has about 0.
# Seen:     LightGBM's metrics `ndcg` and `map` count such a query as 1. Of 20 listings 18 sell nothing of the
#           catalogue; the match of the other two is ranked last: LightGBM reports ndcg@5 and map@5 of 0.9,
#           scikit-learn and ir_measures 0.0 for the same scores.
# Matters:  the more listings without a match, the better every ranker looks, and the smaller the differences
#           that early stopping and parameter searches go by.
# Public:   XGBoost has the same default, documents it and has a switch, "ndcg-"
#           (https://github.com/dmlc/xgboost/issues/2208 quotes it); LightGBM has no such switch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'lightgbm==4.7.0' 'scikit-learn==1.9.1' 'ir_measures==0.4.3' \
  'numpy==2.4.6'
"$folder/venv/bin/python" - <<'PY'
import sys

import ir_measures
import lightgbm as lgb
import numpy as np
from ir_measures import AP, Qrel, ScoredDoc, nDCG
from sklearn.metrics import ndcg_score

rng = np.random.default_rng(0)
listings, candidates = 20, 10


def dataset(x, y, reference=None):
    return lgb.Dataset(x.reshape(-1, 1), y.ravel(), group=[candidates] * listings, reference=reference)


x = rng.uniform(0, 1, (listings, candidates))
train = dataset(x, (4 * x).astype(int))  # what is learned: more evidence is better
x, y = rng.uniform(0.3, 1, x.shape), np.zeros(x.shape, int)
x[:2, 3], y[:2, 3] = 0, 1  # where it is tried, the match of two listings has least
test, seen = dataset(x, y, train), {}
settings = {"objective": "lambdarank", "metric": ["ndcg", "map"], "eval_at": [5], "verbose": -1}
settings |= {"num_threads": 1, "min_data_in_leaf": 2, "seed": 0}
keep = lgb.record_evaluation(seen)
booster = lgb.train(settings, train, 20, valid_sets=[test], valid_names=["test"], callbacks=[keep])
scores = booster.predict(x.reshape(-1, 1)).reshape(x.shape)

own = [round(float(seen["test"][name][-1]), 6) for name in ("ndcg@5", "map@5")]
judged = [Qrel(str(q), str(d), int(y[q, d])) for q, d in np.ndindex(y.shape)]
run = [ScoredDoc(str(q), str(d), float(scores[q, d])) for q, d in np.ndindex(y.shape)]
trec = [ir_measures.calc_aggregate([m], judged, run)[m] for m in (nDCG @ 5, AP @ 5)]
peer = float(ndcg_score(y, scores, k=5))
print("LightGBM     ndcg@5, map@5 =", *own)
print("scikit-learn ndcg@5        =", peer)
print("ir_measures  nDCG@5, AP@5  =", *trec)
if own != [0.9, 0.9] or peer != 0 or max(trec) != 0:
    sys.exit("LightGBM's ranking metrics behave otherwise now: read findings/README.md again")
PY
