"""`rerank check-registry`."""

from __future__ import annotations

from pathlib import Path

import click

from index.registry import load_registry
from index.registry_check import check_registry, read_facts
from index.shipped import shipped
from jobs.options import existing_file, registry_option
from jobs.reports import findings_text


@click.command("check-registry")
@existing_file("facts")
@registry_option
def command(facts: Path, registry: Path | None) -> None:
    """Compare the registry with a table of facts: what it lacks, what the facts contradict.

    FACTS is a CSV with the columns name, vendor, release_date, bus_interface, memory_gb and
    memory_type. Differences are for a person to judge: the exit code is 0.

    \b
    Example:
      rerank check-registry gpu_facts.csv
    """
    rows = read_facts(facts)
    findings = check_registry(load_registry(registry or shipped("registry")), rows)
    click.echo(findings_text(findings))
    click.echo(f"{len(rows)} facts in scope, {len(findings)} differences", err=True)
