#!/usr/bin/env bash
# Version:  lightning-fabric 2.6.6 with torch 2.13.0, Python 3.11.
# Expected: `get_available_flops` gives the peak of the GPU at hand, or warns and returns None where its
#           table lacks that GPU: MFU, the share of the peak that a training uses, is divided by it.
# Seen:     names are looked for inside names, and what follows is not read. "NVIDIA T400", a card of
#           2 TFLOPS, gets the 65 of a Tesla T4; L40 (181) and L40S (362) get the 121 of an L4; RTX A4000
#           and RTX A400 those of an A40; a 4090 laptop GPU and a 4090 D those of the 4090. No warning,
#           while an A10 or an RTX A4500 is said to be unknown.
# Matters:  a training at half the peak of an L40S is told to use 150 % of it, one on a T400 1.7 %. A short
#           model name inside a longer one is another model: T4 in T400, L4 in L40S, A40 in A4000.
# Public:   https://github.com/Lightning-AI/pytorch-lightning/issues/21677 (open) tells of wrong figures
#           in the table, not of names.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' 'numpy<3' 'lightning-fabric==2.6.6'
"$folder/venv/bin/python" - <<'PY'
import sys
import warnings
from unittest import mock

import torch
from lightning_fabric.utilities.throughput import get_available_flops

NAMES = (
    "Tesla T4",
    "NVIDIA T400",
    "NVIDIA L4",
    "NVIDIA L40",
    "NVIDIA L40S",
    "NVIDIA A40",
    "NVIDIA RTX A4000",
    "NVIDIA RTX A400",
    "NVIDIA GeForce RTX 4090",
    "NVIDIA GeForce RTX 4090 Laptop GPU",
    "NVIDIA GeForce RTX 4090 D",
    "NVIDIA A10",
    "NVIDIA RTX A4500",
)
found = {}
for name in NAMES:
    with mock.patch("torch.cuda.get_device_name", return_value=name):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            flops = get_available_flops(torch.device("cuda", 0), torch.float16)
    found[name] = (flops, len(caught))
    tera = "unknown" if flops is None else f"{flops / 1e12:g} TFLOPS"
    print(f"{name:36} float16 {tera}, warnings: {len(caught)}")

same = (
    ("Tesla T4", "NVIDIA T400"),
    ("NVIDIA L4", "NVIDIA L40"),
    ("NVIDIA L4", "NVIDIA L40S"),
    ("NVIDIA A40", "NVIDIA RTX A4000"),
    ("NVIDIA A40", "NVIDIA RTX A400"),
    ("NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4090 Laptop GPU"),
    ("NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4090 D"),
)
known = all(found[one] == found[other] and found[one][0] for one, other in same)
silent = not any(found[name][1] for pair in same for name in pair)
unknown = all(found[name] == (None, 1) for name in ("NVIDIA A10", "NVIDIA RTX A4500"))
if not (known and silent and unknown):
    sys.exit("lightning-fabric behaves otherwise now: read findings/README.md again")
PY
