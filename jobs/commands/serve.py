"""`rerank serve` and `rerank review`: answers over HTTP, and questions in a browser."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from rerank.index.artifacts import collecting_seldom
from rerank.jobs.annotation.asking import QueueKind
from rerank.jobs.commands.annotate import asking_options, checked_annotator, taken_in
from rerank.jobs.options import Decorator, NumberRange, home_option, needs, then, verdicts_option
from rerank.jobs.service.access import (
    KEYS_FILE,
    KEYS_VARIABLE,
    JsonLines,
    Keys,
    Limits,
    Role,
    Telemetry,
    check_listening,
    new_key,
)
from rerank.jobs.service.app import Service, listen, serve
from rerank.jobs.service.batching import Batcher, Serving, versions
from rerank.jobs.service.judging import Judging
from rerank.jobs.service.pages import ReviewPages
from rerank.jobs.service.reconciliation import ORIGINS, Reconciliation
from rerank.store.database import WRITER_PATIENCE_S, Store
from rerank.workspace import Workspace

_LIMITS = Limits()
_SWITCH_S = 0.001  # between threads: what answers must not wait long for what resolves


def _looked(keys: Keys, telemetry: Telemetry, serving: Serving, fault: str | None) -> None:
    keys.follow()
    own = versions(serving)
    telemetry.serves(own["model_version"], own["index_version"], fault=fault is not None)


def _log_as_json() -> None:
    """Send what is logged to stderr, a line of JSON each; uvicorn's own lines too."""
    lines = logging.StreamHandler()
    lines.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [lines]
    root.setLevel(logging.WARNING)
    logging.getLogger("rerank").setLevel(logging.INFO)
    # of each line, what is not in it: a third of what it costs
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _print_new_key(path: Path, name: str, role: Role) -> None:
    key, made = new_key(path, name, role)
    click.echo(key)
    click.echo(
        f"{path}: added {name} with the role {role}; the key above is shown this once. Elsewhere: "
        f"{KEYS_VARIABLE}={made.name}:{made.role}:{made.sha256}",
        err=True,
    )


def _port_option(text: str) -> Decorator:
    return click.option(
        "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help=text
    )


@click.command("serve")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; one that other machines reach needs keys.",
)
@_port_option("0 takes a free one; the first line of the log says which.")
@click.option(
    "--keys",
    "keys_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"File of keys; default: {KEYS_FILE} in the workspace. {KEYS_VARIABLE} adds to it.",
)
@click.option(
    "--new-key",
    "role",
    type=click.Choice([role.value for role in Role]),
    help="Make a key with this role, print it once and end.",
)
@click.option("--name", default="default", show_default=True, help="Of the new key.")
@click.option(
    "--max-listings",
    type=click.IntRange(1, 100_000),
    default=_LIMITS.listings,
    show_default=True,
    help="Of one request.",
)
@click.option(
    "--max-body",
    type=click.IntRange(1024),
    default=_LIMITS.body_bytes,
    show_default=True,
    metavar="BYTES",
    help="Of one request.",
)
@click.option(
    "--timeout",
    type=NumberRange(0, min_open=True),
    default=_LIMITS.answer_s,
    show_default=True,
    metavar="SECONDS",
    help="For one answer.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    default=ORIGINS,
    show_default=True,
    metavar="URL",
    help="A page's origin that may read /reconcile: OpenRefine's.",
)
@verdicts_option
@click.option("--quiet", is_flag=True, help="Log no line for each request.")
@home_option
@needs("serve")
def serve_command(
    host: str,
    port: int,
    keys_path: Path | None,
    role: str | None,
    name: str,
    max_listings: int,
    max_body: int,
    timeout: float,
    origins: tuple[str, ...],
    verdicts: bool,
    quiet: bool,
    home: Path,
) -> None:
    """Answer over HTTP: listings, searches, the catalogue's products; OpenRefine, too.

    The log goes to stderr, a line of JSON each. SIGTERM and Ctrl-C end it when what was asked is
    answered.

    \b
    Example:
      rerank serve
      rerank serve --new-key read --name shop
      rerank serve --host 0.0.0.0 --port 8080
    """
    path = keys_path or home / KEYS_FILE
    if role is not None:
        _print_new_key(path, name, Role(role))
        return
    keys = Keys(path)
    check_listening(host, keys)
    _log_as_json()
    limits = Limits(body_bytes=max_body, listings=max_listings, answer_s=timeout)
    with listen(host, port) as listening, collecting_seldom():
        workspace = Workspace(home)
        service = _service(workspace, keys, limits, verdicts=verdicts, log=not quiet)
        service.operations += Reconciliation(service, origins).operations()
        service.operations += ReviewPages(service, workspace).operations()
        sys.setswitchinterval(_SWITCH_S)
        serve(service, listening)


def _service(
    workspace: Workspace, keys: Keys, limits: Limits, *, verdicts: bool, log: bool
) -> Service:
    telemetry = Telemetry(log=log)
    batcher = Batcher(
        workspace,
        most_waiting=max(limits.waiting, limits.listings),
        verdicts=verdicts,
        on_batch=telemetry.resolved,
        on_look=partial(_looked, keys, telemetry),
    )
    service = Service(batcher, keys, telemetry, limits)
    service.operations += Judging(service, workspace).operations()
    return service


@click.command("review")
@asking_options
@_port_option("0 takes a free one.")
@home_option
@needs("serve")
@then("`rerank train-ltr{home}` learns from the answers")
def review_command(
    listings_file: Path | None,
    annotator: str | None,
    kind: str,
    top_k: int,
    port: int,
    seed: int,
    home: Path,
    **reading: Any,
) -> None:
    """Review listings in a browser: what they sell, one key an answer.

    Prints the address to open. Answers are saved as those of `rerank annotate`, each at once, and
    stand before the model. Only this machine is listened to; `rerank serve` has the same pages at
    /review for several people, by their keys. Ctrl-C ends it.

    \b
    Example:
      rerank review listings.csv
      rerank review resolved.parquet --decision review
      rerank review --queue disputes --port 0
    """
    workspace, person = Workspace(home), checked_annotator(annotator)
    store = Store(workspace.store_path, wait_s=WRITER_PATIENCE_S)
    ids = taken_in(store, workspace, listings_file, reading)
    with listen("127.0.0.1", port) as listening, collecting_seldom():
        service = _service(workspace, Keys(None, ""), _LIMITS, verdicts=True, log=False)
        service.operations += ReviewPages(
            service,
            workspace,
            person=person,
            kind=QueueKind(kind),
            listing_ids=ids,
            seed=seed,
            top_k=top_k,
        ).operations()
        click.echo(f"http://127.0.0.1:{listening.getsockname()[1]}/review")
        click.echo("Open it in a browser; Ctrl-C ends it, every answer is saved.", err=True)
        serve(service, listening)
