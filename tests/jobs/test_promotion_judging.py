"""Judging versions of the shipped model that were changed on purpose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank.index.artifacts import MANIFEST, write_manifest
from rerank.index.errors import InputError
from rerank.index.records import Listing, shipped
from rerank.jobs.models.promoting import judge, latency_figures, verdict_text
from rerank.lifecycle.gates import CHAMPION_GATE, FITS, PARITY, LatencySettings, PromotionSettings
from rerank.lifecycle.opening import make_reference
from rerank.lifecycle.versions import CARD, SHIPPED_MODEL, VersionCard, VersionRef
from rerank.settings import settings_of
from rerank.workspace import Workspace

QUICK = settings_of(
    PromotionSettings,
    {
        "samples": 50,
        "sets": {"generated": 300},
        "latency": {"listings": 0},
    },
)
Doctored = Callable[..., VersionRef]


@pytest.fixture
def doctored(home) -> Doctored:
    """Return a function that makes a version of the shipped model with other parts."""

    def make(*, match: float = 0.0, scale: float = 1.0, reference=None) -> VersionRef:
        draft = home / "draft"
        shutil.copytree(shipped("model"), draft, ignore=shutil.ignore_patterns(CARD))
        parameters = json.loads((draft / MANIFEST).read_text(encoding="utf-8"))["parameters"]
        if match:
            parameters["thresholds"]["match"] = match
        calibrator = json.loads((draft / "calibrator.json").read_text(encoding="utf-8"))
        calibrator["probability"] = [scale * value for value in calibrator["probability"]]
        (draft / "calibrator.json").write_text(json.dumps(calibrator), encoding="utf-8")
        (draft / MANIFEST).unlink()
        made = write_manifest(draft, kind="ranker", format_version=1, parameters=parameters)
        if reference is not None:
            VersionCard(
                kind="ltr",
                version=made.fingerprint,
                created_at="2026-05-01T09:30:00Z",
                created_by="someone",
                reference=reference.as_dict(),
            ).write(draft)
        folder = Workspace(home).version_folder(VersionRef("ltr", made.fingerprint))
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft.rename(folder)
        return VersionRef("ltr", made.fingerprint)

    return make


@pytest.fixture(scope="module")
def reference(shipped_resolver):
    return make_reference(shipped_resolver, seed=11)


def gates_of(verdict) -> dict[str, bool]:
    return {gate.name: gate.passed for gate in verdict.gates}


def test_an_equal_model_passes_every_gate(home, doctored, reference):
    verdict = judge(Workspace(home), doctored(reference=reference), SHIPPED_MODEL, QUICK)
    assert verdict.failed == ()
    gates = {gate.name: gate for gate in verdict.gates}
    assert gates[PARITY].words == "100 reference listings are answered as when the model was made"
    gain = gates["gain in precision@1"].figure
    assert gain is not None
    assert (gain.value, gain.ci95) == (0.0, (0.0, 0.0))
    assert {"hard_set: ECE", "bootstrap_test: share accepted", "size, MB"} <= set(gates)
    kept = json.loads(json.dumps(verdict.as_dict(), allow_nan=False))
    assert set(kept["metrics"]["sets"]) == {"hard_set", "bootstrap_test"}
    own, other = (kept["metrics"]["sets"]["hard_set"][who] for who in ("candidate", "champion"))
    assert own == other
    text = verdict_text(verdict)
    assert max(map(len, text.splitlines())) <= 80
    assert text.endswith("every gate is passed")


def test_a_model_that_accepts_nothing_fails_by_its_floors_gain_and_slices(home, doctored):
    verdict = judge(Workspace(home), doctored(match=1.01), SHIPPED_MODEL, QUICK)
    failed = set(verdict.failed)
    assert {"bootstrap_test: share accepted", "gain in share accepted"} <= failed
    assert "set bootstrap_test: share accepted" in failed
    assert "gain in precision@1" not in failed
    lines = verdict_text(verdict).splitlines()
    assert lines[0].split() == ["gate", "figure", "[95", "%]", "bound"]
    floor = next(line for line in lines if line.startswith("bootstrap_test: share accepted"))
    assert floor.split()[-3:] == [">=", "0.75", "FAIL"]
    assert lines[-1] == f"{len(failed)} of {len(verdict.gates)} gates failed"
    assert verdict.metrics["slices"]["worst"][0]["difference"] < -0.5


def test_a_calibrator_that_was_changed_is_caught_by_floor_and_reference(home, doctored, reference):
    workspace = Workspace(home)
    plain = judge(workspace, doctored(scale=0.7), SHIPPED_MODEL, QUICK)
    assert {"bootstrap_test: ECE", "gain in share accepted"} <= set(plain.failed)
    with_card = judge(workspace, doctored(scale=0.8, reference=reference), SHIPPED_MODEL, QUICK)
    gates = {gate.name: gate for gate in with_card.gates}
    assert gates[FITS].passed
    gate = gates[PARITY]
    assert not gate.passed
    assert "reference listings are answered otherwise than when the model was made" in gate.words
    assert gate.figure is not None
    assert (gate.figure.n, gate.bound, gate.at_most) == (100, 0.0, True)
    assert gate.words.startswith(f"{gate.figure.value:.0f} of 100 reference listings")
    assert {"bootstrap_test: ECE", "gain in share accepted"} <= set(with_card.failed)


def test_reference_answers_can_be_required(home, doctored):
    required = settings_of(
        PromotionSettings,
        {
            "samples": 20,
            "parity": True,
            "sets": {"generated": 0},
            "latency": {"listings": 0},
        },
    )
    home.mkdir()
    bare = doctored(match=0.86)
    assert PARITY in judge(Workspace(home), bare, SHIPPED_MODEL, required).failed
    verdict = judge(Workspace(home), SHIPPED_MODEL, SHIPPED_MODEL, required)
    assert verdict.failed == ()


def test_a_damaged_candidate_fails_by_that_alone(home, doctored):
    version = doctored(scale=0.9)
    workspace = Workspace(home)
    (workspace.version_folder(version) / "offer.onnx").write_bytes(b"not trees")
    verdict = judge(workspace, version, SHIPPED_MODEL, QUICK)
    (gate,) = verdict.gates
    assert (gate.name, gate.passed) == (FITS, False)
    assert "offer.onnx: damaged: expected sha256" in gate.words


def test_beside_a_damaged_champion_floors_alone_decide(home, doctored):
    champion = doctored(scale=0.9)
    workspace = Workspace(home)
    (workspace.version_folder(champion) / "offer.onnx").unlink()
    verdict = judge(workspace, SHIPPED_MODEL, champion, QUICK)
    gates = gates_of(verdict)
    assert gates[CHAMPION_GATE] is True
    assert "hard_set: precision@1" in gates
    assert not any(name.startswith("gain") for name in gates)
    assert "champion" not in verdict.metrics["sets"]["hard_set"]


def test_gold_files_are_sets_with_floors_of_their_own(home, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "listing_id,title,vendor,kind,gold_models,gold_memory_gb,gold_form\n"
        "1,Palit RTX 4080 SUPER JetStream 16GB,Palit,match,GeForce RTX 4080 SUPER,16,\n"
        "2,Palit RTX 4080 GameRock 16GB,Palit,match,GeForce RTX 4070,16,\n",
        encoding="utf-8",
    )
    only_gold = settings_of(
        PromotionSettings,
        {
            "samples": 20,
            "sets": {"hard_set": False, "generated": 0, "gold": [str(path)]},
            "floors": {"mine": {"precision_at_1": 0.6}},
            "latency": {"listings": 0},
        },
    )
    verdict = judge(Workspace(home), SHIPPED_MODEL, SHIPPED_MODEL, only_gold)
    assert verdict.failed == ("mine: precision@1",)
    assert verdict.metrics["sets"]["mine"]["candidate"]["precision_at_1"]["value"] == 0.5
    path.rename(tmp_path / "hard_set.csv")
    with pytest.raises(InputError, match="gold files: hard_set is the name of a set of ours"):
        judge(
            Workspace(home), SHIPPED_MODEL, SHIPPED_MODEL, QUICK, gold=[tmp_path / "hard_set.csv"]
        )


class Slow:
    """A model on whose watch a clock goes on by a stated time a listing, once much longer."""

    def __init__(self, clock: list[int], each_ms: float) -> None:
        self.clock, self.each_ms, self.asked = clock, each_ms, 0

    def resolve(self, listing: Listing, *, top_k: int = 20) -> None:
        self.asked += 1
        hiccup = 50 if self.asked == 30 else 0
        self.clock[0] += int((self.each_ms + int(listing.listing_id) % 2 + hiccup) * 1e6)


def test_the_fastest_of_the_runs_counts_and_ratios_are_to_the_champion():
    now = [0]
    listings = [Listing(str(at), "rtx") for at in range(100)]
    found = latency_figures(
        Slow(now, 3.0),
        Slow(now, 1.0),
        listings,
        LatencySettings(listings=50, runs=2),
        seed=1,
        samples=20,
        clock=lambda: now[0],
    )
    # every second listing is timed: all have even ids, and no hiccup is left
    assert (found["p50_ms"].value, found["p99_ms"].value) == (3.0, 3.0)
    assert (found["p50_ratio"].value, found["champion_p99_ms"].value) == (3.0, 1.0)
    assert found["p99_ratio"].n == 50
    alone = latency_figures(
        Slow(now, 3.0), None, listings, LatencySettings(), seed=1, samples=20, clock=lambda: now[0]
    )
    assert (set(alone), alone["p99_ms"].value) == ({"p50_ms", "p99_ms"}, 4.0)
    nothing = LatencySettings(listings=0)
    assert latency_figures(Slow(now, 1), None, listings, nothing, seed=1, samples=20) == {}


def test_the_docs_name_every_setting():
    text = (Path(__file__).resolve().parents[2] / "docs" / "promotion.md").read_text("utf-8")
    settings = (Path(__file__).resolve().parents[2] / "configs" / "promotion.yaml").read_text(
        "utf-8"
    )
    keys = {line.split(":")[0].strip() for line in settings.splitlines() if ":" in line}
    metrics = ("precision", "accepted_share", "nil_false", "ece", "hard_set", "bootstrap_test")
    named = {key for key in keys if not key.startswith(("#", *metrics))}
    assert {key for key in named if f"`{key}`" not in text} == set()
