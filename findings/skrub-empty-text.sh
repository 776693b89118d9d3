#!/usr/bin/env bash
# Version:  skrub 0.11.0, pandas 2.3.3, Python 3.11.
# Expected: in a fuzzy join the distance of a row without text is the greatest there is, or such a row is not joined;
#           with a threshold that keeps right matches it stays out.
# Seen:     `fuzzy_join` gives an empty or missing text the distance 1.0 exactly, to whichever entry comes out, for
#           its vector has length 0 and all others 1. Titles that say less or more than the entry are further away
#           from the right one (1.03 and 1.14). So every `max_dist` that accepts these accepts the empty ones first;
#           sorted by distance they lead the list, and they count as accepted by default.
# Matters:  feeds have rows without a title. They are joined to a product, with more trust than rows that name it.
# Public:   https://skrub-data.org/stable/reference/generated/skrub.fuzzy_join.html does not speak of missing texts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'skrub==0.11.0' 'pandas==2.3.3' 'scikit-learn==1.9.1'
"$folder/venv/bin/python" - <<'PY'
import sys

import pandas as pd
from skrub import fuzzy_join

catalogue = pd.DataFrame({"name": ["GeForce RTX 4060", "GeForce RTX 4060 Ti", "Radeon RX 6600", "Radeon RX 6600 XT"]})
feed = pd.DataFrame({"title": ["rtx 4060 ti gaming", "RX6600", "", None]})
joined = fuzzy_join(
    feed, catalogue, left_on="title", right_on="name", suffix="_found", ref_dist="no_rescaling", add_match_info=True
)
distances = joined["skrub_Joiner_distance"].round(3).tolist()
for title, name, distance, accepted in zip(
    feed["title"], joined["name_found"], distances, joined["skrub_Joiner_match_accepted"], strict=True
):
    print(f"{title!s:20} {name:20} distance {distance:.3f}  accepted {accepted}")
right = joined["name_found"].tolist()[:2] == ["GeForce RTX 4060 Ti", "Radeon RX 6600"]
first = sorted(range(4), key=lambda row: distances[row])[:2]
print("nearest of all:", [feed["title"][row] for row in first])
if not right or distances[2:] != [1.0, 1.0] or sorted(first) != [2, 3] or not joined["skrub_Joiner_match_accepted"].all():
    sys.exit("empty texts are joined otherwise now: read findings/README.md again")
PY
