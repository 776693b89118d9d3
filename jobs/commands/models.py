"""`rerank models`: versions, what names them, promotion and rollback."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from rerank.index.errors import InputError
from rerank.jobs.cli import LazyGroup
from rerank.jobs.files.store_files import write_table
from rerank.jobs.models.comparing import (
    ModelComparisonPlan,
    changed_rows,
    compare_versions,
    comparison_text,
)
from rerank.jobs.models.promoting import judged_by_gates, verdict_text
from rerank.jobs.models.showing import (
    card_text,
    diff_text,
    differences,
    history_text,
    list_text,
    verified_text,
    verify,
    version_facts,
    version_rows,
)
from rerank.jobs.options import (
    ConfigFile,
    NumberRange,
    format_option,
    gold_option,
    home_option,
    progress_bar,
    resampling_seed_option,
    samples_option,
    stage_progress,
    then,
    writes,
)
from rerank.lifecycle.changing import PARTS, Switch, name_version, promote, rollback, version_before
from rerank.lifecycle.gates import GateVerdict
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.lifecycle.versions import (
    CHAMPION,
    SHIPPED,
    VersionRef,
    all_kinds,
    sign_folder,
    verify_signature,
)
from rerank.workspace import Workspace

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

SUBCOMMANDS = {
    "list": "List the versions, their names, and which one answers.",
    "show": "Show what a version was made from and when it answered.",
    "diff": "Show what two versions differ in.",
    "sign": "Sign a version for those you give it to.",
    "verify": "Check that versions are undamaged and answer as they did.",
    "alias": "Give a version a name, or take the name away.",
    "compare": "Let two versions answer the same listings, and compare.",
    "promote": "Let a version answer, if it is no worse than the champion.",
    "rollback": "Let the former version answer again, or any other.",
    "history": "List every change: who, when, from, to, why.",
    "ab": "Let each of two versions answer a share of the listings.",
    "canary": "Let a version answer a growing share, watched.",
}


_MODULES = {
    "models": (
        "list",
        "show",
        "diff",
        "sign",
        "verify",
        "alias",
        "compare",
        "promote",
        "rollback",
        "history",
    ),
    "traffic": ("ab", "canary"),
}


@click.group(
    "models",
    cls=LazyGroup,
    groups={"Commands": SUBCOMMANDS},
    modules=_MODULES,
    prefix="models_",
)
def models_command() -> None:
    """Versions of the model, and which of them answers.

    Each training writes a version that never changes. `champion` names the one that answers,
    `challenger` the newest one, which could take its place. docs/lifecycle.md explains all of it.

    \b
    Example:
      rerank models list
      rerank models promote challenger
      rerank models rollback
    """


@click.command("alias")
@click.argument("alias")
@click.argument("version", required=False)
@click.option("--remove", is_flag=True, help="Take the name away.")
@click.option("--why", default="", help="The reason, for the history.")
@home_option
@then("`rerank models list{home}` shows all names")
def models_alias_command(
    alias: str, version: str | None, remove: bool, why: str, home: Path
) -> None:
    """Name a version, or take a name away.

    A name has letters, digits, `_`, `+` and `-`. That of a ranker (`pairwise`) says which of its
    versions `--ranker` serves. What `champion` names is changed with `rerank models promote`.

    \b
    Example:
      rerank models alias challenger 8e22ef1e4d47bdbd
      rerank models alias before-easter champion
      rerank models alias before-easter --remove
    """
    if remove == (version is not None):
        raise click.UsageError("give a VERSION to name, or --remove")
    registry = ModelRegistry(Workspace(home))
    to = None if version is None else registry.find(version)
    name_version(registry, alias, to, why=why)
    click.echo(f"{alias} names {'nothing' if to is None else to}")


@click.command("compare")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--listings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Parquet, CSV or JSONL.",
)
@gold_option(
    "What listings of the file sell, by listing_id; "
    "may be repeated. Default: the store's annotations."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=lambda ctx, param, value: _with_known_ending(value),
    help="Write all changed listings: .parquet, .csv or .jsonl.",
)
@click.option(
    "--show",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Changed listings to show.",
)
@click.option(
    "--salt",
    help="Say which arm listings fall to when `rerank models ab` splits them by this salt.",
)
@click.option(
    "--share",
    type=NumberRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of listings in the arm of B, with --salt.",
)
@samples_option
@resampling_seed_option
@format_option
@home_option
@then("`rerank models promote {second}{home}` lets B serve, if no gate fails")
@writes("out")
def models_compare_command(
    first: str,
    second: str,
    out: Path | None,
    show: int,
    output_format: str,
    home: Path,
    **plan: Any,
) -> None:
    """Let two versions answer the same listings.

    Shows how often they agree, which listings come out otherwise, and, where it is known what
    listings sell, which version is right more often and how many listings it takes to tell.

    \b
    Example:
      rerank models compare champion challenger --listings feed.parquet
      rerank models compare champion 8e22 --listings feed.csv --out changed.csv
    """
    registry = ModelRegistry(Workspace(home))
    a, b = registry.find(first), registry.find(second)
    with stage_progress() as progress:
        found = compare_versions(
            registry.workspace, a, b, ModelComparisonPlan(**plan), progress=progress
        )
    if out is not None:
        write_table(changed_rows(found), out, overwrite=True)
    as_text = output_format == "table"
    click.echo(comparison_text(found, most=show) if as_text else json.dumps(found.report))


def _with_known_ending(path: Path | None) -> Path | None:
    """Find a wrong name before the listings are resolved, which may take minutes."""
    if path is not None and path.suffix.lower() not in (".parquet", ".csv", ".jsonl"):
        raise click.BadParameter(f"{path}: expected a name ending in .parquet, .csv or .jsonl")
    return path


@click.command("diff")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@format_option
@home_option
@then("`rerank models compare {first} {second} --listings FILE{home}` lets both answer")
def models_diff_command(first: str, second: str, output_format: str, home: Path) -> None:
    """Show what two versions differ in: parameters, data, features, figures.

    It reads their cards. `rerank models compare` lets them answer.

    \b
    Example:
      rerank models diff champion challenger
    """
    registry = ModelRegistry(Workspace(home))
    facts = [version_facts(registry, each) for each in (first, second)]
    bare = [f"{each['kind']} {each['version']}" for each in facts if each["card"] is None]
    if bare:
        raise InputError(
            f"{bare[0]} has no card: it was made before there were cards; `rerank models "
            "compare` lets two versions answer the same listings"
        )
    rows = differences(facts[0]["card"], facts[1]["card"])
    if output_format == "json":
        click.echo(json.dumps({key: [one, other] for key, one, other in rows}))
    else:
        click.echo(diff_text((facts[0]["version"], facts[1]["version"]), rows))


@click.command("history")
@click.option(
    "--on",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="Only what tells which model served on this day (UTC).",
)
@format_option
@home_option
@then("`rerank models rollback --to VERSION{home}` goes back to one")
def models_history_command(day: datetime | None, output_format: str, home: Path) -> None:
    """List every change of what serves: who, when, from, to, why.

    In the order they were made, whatever the clocks said. With --on: the change that had made
    the champion of that day's beginning, and those of the day. JSON has gates and figures too.

    \b
    Example:
      rerank models history
      rerank models history --on 2026-05-01
    """
    found = ModelRegistry(Workspace(home)).history(None if day is None else day.date())
    if output_format == "json":
        click.echo(json.dumps([change.as_dict() for change in found]))
    elif day is not None and not found:
        click.echo("no change until that day: what was there first served, usually ltr shipped")
    else:
        click.echo(history_text(found))


@click.command("list")
@click.option("--kind", type=click.Choice(all_kinds()), help="Only versions of this kind.")
@format_option
@home_option
@then("`rerank models compare champion VERSION --listings FILE{home}` lets two answer")
def models_list_command(kind: str | None, output_format: str, home: Path) -> None:
    """List the versions, what names them and which serves.

    The shipped model is one of them; a shipped index or embedder is listed while it serves. The
    figure is precision@1 on generated listings of models that training never saw, with its 95 %
    interval.

    \b
    Example:
      rerank models list
      rerank models list --kind ltr --format json
    """
    rows = version_rows(ModelRegistry(Workspace(home)), kind)
    click.echo(json.dumps(rows) if output_format == "json" else list_text(rows))


@click.command("promote")
@click.argument("version")
@click.option(
    "--config",
    "settings",
    type=ConfigFile(),
    metavar="FILE",
    help="Gates; default: promotion.yaml in the workspace, without it those that it ships with.",
)
@gold_option("Judge on this gold file too. May be repeated.")
@click.option("--force", is_flag=True, help="Promote though gates fail; needs --why.")
@click.option("--why", default="", help="The reason, for the history.")
@home_option
@then("`rerank evaluate{home}` measures it; `rerank models rollback{home}` takes it back")
def models_promote_command(
    version: str, settings: Path | None, gold: tuple[Path, ...], force: bool, why: str, home: Path
) -> None:
    """Let a version answer from now on, if it is no worse than the champion.

    Both answer the same listings, and each gate is shown: a figure that must not be worse, or
    answers that must not change. A gate that fails refuses the promotion, exit code 1. An index or
    an embedder has no gates: it must fit the champion. What runs picks the change up by itself.

    \b
    Example:
      rerank models promote challenger
      rerank models promote 8e22 --gold my_gold.csv
      rerank models promote 8e22 --force --why "the champion is damaged"
    """
    if force and not why.strip():
        raise click.UsageError("--force needs a reason: --why")
    registry = ModelRegistry(Workspace(home))
    pointer = registry.pointer()
    to = registry.find(version)
    verdict = GateVerdict(())
    if to.kind not in PARTS and to != pointer.champion:
        with stage_progress() as progress:
            verdict = judged_by_gates(
                registry.workspace, to, pointer.champion, settings, gold, progress
            )
        click.echo(verdict_text(verdict))
    promote(registry, Switch(to, pointer, why, force), verdict)
    click.echo(f"{to} serves")


@click.command("rollback")
@click.option(
    "--to", "version", metavar="VERSION", help="The version to go back to; default: the former one."
)
@click.option("--part", type=click.Choice(PARTS), help="Roll the index or the embedder back.")
@click.option(
    "--force", is_flag=True, help="Put an index or embedder back that the champion does not fit."
)
@click.option("--why", default="", help="The reason, for the history.")
@home_option
@then("`rerank models verify champion{home}` checks what serves now")
def models_rollback_command(
    version: str | None, part: str | None, force: bool, why: str, home: Path
) -> None:
    """Let the version that answered before answer again, or one that you name.

    Nothing is compared, but a version that is damaged or does not fit the index is refused. What
    runs picks the change up by itself. A second rollback goes back one version more.

    \b
    Example:
      rerank models rollback --why "too many wrong mobile cards"
      rerank models rollback --to shipped
      rerank models rollback --part index
    """
    registry = ModelRegistry(Workspace(home))
    pointer = registry.pointer()
    if version is None:
        to = version_before(registry, pointer, part)
    elif part is not None and version == SHIPPED:
        to = VersionRef(part, SHIPPED)
    else:
        to = registry.find(version)
    if part is not None and to.kind != part:
        raise click.UsageError(f"--part {part} and --to {version}: that is a version of {to.kind}")
    rollback(registry, Switch(to, pointer, why, force))
    click.echo(f"{to} serves")


@click.command("show")
@click.argument("version")
@format_option
@home_option
@then("`rerank models compare champion {version} --listings FILE{home}` lets both answer")
def models_show_command(version: str, output_format: str, home: Path) -> None:
    """Show where a version comes from and when it served.

    VERSION is an alias, a version, its first four characters or more, or the `model_version` of a
    resolved row: so it says which model decided that row. Of a cascade's, `a+b`, it shows a, the
    model that decides; b is the cross-encoder behind it.

    \b
    Example:
      rerank models show champion
      rerank models show 8e22ef1e4d47bdbd
    """
    facts = version_facts(ModelRegistry(Workspace(home)), version.partition("+")[0])
    click.echo(json.dumps(facts) if output_format == "json" else card_text(facts))


@click.command("sign")
@click.argument("version")
@click.option(
    "--key", type=_FILE, required=True, metavar="PRIVATE.pem", help="Ed25519, without a password."
)
@home_option
@then("`rerank models verify {version} --key PUBLIC.pem{home}` checks it wherever it is copied")
def models_sign_command(version: str, key: Path, home: Path) -> None:
    """Sign a version, or any artifact folder, for who gets it from you.

    Checksums find damage; a signature says who made what is there. It covers every file of the
    folder and lies beside them. `openssl genpkey -algorithm ed25519 -out key.pem` makes a key,
    `openssl pkey -in key.pem -pubout -out key.pub.pem` the part of it that others check with.

    \b
    Example:
      rerank models sign champion --key key.pem
      rerank models sign .rerank/index --key key.pem
    """
    folder = _folder_of(version, home)
    click.echo(f"{folder}: signed by {sign_folder(folder, key)}")


def _folder_of(version: str, home: Path) -> Path:
    """Return the folder that is named, or that of a version."""
    if Path(version).is_dir():
        return Path(version)
    registry = ModelRegistry(Workspace(home))
    return registry.folder(registry.find(version))


@click.command("verify")
@click.argument("version", required=False)
@click.option(
    "--key",
    type=_FILE,
    metavar="PUBLIC.pem",
    help="Check instead that the holder of this key signed VERSION, which may be a folder.",
)
@format_option
@home_option
@click.pass_context
@then("`rerank status{home}` shows what serves")
def models_verify_command(
    context: click.Context, version: str | None, key: Path | None, output_format: str, home: Path
) -> None:
    """Check files, cards and answers of a version, or of all; or who signed it.

    Every file against its sha256, the card against its own, and, of models that fit the index that
    serves, the answers to the listings of their reference. Exit code 1 if anything is wrong.

    \b
    Example:
      rerank models verify
      rerank models verify champion
      rerank models verify models/ltr/8e22ef1e4d47bdbd --key shop.pub.pem
    """
    if key is not None:
        folder = _folder_of(version or CHAMPION, home)
        by = verify_signature(folder, key)
        said = {"folder": str(folder), "signed_by": by}
        click.echo(json.dumps(said) if output_format == "json" else f"{folder}: signed by {by}")
        return
    registry = ModelRegistry(Workspace(home))
    chosen = None if version is None else registry.find(version)
    with progress_bar("checking versions"):
        found = verify(registry, chosen)
    click.echo(json.dumps(found) if output_format == "json" else verified_text(found))
    context.exit(0 if all(each["sound"] for each in found) else 1)
