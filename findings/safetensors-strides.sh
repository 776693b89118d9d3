#!/usr/bin/env bash
# Version:  safetensors 0.8.0 (0.7.0 beside it), numpy 2.4.6, scikit-learn 1.9.1, Python 3.11.
# Expected: `safetensors.numpy.save` of any array gives the values back, or refuses what it cannot write, as the
#           writer for torch does.
# Seen:     0.8.0 writes the memory of an array as it lies: a table in Fortran order or a slice with steps comes back
#           with the right shape and dtype and its numbers in other places. 0.7.0 gives them back. Such tables are
#           everyday: `PCA.fit_transform` and `table.T` make them, `table[:, :128]` as well.
# Matters:  an embedding table that was reduced by PCA or cut to fewer dimensions loads without any error and embeds
#           nonsense; checksums of the file fit.
# Public:   https://github.com/safetensors/safetensors/issues/825 has the Fortran order; slices are the same place.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
for version in 0.7.0 0.8.0; do
  "$folder/venv/bin/pip" install --quiet "safetensors==$version" 'numpy==2.4.6' 'scikit-learn==1.9.1'
  "$folder/venv/bin/python" - "$version" <<'PY'
import sys

import numpy as np
from safetensors.numpy import load, save
from sklearn.decomposition import PCA

version = sys.argv[1]
rows = np.random.default_rng(0).standard_normal((1000, 32), dtype=np.float32)
arrays = {
    "as made": rows,
    "Fortran order": np.asfortranarray(rows),
    "transposed": rows.T,
    "first 8 columns": rows[:, :8],
    "every other row": rows[::2],
    "PCA to 8": PCA(8, random_state=0, svd_solver="full").fit_transform(rows),
}
same = {}
for name, array in arrays.items():
    back = load(save({"table": array}))["table"]
    same[name] = bool(np.array_equal(back, array))
    print(f"{version}  {name:16} shape kept: {back.shape == array.shape}, values kept: {same[name]}")
kept = [name for name in arrays if same[name]]
if kept != (list(arrays) if version == "0.7.0" else ["as made"]):
    sys.exit(f"safetensors keeps others now: read findings/README.md again {kept}")
PY
done
