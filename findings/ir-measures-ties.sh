#!/usr/bin/env bash
# Version:  ir_measures 0.4.3 (with pytrec_eval-terrier 0.5.11), Python 3.11.
# Expected: a measure with a cutoff is at most the same measure without: RR@10 <= RR, as the first ten
#           places are a part of all. Measures asked for in one call see one ranking.
# Seen:     RR is computed by pytrec_eval, RR@10 by MS MARCO's script. Of equal scores the first ranks the
#           later document id first, the second the earlier. One run of two documents with equal scores
#           has RR 0.5 and RR@10 1.0, in one call; the other document relevant, 1.0 and 0.5.
# Matters:  trees and rounded scores give many ties; a ranker that scores everything alike earns 1.0 or 0.5
#           by the names of its documents and by which of the two measures is reported.
# Public:   https://github.com/terrierteam/ir_measures/issues/18 (open) tells of ties and of providers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'ir_measures==0.4.3' 'pytrec_eval-terrier==0.5.11'
"$folder/venv/bin/python" - <<'PY'
import sys

import ir_measures
from ir_measures import RR, P, Qrel, ScoredDoc

run = [ScoredDoc("listing", gpu, 0.5) for gpu in ("gpu-a", "gpu-b")]
found = {}
for relevant in ("gpu-a", "gpu-b"):
    values = ir_measures.calc_aggregate([RR, RR @ 10, P @ 1], [Qrel("listing", relevant, 1)], run)
    found[relevant] = (values[RR], values[RR @ 10], values[P @ 1])
    print(f"{relevant} relevant, equal scores: RR, RR@10, P@1 =", *found[relevant])

ranked = [ScoredDoc("listing", "gpu-a", 0.6), ScoredDoc("listing", "gpu-b", 0.4)]
values = ir_measures.calc_aggregate([RR, RR @ 10], [Qrel("listing", "gpu-b", 1)], ranked)
print("without ties both agree: RR, RR@10 =", values[RR], values[RR @ 10])

if found != {"gpu-a": (0.5, 1.0, 0.0), "gpu-b": (1.0, 0.5, 1.0)} or set(values.values()) != {0.5}:
    sys.exit("ir_measures behaves otherwise now: read findings/README.md again")
PY
