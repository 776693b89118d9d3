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

from rerank.index.errors import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
EXTRA = {name for names in EXTRAS.values() for name in names} | {
    "onnx",
    "pandas",
    "scikit_learn",
    "scipy",
    "skl2onnx",
    "transformers",
}
FOLDERS = {
    "rerank": Path("rerank"),
    "index": Path("rerank/index"),
    "jobs": Path("rerank/jobs"),
    "data": Path("rerank/data"),
    "configs": Path("rerank/data/configs"),
    "docs": Path("rerank/data/docs"),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"))


def built(folder: Path, *, old: bool = False) -> Path:
    """Build a wheel of a copy of the sources, all of which an old one got long ago."""
    source = folder / "source"
    source.mkdir()
    files = ["index", "rerank", "jobs", "data", "configs", "docs"]
    files += ["pyproject.toml", "README.md", "LICENSE"]
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in files), str(source)], check=True)
    for link in source.rglob("*"):  # as a checkout without links has it: the mapping is enough
        if link.is_symlink():
            link.unlink()
        elif old:
            os.utime(link, (1_500_000_000, 1_500_000_000))
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
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
    )
    (found,) = folder.glob("listing_rerank-*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_the_shipped_data_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0].split("-")[0] for name in names} == {"rerank", "listing_rerank"}
    assert "rerank/py.typed" in names
    expected = {
        (target / path.relative_to(ROOT / folder)).as_posix()
        for folder, target in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith("rerank/")} == expected
    assert "rerank/data/model/ranker.onnx" in names
    assert "rerank/data/configs/train_lora.yaml" in names
    assert "rerank/data/docs/score.md" in names


@pytest.mark.slow
def test_a_wheel_that_is_built_twice_is_the_same_to_the_last_byte(wheel, tmp_path):
    assert built(tmp_path, old=True).read_bytes() == wheel.read_bytes()


@pytest.mark.slow
def test_the_installed_wheel_resolves_outside_the_checkout(wheel, tmp_path):
    environment = tmp_path / "env"
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RERANK"))}
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", str(wheel)],
        check=True,
        capture_output=True,
    )
    # The dependencies of the test's own environment, without its editable checkout and what only
    # extras bring: installing them again would take minutes.
    (packages,) = (environment / "lib").glob("python*/site-packages")
    dependencies = tmp_path / "dependencies"
    dependencies.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        name = path.name.partition("-")[0].partition(".")[0].lower()
        if "rerank" not in name and path.suffix != ".pth" and name not in EXTRA:
            (dependencies / path.name).symlink_to(path)
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")
    done = subprocess.run(
        [environment / "bin" / "rerank", "resolve", "--format", "json", "rtx 3080 10gb"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=outside,
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
        env=outside,
    ).stdout
    assert where.strip() == str(packages / "rerank" / "data" / "model")

    def said(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [environment / "bin" / "rerank", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=outside,
        )
        return done.returncode, done.stdout + done.stderr

    # Without any extra: explained, and told in one line what to install.
    code, text = said("resolve", "--explain", "rtx 3080 10gb")
    assert (code, "GeForce RTX 3080" in text) == (0, True), text
    assert said("train-ltr") == (
        1,
        "Error: rerank train-ltr needs lightgbm, which is not installed: "
        "`pip install 'listing-rerank[train]'`\n",
    )
    code, text = said("train-cross-encoder", "--config", "configs/train_lora.yaml")
    assert (code, text.count("\n")) == (1, 1), text
    assert "pip install 'listing-rerank[neural]'" in text
