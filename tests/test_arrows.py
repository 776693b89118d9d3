"""Tests about the code: which way imports point, what is imported lazily, what packages export."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("index", "rerank", "jobs")

# What rerank may take from index: records, errors, paths, what reads text; no embedder, no FAISS.
LEAVES = {
    "records",
    "errors",
    "file_faults",
    "text",
    "artifacts",
    "naming",
    "lexicon",
    "name_evidence",
    "onnx_session",
    "ordering",
    "shipped",
    "stated_memory",
    "yaml_loader",
}

CROSS_ENCODER_TRAINING = {
    f"rerank/cross_encoder/{name}.py"
    for name in (
        "adapter",
        "artifact",
        "base_model",
        "export",
        "learner",
        "torch_scorer",
        "training",
    )
}
# The module that imports each heavy library; sentence_embedder serves transformers in all ways.
HOMES = {
    "duckdb": {"rerank/store/database.py"},
    "faiss": {"index/vector_index.py"},
    "lightgbm": {"rerank/tree_training.py"},
    "onnxmltools": {"rerank/tree_training.py"},
    "bitsandbytes": {"rerank/cross_encoder/base_model.py"},
    "peft": {"rerank/cross_encoder/adapter.py"},
    "optuna": {"rerank/dual/search.py"},
    "onnxruntime": {"index/onnx_session.py", "rerank/cross_encoder/export.py"},
    "ray": {"jobs/scoring/ray_cluster.py"},
    "sentence_transformers": {"index/embedder_training.py", "index/sentence_embedder.py"},
    "torch": {
        "index/embedder_training.py",
        "index/sentence_embedder.py",
        "rerank/pairwise/network.py",
        "rerank/dual/training.py",
        *CROSS_ENCODER_TRAINING,
    },
}
SLOW_TO_IMPORT = {*HOMES, "pandas", "rapidfuzz", "sklearn", "tokenizers", "transformers"}
UNSAFE = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


class Import(NamedTuple):
    """An import statement: the full module, where it stands, and whether inside a function."""

    path: str
    line: int
    module: str
    lazy: bool


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(name_of(path), child.lineno, alias.name, lazy)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import"
                for alias in child.names:
                    yield Import(name_of(path), child.lineno, f"{child.module}.{alias.name}", lazy)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, lazy or inside)

    yield from walk(tree, False)


ALL_IMPORTS = [found for path in sources() for found in imports_of(path)]


def importers(library: str) -> set[str]:
    return {found.path for found in ALL_IMPORTS if found.module.split(".")[0] == library}


def test_there_is_code_to_look_at() -> None:
    assert {found.path.split("/")[0] for found in ALL_IMPORTS} == set(PACKAGES)


@pytest.mark.parametrize(
    ("package", "forbidden"), [("index", {"rerank", "jobs"}), ("rerank", {"jobs"})]
)
def test_imports_point_from_jobs_to_rerank_to_index(package: str, forbidden: set[str]) -> None:
    wrong = [
        found
        for found in ALL_IMPORTS
        if found.path.startswith(f"{package}/") and found.module.split(".")[0] in forbidden
    ]
    assert wrong == []


def test_the_code_never_imports_its_tests() -> None:
    assert importers("tests") == set()


def test_rerank_takes_only_leaves_of_index() -> None:
    wrong = []
    for found in ALL_IMPORTS:
        parts = found.module.split(".")
        if found.path.startswith("rerank/") and parts[0] == "index" and parts[1] not in LEAVES:
            wrong.append(f"{found.path}:{found.line}: {found.module}")
    assert wrong == []


def test_records_and_errors_are_leaves() -> None:
    for leaf in ("index/records.py", "index/errors.py"):
        taken = {found.module.split(".")[0] for found in ALL_IMPORTS if found.path == leaf}
        assert taken <= {*sys.stdlib_module_names, "numpy"}, leaf


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_heavy_library_is_imported_at_home_only(library: str) -> None:
    assert importers(library) <= HOMES[library]
    assert importers(library), f"nothing imports {library}: take it out of HOMES"


def test_heavy_libraries_are_imported_inside_functions() -> None:
    eager = [
        found
        for found in ALL_IMPORTS
        if found.module.split(".")[0] in SLOW_TO_IMPORT and not found.lazy
    ]
    assert eager == []


@pytest.mark.parametrize("library", sorted(UNSAFE))
def test_nothing_is_pickled(library: str) -> None:
    assert importers(library) == set()


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import index, rerank, jobs",
        "import rerank.index.retriever, rerank.index.embedder, rerank.index.registry",
        "import rerank.resolver, rerank.model, rerank.training.train, rerank.training.trees",
    ],
)
def test_importing_a_package_loads_no_heavy_library(statement: str) -> None:
    assert loaded_by(statement) & SLOW_TO_IMPORT == set()


def export_lists() -> list[tuple[str, list[str]]]:
    found = []
    for path in sources():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                found.append((name_of(path), list(ast.literal_eval(node.value))))
    return found


def export_order(name: str) -> tuple[int, str]:
    """Order names as ruff's RUF022 does: CONSTANTS, then Classes, then functions."""
    if re.fullmatch(r"[A-Z0-9_]+", name):
        return 0, name
    return (1, name) if name[0].isupper() else (2, name)


@pytest.mark.parametrize(("path", "names"), export_lists(), ids=[p for p, _ in export_lists()])
def test_exports_are_sorted_and_exist(path: str, names: list[str]) -> None:
    assert names == sorted(set(names), key=export_order)
    dotted = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    module = importlib.import_module(dotted)
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", ["index", "rerank"])
def test_packages_export_and_only_export(package: str) -> None:
    source = (ROOT / package / "__init__.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    docstring = ast.get_docstring(tree)
    assert docstring
    assert "\n" not in docstring.strip()
    kinds = {type(node) for node in tree.body[1:]}
    assert kinds <= {ast.Import, ast.ImportFrom, ast.Assign}
    assert package in {path.split("/")[0] for path, _ in export_lists()}


def test_every_module_has_a_docstring_and_a_name_that_says_what_it_holds() -> None:
    bare = [
        name_of(path)
        for path in sources()
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert bare == []
    vague = {"utils", "util", "common", "misc", "helpers"}
    assert {path.stem for path in sources()} & vague == set()
