"""Tests about the code: which way imports point, what is imported lazily, what packages export."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import rerank

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("index", "rerank", "jobs")

# What rerank may take from index: records, errors, paths, what reads text; no embedder, no FAISS.
LEAVES = {"artifacts", "errors", "records", "rows", "text"}
# What puts together a whole of index and model.
COMPOSERS = {"rerank/__init__.py", "rerank/lifecycle/model_registry.py", "rerank/workspace.py"}

MOST_FILES = 187

# The one seam between the packs and the rest: it looks a pack up by its name.
DOMAIN_SEAM = "rerank/domain.py"

# The module that imports each heavy library; sentence_embedder serves transformers in all ways.
HOMES = {
    "duckdb": {"rerank/store/database.py"},
    "faiss": {"index/vector_index.py"},
    "filelock": {"index/artifacts.py"},
    "jinja2": {"jobs/tables.py"},
    "lightgbm": {"rerank/trees.py"},
    "onnxmltools": {"rerank/trees.py"},
    "cryptography": {"rerank/lifecycle/versions.py"},
    "bitsandbytes": {"rerank/cross_encoder/base_model.py"},
    "orjson": {"jobs/service/operations.py"},
    "peft": {"rerank/cross_encoder/base_model.py"},
    "openpyxl": {"jobs/files/text_formats.py", "jobs/scoring/flat_files.py"},
    "narwhals": {"jobs/scoring/frames.py"},
    "optuna": {"rerank/rankers/dual_experiment.py"},
    "onnxruntime": {"index/artifacts.py", "rerank/cross_encoder/finetuning.py"},
    "prometheus_client": {"jobs/service/access.py"},
    "pydantic": {"rerank/settings.py"},
    "pydantic_core": {"rerank/settings.py"},
    "ray": {"jobs/scoring/ray_engine.py"},
    "sentence_transformers": {"index/embedder_training.py", "index/sentence_embedder.py"},
    "starlette": {"jobs/service/app.py"},
    "torch": {
        "index/embedder_training.py",
        "index/sentence_embedder.py",
        "rerank/cross_encoder/base_model.py",
        "rerank/cross_encoder/finetuning.py",
        "rerank/rankers/networks.py",
    },
    "uvicorn": {"jobs/service/app.py"},
}
SLOW_TO_IMPORT = {*HOMES, "pandas", "rapidfuzz", "scipy", "sklearn", "tokenizers", "transformers"}
UNSAFE = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


class Import(NamedTuple):
    """An import statement: the full module, where it stands, and whether inside a function."""

    path: str
    line: int
    module: str
    lazy: bool


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a file, once for all tests that look at it; nothing may change the tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layer_of(module: str) -> str:
    """Return `index` or `jobs` of their modules, `rerank` of its own, else the library."""
    first, _, rest = module.partition(".")
    second = rest.partition(".")[0]
    return second if first == "rerank" and second in ("index", "jobs") else first


def imports_of(path: Path) -> Iterator[Import]:
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

    yield from walk(tree_of(path), False)


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
        if found.path.startswith(f"{package}/")
        and found.path != "rerank/__init__.py"  # the front door of all three
        and layer_of(found.module) in forbidden
    ]
    assert wrong == []


def test_the_code_never_imports_its_tests() -> None:
    assert importers("tests") == set()


def test_rerank_takes_only_leaves_of_index() -> None:
    wrong = []
    for found in ALL_IMPORTS:
        composes = found.path in COMPOSERS or found.path.startswith("rerank/packs/")
        if not found.path.startswith("rerank/") or composes:
            continue
        if layer_of(found.module) == "index" and found.module.split(".")[2] not in LEAVES:
            wrong.append(f"{found.path}:{found.line}: {found.module}")
    assert wrong == []


def test_only_the_seam_knows_packs() -> None:
    wrong = [
        (file, target)
        for file, targets in graph().items()  # what is imported for types alone counts, too
        for target in targets
        if target.startswith("rerank/packs/")
        and not file.startswith("rerank/packs/")
        and file != DOMAIN_SEAM
    ]
    assert wrong == []


def test_nothing_that_measures_or_trains_reads_verdicts() -> None:
    readers = {found.path for found in ALL_IMPORTS if found.module.startswith("rerank.verdicts")}
    answering = ("jobs/commands/", "jobs/scoring/", "jobs/service/")
    wrong = {path for path in readers if not path.startswith(answering)}
    assert wrong <= {"jobs/status.py", "rerank/lifecycle/opening.py"}
    assert not readers & {f"jobs/commands/{name}.py" for name in ("evaluation", "train", "traffic")}


def test_records_and_errors_are_leaves() -> None:
    for leaf in ("index/records.py", "index/errors.py"):
        taken = {layer_of(found.module) for found in ALL_IMPORTS if found.path == leaf}
        own = {"index"} if leaf == "index/records.py" else set()
        assert taken <= {*sys.stdlib_module_names, "numpy", *own}, leaf


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
        "import rerank, rerank.index, rerank.jobs.cli",
        "import rerank.packs.gpu.retriever, rerank.index.embedder, rerank.packs.gpu.registry",
        "import rerank.resolver, rerank.model, rerank.packs.gpu.training.train, rerank.trees",
    ],
)
def test_importing_a_package_loads_no_heavy_library(statement: str) -> None:
    assert loaded_by(statement) & SLOW_TO_IMPORT == set()


@cache
def export_lists() -> list[tuple[str, list[str]]]:
    found = []
    for path in sources():
        for node in tree_of(path).body:
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
    dotted = dotted if dotted.startswith("rerank") else f"rerank.{dotted}"
    module = importlib.import_module(dotted)
    assert [name for name in names if not hasattr(module, name)] == []


def test_the_front_door_names_what_it_opens() -> None:
    assert [name for name in rerank.__all__ if not hasattr(rerank, name)] == []
    assert dir(rerank) == sorted([*rerank.__all__, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'open_resolvers'"):
        rerank.open_resolvers  # noqa: B018


@pytest.mark.parametrize(
    "package",
    sorted(
        path.parent.relative_to(ROOT).as_posix()
        for path in sources()
        if path.name == "__init__.py" and path.parent.name != "rerank"
    ),
)
def test_packages_hold_a_sentence_and_nothing_else(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_the_wheel_names_every_package_of_code() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = tomllib.loads(text)["tool"]["setuptools"]["packages"]
    folders = {name_of(path.parent) for path in sources()}
    dotted = {folder.replace("/", ".") for folder in folders}
    dotted = {name if name.startswith("rerank") else f"rerank.{name}" for name in dotted}
    assert {name for name in named if not name.startswith("rerank.data")} == dotted


@cache
def graph() -> dict[str, set[str]]:
    """Return which files each file imports: lazily and for types, too."""
    files = {}
    for path in sources():
        name = name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        files[name if name.startswith("rerank") else f"rerank.{name}"] = name_of(path)
    found: dict[str, set[str]] = {file: set() for file in files.values()}
    for path in sources():
        for node in ast.walk(tree_of(path)):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            for module in modules:
                while module and module not in files:
                    module = module.rpartition(".")[0]
                if module:
                    found[name_of(path)].add(files[module])
    return {file: targets - {file} for file, targets in found.items()}


def test_files_import_each_other_in_no_circle() -> None:
    left = graph()
    while leaves := {file for file, targets in left.items() if not targets & left.keys()}:
        left = {file: targets for file, targets in left.items() if file not in leaves}
    assert sorted(left) == []


def test_a_class_name_stands_once() -> None:
    counts = Counter(
        node.name
        for path in sources()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in counts.items() if count > 1] == []


def test_the_house_does_not_grow_back() -> None:
    files = [path for path in sources() if path.name != "__init__.py"]
    assert len(sources()) <= MOST_FILES
    assert sum(count > 1 for count in Counter(path.name for path in files).values()) <= 8
    assert [name_of(path) for path in files if "# fmt: skip" in path.read_text("utf-8")] == []
    longest = max(
        (node.end_lineno or 0) - node.lineno + 1
        for path in files
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef)
    )
    assert longest < 60


def test_every_module_has_a_docstring_and_a_name_that_says_what_it_holds() -> None:
    bare = [name_of(path) for path in sources() if not ast.get_docstring(tree_of(path))]
    assert bare == []
    vague = {"utils", "util", "common", "misc", "helpers"}
    assert {path.stem for path in sources()} & vague == set()
