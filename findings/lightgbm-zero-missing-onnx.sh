#!/usr/bin/env bash
# Version:  onnxmltools 1.16.0 with LightGBM 4.7.0 and ONNX Runtime 1.31.1, Python 3.11.
# Expected: convert_lightgbm gives a graph that predicts what the model does, or refuses what ONNX cannot say.
# Seen:     of a model trained with zero_as_missing=true ("0: not known") zeros take another way through the
#           trees: LightGBM sends them where missing values go, the graph compares them as numbers. ONNX's tree
#           operators know NaN as missing and nothing else; the converter writes what LightGBM dumps as
#           missing_type "Zero" as if it were "NaN", without a word. Rows that are not 0 agree to 1e-5.
#           Given NaN in place of 0, the same graph agrees in every row.
# Matters:  rows where nothing is known are the ones a ranker has to be careful with, and a check of parity
#           on dense rows passes.
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

# How far a price lies from the usual, in multiples of 1/1024 (exact in float32); 0 where there is none.
rng = np.random.default_rng(0)
x = (rng.integers(1, 512, (2000, 1)) * rng.choice([-1, 1], (2000, 1)) / 1024).astype(np.float32)
x[::3] = 0
unknown = x[:, 0] == 0
y = np.where(unknown, 5, x[:, 0])

found = []
for zero_as_missing in (False, True):
    settings = {"objective": "regression", "num_threads": 1, "verbose": -1, "seed": 0}
    booster = lgb.train(settings | {"zero_as_missing": zero_as_missing}, lgb.Dataset(x, y), 20)
    graph = convert_lightgbm(booster, initial_types=[("x", FloatTensorType([None, 1]))])
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    own, onnx = booster.predict(x), session.run(None, {"x": x})[0][:, 0]
    nan = session.run(None, {"x": np.where(x == 0, np.float32("nan"), x)})[0][:, 0]
    apart = np.abs(own - onnx)
    found.append((apart[unknown].max(), apart[~unknown].max(), np.abs(own - nan).max()))
    print(f"zero_as_missing={zero_as_missing}: a row of 0 has {own[0]:.3f} by LightGBM, {onnx[0]:.3f} by ONNX;")
    print(f"  other rows differ by at most {found[-1][1]:.1e}; with NaN for 0 all by {found[-1][2]:.1e}")

plain, missing = found
if not (max(plain[:2]) < 1e-5 and missing[0] > 4 and max(missing[1:]) < 1e-5):
    sys.exit("onnxmltools converts zero_as_missing otherwise now: read findings/README.md again")
PY
