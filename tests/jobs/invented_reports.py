"""Evaluation reports whose numbers are invented, for tests of the page only."""

from __future__ import annotations

import copy
from typing import Any


def measured(value: float, half: float = 0.02, n: int = 150) -> dict[str, Any]:
    return {"value": value, "ci95": [round(value - half, 4), round(value + half, 4)], "n": n}


def invented_failure(at: int) -> dict[str, Any]:
    return {
        "listing_id": f"shop-{at:04d}",
        "title": f"Zephyr Storm 9600 GT card no {at}",
        "want": "GeForce 9600 GT 0.5 GB",
        "got": "GeForce 9600 GSO 0.38 GB",
        "decision": "match" if at % 3 else "review",
        "probability": round(0.31 + at % 50 / 100, 4),
        "lost_to": "ranking" if at % 2 else "decision",
        "cause": "suffix" if at % 2 else "close rival",
        "right": "GeForce 9600 GT 0.5 GB PCIe" if at % 5 else None,
        "features": [
            {
                "feature": f"f{i}",
                "words": f"feature {i}",
                "right": float(i),
                "chosen": 0.5,
                "contribution": 1.5 - i,
            }
            for i in range(8)
        ],
    }


def invented_ablation(n: int) -> dict[str, Any]:
    ladder = [("cosine", "cosine only", 0.61), ("full", "full system", 0.93)]
    steps = [
        {
            "name": name,
            "label": label,
            "group": "ladder",
            "features": ["similarity"],
            "metrics": {"precision_at_1": measured(value), "mrr": measured(value)},
            "difference": {
                "precision_at_1": {
                    "value": round(value - 0.93, 4),
                    "ci95": [-0.4, -0.01],
                    "p_value": 0.001,
                    "p_adjusted": 0.004,
                }
            },
        }
        for name, label, value in ladder
    ]
    left_out = copy.deepcopy(steps[0])
    left_out |= {"name": "memory", "label": "without memory", "group": "left_out"}
    return {"n": n, "steps": [*steps, left_out]}


def invented_set(n_failures: int = 4) -> dict[str, Any]:
    """Return one set of a report; every number in it is invented."""
    metrics = {
        "precision_at_1": 0.934,
        "recall_at_3": 0.951,
        "recall_at_10": 0.962,
        "recall_at_20": 0.963,
        "mrr": 0.944,
        "ndcg_at_10": 0.937,
        "roc_auc": 0.955,
        "pr_auc": 0.948,
        "ece": 0.041,
        "brier": 0.052,
        "aurc": 0.061,
        "nil_false_match_rate": 0.021,
        "accepted_share": 0.811,
        "accepted_share_at_precision": 0.467,
        "precision_of_accepted": 0.978,
        "memory_variant_accuracy": 0.929,
        "open_memory_accuracy": 0.913,
        "variant_ece": 0.032,
    }
    grid = [round(at / 20, 3) for at in range(1, 21)]
    return {
        "n": 300,
        "kinds": {"match": 150, "nil": 150, "ambiguous": 7},
        "metrics": {name: measured(value) for name, value in metrics.items()},
        "baselines": {
            "token_coverage": {
                "precision_at_1": measured(0.517),
                "mrr": measured(0.611),
                "gain_precision_at_1": measured(0.417),
            },
            "rapidfuzz_wratio": {
                "precision_at_1": measured(0.163),
                "gain_precision_at_1": measured(0.771),
            },
        },
        "comparisons": [
            {
                "metric": "precision_at_1",
                "system": "rerank",
                "baseline": "token_coverage",
                "difference": 0.417,
                "ci95": [0.35, 0.48],
                "p_value": 0.0005,
                "p_adjusted": 0.0123,
                "n": 150,
            }
        ],
        "loss_budget": {
            "listings": 300,
            "right": 271,
            "errors": 29,
            "retrieval": 3,
            "ranking": 5,
            "decision": 20,
            "label": 1,
        },
        "curves": {
            "reliability": [
                {
                    "low": at / 10,
                    "high": (at + 1) / 10,
                    "n": 3 * at,
                    "ci95": [0.01, 0.99],
                    "mean_probability": at / 10 + 0.05 if at else None,
                    "share_correct": at / 10 if at else None,
                }
                for at in range(10)
            ],
            "risk_coverage": {
                "coverage": grid,
                "risk": [x / 8 for x in grid],
                "low": [x / 10 for x in grid],
                "high": [x / 6 for x in grid],
            },
            "precision_recall": {
                "recall": grid,
                "precision": [1 - x / 9 for x in grid],
                "low": [1 - x / 6 for x in grid],
                "high": [1 - x / 12 for x in grid],
            },
        },
        "candidate_sets": {
            "level": 0.95,
            "coverage": measured(0.943, n=300),
            "mean_size": measured(1.37, n=300),
        },
        "slices": {
            "chip vendor": {
                "NVIDIA": {"precision_at_1": measured(0.935, n=93), "brier": measured(0.05)},
                "AMD": {"precision_at_1": measured(0.755, n=52)},
                "Intel": {"precision_at_1": measured(0.8, n=5)},
                "no match": {"precision_at_1": {"value": None, "ci95": [None, None], "n": 0}},
            }
        },
        "confusions": [
            {
                "gold": "GeForce 9600 GT",
                "found": "GeForce 9600 GSO",
                "n": 3,
                "listing_ids": ["shop-0001", "shop-0007"],
            }
        ],
        "failures": [invented_failure(at) for at in range(n_failures)],
        "causes": {"suffix": 17, "close rival": 12},
        "routes": {
            "vector": {"recall_at_1": measured(0.664), "recall_at_20": measured(0.847)},
            "fused": {"recall_at_1": measured(0.914), "recall_at_20": measured(0.963)},
        },
    }


def invented_report(n_failures: int = 4) -> dict[str, Any]:
    return {
        "format_version": 2,
        "run_id": "run-17",
        "started_at": "2031-02-03T04:05:06Z",
        "model_version": "0a1b2c3d",
        "index_version": "4e5f6071",
        "registry_version": "8293a4b5",
        "machine": {"cores": 2, "python": "3.11.9", "platform": "somewhere"},
        "seed": 20,
        "samples": 1000,
        "latency_ms": {"p50": 1.66, "p99": 2.13, "n": 300},
        "sets": {"hard_set": invented_set(n_failures), "other_set": invented_set(2)},
        "ablation": {"sets": {"hard_set": invented_ablation(150)}, "scale": 0.3, "seed": 7},
    }
