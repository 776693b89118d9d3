"""The command line itself: help, laziness, exit codes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rerank.jobs.cli import COMMANDS, main
from rerank.jobs.commands.models import SUBCOMMANDS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "faiss", "torch", "lightgbm", "onnxruntime", "pyarrow", "sklearn", "pandas")


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


@pytest.mark.parametrize("name", COMMANDS)
def test_command_stands_in_the_readme(name):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in readme
    assert f"`rerank {name}" in readme


def test_command_files_and_the_list_of_commands_agree():
    files = {path.stem.replace("_", "-") for path in (ROOT / "jobs/commands").glob("[a-z]*.py")}
    of_models = {f"models-{name}" for name in SUBCOMMANDS}
    assert files == {*COMMANDS, *of_models}
    for name in files:
        module = importlib.import_module(f"jobs.commands.{name.replace('-', '_')}")
        assert module.command.name == (name[len("models-") :] if name in of_models else name)


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


def test_unknown_command_is_a_usage_error(run):
    result = run("resolv")
    assert result.exit_code == 2
    assert "No such command" in result.output


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


def test_importing_jobs_imports_nothing_heavy(tmp_path):
    assert not _loaded_by("from jobs import open_resolver", tmp_path) & set(HEAVY)


@pytest.mark.smoke
def test_resolving_and_scoring_import_neither_torch_nor_lightgbm(tmp_path, write_listings):
    source = write_listings("in.csv", [{"listing_id": "1", "title": "rtx 3080 10gb"}])
    target = tmp_path / "out.parquet"
    code = (
        "from rerank.jobs.cli import main\n"
        "main(['resolve', 'rtx 3080 10gb'], standalone_mode=False)\n"
        f"main(['score', {str(source)!r}, {str(target)!r}], standalone_mode=False)"
    )
    loaded = _loaded_by(code, tmp_path)
    assert "faiss" in loaded
    assert not loaded & {"torch", "lightgbm", "sklearn", "transformers", "sentence_transformers"}
