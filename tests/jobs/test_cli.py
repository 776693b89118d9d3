"""The command line itself: help, laziness, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rerank.jobs.cli import COMMANDS, main
from rerank.jobs.commands.models import SUBCOMMANDS
from rerank.jobs.options import NEXT_STEP
from rerank.lifecycle.opening import workspace_at
from rerank.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "faiss", "torch", "lightgbm", "onnxruntime", "pyarrow", "sklearn", "pandas")


def test_threads_are_quiet_before_a_library_that_has_them_is_loaded():
    """OpenBLAS reads its variable once; its threads spin, for half as much processor time again."""
    code = """
import builtins, os
from rerank.jobs.cli import main
load, at_numpy = builtins.__import__, []
def loading(name, *rest):
    if name == "numpy" and not at_numpy:
        at_numpy.append(os.environ.get("OPENBLAS_NUM_THREADS"))
    return load(name, *rest)
builtins.__import__ = loading
main(["score", "--help"], standalone_mode=False)
print("at numpy:", *at_numpy)
"""
    free = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=free, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[-1] == "at numpy: 1"


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_help_with_an_example_of_itself(run, name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"Example:\n    rerank {name}" in result.output


def _every_command(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _every_command(found, (*path, name))


def test_no_help_is_wider_than_80_columns(run):
    paths = list(_every_command(main))
    assert {("store", "import"), ("annotations", "suspects"), ("pairs", "capture")} < set(paths)
    wide = [
        (path, line)
        for path in paths
        for line in run(*path, "--help").output.splitlines()
        if len(line) > 80
    ]
    assert wide == []


def test_no_option_takes_what_is_not_a_number(run):
    tried = []
    for path in _every_command(main):
        command: click.Command = main
        for name in path:
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), name)
            assert found is not None
            command = found
        for option in command.params:
            if isinstance(option.type, click.types.FloatParamType):
                result = run(*path, option.opts[0], "nan")
                assert (path, option.name, result.exit_code) == (path, option.name, 2)
                assert f"Invalid value for '{option.opts[0]}'" in result.output
                tried.append(option.name)
    assert {"wait_s", "annotation_weight", "threshold", "coverage", "scale"} <= set(tried)


SAY_IT_IN_THEIR_RESULT = {("init",), ("serve",), ("verdicts", "set")}  # a service logs JSON alone


def test_every_command_ends_with_a_step_that_can_be_taken():
    paths = list(_every_command(main))
    for path in paths:
        command = main
        for name in path:
            command = command.get_command(click.Context(command), name)
        if isinstance(command, click.Group) or path in SAY_IT_IN_THEIR_RESULT:
            continue
        step = getattr(command.callback, NEXT_STEP)
        given = {param.name: "x" for param in command.params}
        told = step.format_map({**given, "home": " --home x"})
        for called in re.findall(r"`rerank ([a-z -]+)", told):
            words = tuple(word for word in called.split() if not word.startswith("-"))
            assert any(words[:n] in paths for n in (1, 2)), (path, called)


def test_the_step_that_is_useful_next_names_the_workspace_and_is_nothing_for_programs(
    run, tmp_path, monkeypatch
):
    other = tmp_path / "a shop"
    other.mkdir()
    told = run("models", "list", "--home", other).stderr
    assert " ".join(told.split()) == (
        f"workspace {other}; next: `rerank models compare champion VERSION --listings FILE "
        f"--home '{other}'` lets two answer"
    )
    assert run("models", "list", "--home", other, "--format", "json").stderr == ""
    assert run("models", "list").stderr.startswith("no workspace yet, what ships serves; next: ")
    assert "next:" not in run("models", "promote", "nothing").stderr


def test_a_workspace_is_found_in_a_folder_above_and_named(tmp_path, monkeypatch):
    deep = tmp_path / "shop" / "feeds"
    deep.mkdir(parents=True)
    monkeypatch.delenv("RERANK_HOME", raising=False)
    monkeypatch.chdir(deep)

    def homed(*more: str) -> tuple[str, str]:
        result = CliRunner().invoke(main, ["status", "--format", "json", *more])
        return json.loads(result.stdout)["home"], result.stderr

    assert homed() == (".rerank", "")
    above = tmp_path / "shop" / ".rerank"
    above.mkdir()
    assert homed() == (str(above), f"workspace {above}\n")
    assert workspace_at(None) == Workspace(above)
    assert homed("--home", "other") == ("other", "")
    monkeypatch.setenv("RERANK_HOME", "named")
    assert homed() == ("named", "")
    assert workspace_at(None) == Workspace(Path("named"))
    monkeypatch.delenv("RERANK_HOME")
    (deep / ".rerank").mkdir()
    assert homed() == (".rerank", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_stands_in_the_readme_and_with_an_example_in_the_docs(name):
    assert f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")
    commands = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in commands
    assert f"`rerank {name}" in commands


@pytest.mark.parametrize("names", [(), ("models",)], ids=["rerank", "models"])
def test_commands_and_the_modules_that_hold_them_agree(names):
    group = main
    for name in names:
        group = group.get_command(click.Context(group), name)
    listed = group.list_commands(click.Context(group))
    assert len(listed) == len(set(listed))
    assert {group.get_command(click.Context(group), name).name for name in listed} == {*listed}


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_command_of_models_has_help_with_an_example_of_itself(run, name):
    result = run("models", name, "--help")
    assert result.exit_code == 0
    assert f"Example:\n    rerank models {name}" in result.output
    assert f"  {name} " in run("models", "--help").output


def test_help_lists_every_command(run):
    result = run("--help")
    assert result.exit_code == 0
    for name, line in COMMANDS.items():
        assert f"  {name} " in result.output
        assert line.split()[0] in result.output


def test_help_groups_the_commands_under_headings(run):
    lines = run("--help").output.splitlines()
    headings = [line.partition(":")[0] for line in lines if line[:1].isupper() and line[-1] == ":"]
    assert headings == ["Options", "Use", "Build", "Train", "Judge", "Operate"]


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        (["scroe"], "command 'scroe'. Did you mean 'score'?"),
        (["resolv", "rtx 3080"], "command 'resolv'. Did you mean 'resolve'?"),
        (["models", "promte"], "command 'promte'. Did you mean 'promote'?"),
        (["store", "imprt"], "command 'imprt'. Did you mean 'import'?"),
        (["pairs", "exprot"], "command 'exprot'. Did you mean 'export'?"),
        (["annotations", "suspcts"], "command 'suspcts'. Did you mean 'suspects'?"),
        (["models", "list", "--knd", "ltr"], "option '--knd'. Did you mean '--kind'?"),
        (["zzzz"], "command 'zzzz'."),
    ],
)
def test_a_typo_is_a_usage_error_that_names_what_is_nearest(run, typed, nearest):
    result = run(*typed)
    assert result.exit_code == 2
    assert result.output.rstrip().endswith(f"No such {nearest}")


def test_where_benchmarks_are_is_said(run):
    result = run("bench", "--quick")
    assert result.exit_code == 2
    said = "Error: Benchmarks are run from a checkout of the repository: `make bench`.\n"
    assert result.output == said


def test_without_arguments_help_is_shown(run):
    assert run().output == run("--help").output


def test_version(run):
    assert run("--version").output.strip().endswith("0.1.0")


def test_main_is_the_console_script():
    assert main.name == "main"
    assert callable(main)


def _loaded_by(code: str, tmp_path: Path) -> set[str]:
    script = (
        f"{code}\nimport sys, json; print(json.dumps([m for m in sys.modules if '.' not in m]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"RERANK_HOME": str(tmp_path), "PATH": ""},
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_nothing_heavy(tmp_path):
    code = "from rerank.jobs.cli import main\nmain(['--help'], standalone_mode=False)"
    assert not _loaded_by(code, tmp_path) & set(HEAVY)


def test_importing_the_front_door_imports_nothing_heavy(tmp_path):
    assert not _loaded_by("import rerank", tmp_path) & set(HEAVY)
    loaded = _loaded_by("from rerank import open_resolver", tmp_path)
    assert not loaded & (set(HEAVY) - {"numpy", "pyarrow"})


@pytest.mark.smoke
def test_resolving_and_scoring_import_nothing_heavy_but_tokenizers(tmp_path, write_listings):
    source = write_listings("in.csv", [{"listing_id": "1", "title": "rtx 3080 10gb"}])
    target = tmp_path / "out.parquet"
    code = (
        "from rerank.jobs.cli import main\n"
        "main(['resolve', 'rtx 3080 10gb'], standalone_mode=False)\n"
        f"main(['score', {str(source)!r}, {str(target)!r}], standalone_mode=False)"
    )
    loaded = _loaded_by(code, tmp_path)
    assert "tokenizers" in loaded
    assert not loaded & {"torch", "lightgbm", "sklearn", "transformers", "sentence_transformers"}
    assert not loaded & {"faiss", "onnxruntime", "scipy"}


def test_no_text_tells_to_install_the_package_of_a_stranger():
    """`rerank` on the index is not ours: ours is `listing-rerank`."""
    extra = r"rerank\[(?:annotate|dev|neural|ray|train)\b"
    wrong = re.compile(rf"(?<![-\w]){extra}|pip install (?:-\S+ )*[\"']?rerank\b(?![-./])")
    texts = [path for end in ("py", "md", "toml") for path in ROOT.glob(f"*/**/*.{end}")]
    texts += [path for end in ("py", "md", "toml") for path in ROOT.glob(f"*.{end}")]
    ours = [path for path in texts if not path.relative_to(ROOT).parts[0].startswith(".")]
    assert {ROOT / "README.md", ROOT / "pyproject.toml", ROOT / "jobs/cli.py"} < set(ours)
    found = [
        path.relative_to(ROOT).as_posix()
        for path in ours
        if path != Path(__file__).resolve()
        and wrong.search(" ".join(path.read_text(encoding="utf-8").split()))
    ]
    assert found == []
