#!/usr/bin/env bash
# Version:  peft 0.21.2 with transformers 5.23.0 and torch 2.13.0, Python 3.11.
# Expected: equal trainings with equal seeds save equal files; what is given as a list is saved in its order.
# Seen:     LoraConfig makes a set of the list `target_modules`, and save_pretrained writes that set in the
#           order of its iteration, which Python draws anew for every process (hash randomisation). The weights
#           are the same bytes, adapter_config.json is not. No seed of torch, numpy or random has a say;
#           `modules_to_save`, a list too, keeps its order.
# Matters:  a version named by the hash of its folder, a cache or a check of reproducibility sees another
#           model after every training, though no weight differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'peft==0.21.2' 'transformers==5.23.0' 'torch==2.13.0'
cat > "$folder/train.py" <<'PY'
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification

torch.manual_seed(0)
torch.set_num_threads(1)
size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
base = BertForSequenceClassification(BertConfig(vocab_size=50, max_position_embeddings=16, **size))
layers = ["query", "key", "value", "dense"]
model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=layers))
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
for _ in range(3):
    model(input_ids=torch.arange(8).reshape(2, 4), labels=torch.tensor([0, 1])).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
model.save_pretrained(sys.argv[1])
PY
for seed in 1 2; do
  PYTHONHASHSEED=$seed "$folder/venv/bin/python" -W ignore "$folder/train.py" "$folder/$seed"
done
"$folder/venv/bin/python" - "$folder" <<'PY'
import json
import sys
from pathlib import Path

one, two = (Path(sys.argv[1], seed) for seed in "12")
name = "adapter_model.safetensors"
same = (one / name).read_bytes() == (two / name).read_bytes()
print("weights are the same bytes:", same)
configs = [json.loads((run / "adapter_config.json").read_text()) for run in (one, two)]
orders = [config.pop("target_modules") for config in configs]
print("target_modules of two equal trainings:", *orders)
print("all else in adapter_config.json is equal:", configs[0] == configs[1])
alike = sorted(orders[0]) == sorted(orders[1])
if not (same and alike and orders[0] != orders[1] and configs[0] == configs[1]):
    sys.exit("peft behaves otherwise now: read findings/README.md again")
PY
