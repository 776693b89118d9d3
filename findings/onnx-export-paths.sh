#!/usr/bin/env bash
# Version:  torch 2.13.0 with onnx 1.23.2 and onnxscript 0.7.2, Python 3.11.
# Expected: an exported graph depends on the module and its weights. The tracing exporter
#           (dynamo=False) keeps source locations out unless verbose=True.
# Seen:     torch.onnx.export(dynamo=True), the default, writes for each node the path of the file that
#           defines the module, its line and the text of that line (metadata pkg.torch.onnx.stack_trace), also
#           with verbose=False. The same module with the same weights, exported from two folders, gives
#           two graphs of other bytes; without that metadata they are equal. By dynamo=False they are equal.
# Matters:  home folders and lines of source travel with the model, and a version named by the graph's hash
#           is another on each machine.
# Public:   https://github.com/pytorch/pytorch/pull/155816 describes the metadata (its example has a relative
#           path); no parameter of torch.onnx.export leaves it out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' 'onnx==1.23.2' 'onnxscript==0.7.2' 'numpy==2.4.6'
for home in here there; do
  mkdir "$folder/$home"
  cat > "$folder/$home/export.py" <<'PY'
import sys

import torch


class Scorer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, features):
        return torch.relu(self.layer(features))


torch.manual_seed(0)
model, rows = Scorer().eval(), (torch.zeros(2, 3),)
torch.onnx.export(model, rows, sys.argv[1] + "/new.onnx", dynamo=True, verbose=False, external_data=False)
torch.onnx.export(model, rows, sys.argv[1] + "/old.onnx", dynamo=False, verbose=False)
PY
  "$folder/venv/bin/python" -W ignore "$folder/$home/export.py" "$folder/$home" > /dev/null 2>&1
done
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

import onnx

folders = [Path(sys.argv[1], home) for home in ("here", "there")]
old = len({(folder / "old.onnx").read_bytes() for folder in folders})
new = len({(folder / "new.onnx").read_bytes() for folder in folders})
paths, stripped = [], set()
for folder in folders:
    model = onnx.load(folder / "new.onnx")
    for node in model.graph.node:
        traces = [p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.stack_trace"]
        paths += [str(folder / "export.py") in trace for trace in traces]
        print(node.op_type, "of", folder.name, "holds:", *(t.splitlines()[:2] for t in traces))
        del node.metadata_props[:]
    stripped.add(model.SerializeToString(deterministic=True))
print(f"different graphs: {old} by dynamo=False, {new} by dynamo=True, {len(stripped)} without metadata")
if (old, new, len(stripped)) != (1, 2, 1) or not (paths and all(paths)):
    sys.exit("torch.onnx.export behaves otherwise now: read findings/README.md again")
PY
