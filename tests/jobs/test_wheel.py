"""The built wheel, installed into an empty environment outside the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    files = ["index", "rerank", "jobs", "data", "pyproject.toml", "README.md", "LICENSE"]
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in files), str(source)], check=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(folder),
            str(source),
        ],
        check=True,
        capture_output=True,
    )
    (found,) = folder.glob("rerank-*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_the_shipped_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "index",
        "rerank",
        "jobs",
        "rerank_data",
    }
    shipped = {name.removeprefix("rerank_data/") for name in names if "rerank_data/" in name}
    expected = {
        path.relative_to(ROOT / "data").as_posix()
        for path in (ROOT / "data").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == expected
    assert {"cues.yaml", "hard_set.csv", "demo_listings.parquet", "model/ranker.onnx"} <= shipped
    code = {
        path.relative_to(ROOT).as_posix()
        for name in ("index", "rerank", "jobs")
        for path in (ROOT / name).rglob("*.py")
    }
    assert code <= set(names)


@pytest.mark.slow
def test_the_installed_wheel_resolves_outside_the_checkout(wheel, tmp_path):
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)],
        check=True,
        capture_output=True,
    )
    # The dependencies of the test's own environment, without its editable checkout: installing
    # torch again would take minutes.
    (packages,) = (environment / "lib").glob("python*/site-packages")
    dependencies = tmp_path / "dependencies"
    dependencies.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "rerank" not in path.name and path.suffix != ".pth":
            (dependencies / path.name).symlink_to(path)
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")
    done = subprocess.run(
        [environment / "bin" / "rerank", "resolve", "--format", "json", "rtx 3080 10gb"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RERANK"))},
    )
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["model"], row["memory_gb"]) == ("GeForce RTX 3080", 10)
    where = subprocess.run(
        [python, "-c", "from rerank.index.records import shipped; print(shipped('model'))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout
    assert where.strip() == str(packages / "rerank_data" / "model")
