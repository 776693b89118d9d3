#!/usr/bin/env bash
# Version:  onnxmltools 1.16.0 with LightGBM 4.7.0 and ONNX Runtime 1.31.1, Python 3.11.
# Expected: convert_lightgbm gives a graph that predicts what the model does, or refuses. A random forest
#           (boosting "rf") is the mean of its trees, for LGBMRegressor and for the Booster within alike.
# Seen:     without a word, an LGBMRegressor becomes the sum of its trees divided by 100, however many it has
#           (of 20 trees: a fifth of each prediction; of 100, its default, the right one), and the Booster of
#           the same model their sum (20 times each prediction). Boosted trees are converted rightly.
# Matters:  the order of candidates stays, so no ranking metric sees it; every threshold on the score does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'onnxmltools==1.16.0' 'lightgbm==4.7.0' 'onnxruntime==1.31.1' \
  'onnx==1.23.2' 'skl2onnx==1.20.0' 'scikit-learn==1.9.1' 'numpy==2.4.6'
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import lightgbm as lgb
import numpy as np
import onnxruntime
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

rng = np.random.default_rng(0)
x = (rng.integers(0, 1024, (1000, 2)) / 1024).astype(np.float32)
y = 1 + x[:, 0] + x[:, 1] ** 2


def ratio(model) -> float:
    """Converted predictions over the model's own: one number if they differ by a factor only."""
    graph = convert_lightgbm(model, initial_types=[("x", FloatTensorType([None, 2]))])
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    ratios = session.run(None, {"x": x})[0][:, 0] / model.predict(x)
    assert np.ptp(ratios) < 1e-4 * ratios.mean(), "rows differ by more than a factor"
    return round(float(ratios.mean()), 3)


rf = {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}
found = {}
for name, trees, kind in (("boosted", 20, {}), ("forest", 20, rf), ("forest", 50, rf), ("forest", 100, rf)):
    model = lgb.LGBMRegressor(n_estimators=trees, n_jobs=1, verbose=-1, random_state=0, **kind)
    model.fit(x, y)
    found[name, trees] = (ratio(model), ratio(model.booster_))
    print(f"{name} of {trees} trees: ONNX / LightGBM =", found[name, trees][0], end="; ")
    print("of its Booster =", found[name, trees][1])

forests = {("forest", n): (n / 100, float(n)) for n in (20, 50, 100)}
if found != {("boosted", 20): (1.0, 1.0), **forests}:
    sys.exit("onnxmltools converts forests otherwise now: read findings/README.md again")
PY
