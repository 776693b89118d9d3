"""Rankers that installed packages bring by entry points."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rerank.index.errors import MissingExtraError
from rerank.index.records import shipped
from rerank.model import RerankModel, save_model
from rerank.rankers.kinds import RankerFolder, RankerKind, outside_rankers, ranker_kinds
from rerank.workspace import Workspace

MODULE = """
import numpy

class Constant:
    def __init__(self, folder):
        self.value = float((folder / "value.txt").read_text())

    def score(self, batch):
        return numpy.full(len(batch.features), self.value, numpy.float32)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with an installed package that brings the ranker `constant`, and names taken."""
    folder = tmp_path / "site"
    info = folder / "constant_ranker-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "constant_ranker.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: constant-ranker\nVersion: 1.0\n")
    names = ("constant", "dual", "index", "../up")
    lines = (f"{name} = constant_ranker:Constant\n" for name in names)
    (info / "entry_points.txt").write_text("[rerank.rankers]\n" + "".join(lines))
    return folder


@pytest.fixture
def installed(package: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        patched.syspath_prepend(package)
        outside_rankers.cache_clear()
        yield patched
    outside_rankers.cache_clear()


def test_a_ranker_of_an_installed_package_is_a_kind_beside_those_built_in(installed, tmp_path):
    assert ranker_kinds() == ["ltr", "pairwise", "dual", "cross-encoder", "constant"]
    kind = RankerKind("constant")
    assert (str(kind), kind.value, pickle.loads(pickle.dumps(kind))) == ("constant",) * 3
    assert kind.maker == "the package that brings it"
    assert RankerKind("dual").maker == "`rerank train-dual`"
    assert Workspace(tmp_path).trained_ranker(kind).folder == tmp_path / "models" / "constant"


def test_its_model_is_saved_and_loaded_and_says_what_it_lacks(installed, tmp_path):
    own, folder, model = tmp_path / "own", tmp_path / "model", RerankModel.load(shipped("model"))
    own.mkdir()
    (own / "value.txt").write_text("2.5")
    save_model(
        folder,
        ranker=RankerFolder(RankerKind("constant"), own),
        offer=(model.offer_text, (shipped("model") / "offer.onnx").read_bytes()),
        calibrator=model.calibrator,
        thresholds=model.thresholds,
        parameters={},
    )
    loaded = RerankModel.load(folder)
    assert loaded.parameters["ranker_kind"] == "constant"

    class Batch:
        features = np.zeros((3, 2), np.float32)

    assert loaded.ranker.score(Batch()).tolist() == [2.5] * 3
    installed.undo()
    outside_rankers.cache_clear()
    with pytest.raises(
        MissingExtraError, match=r"one of ltr, .*, got 'constant'; install the pack"
    ):
        RerankModel.load(folder)


def test_the_command_line_names_it(package):
    path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    code = "from rerank.jobs.cli import main; main()"
    for arguments in (["resolve", "x", "--ranker"], ["train-decision"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, "magic"],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert done.returncode == 2, done.stderr
        assert "'pairwise', 'dual', 'cross-encoder', 'constant'" in done.stderr
