"""Versions, their differences, checks and history as text of at most 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from textwrap import fill, wrap
from typing import Any

from rerank.domain import GPU, domain_in
from rerank.index.artifacts import Manifest
from rerank.index.errors import ArtifactError, InputError, MismatchError
from rerank.jobs.tables import WIDTH, cut, table, with_decimals
from rerank.lifecycle.changing import PARTS, place_of_part, serving_part
from rerank.lifecycle.model_registry import ModelRegistry, Transition, served_by, verified_manifest
from rerank.lifecycle.opening import version_over
from rerank.lifecycle.versions import (
    CHAMPION,
    SHIPPED,
    SHIPPED_MODEL,
    Pointer,
    VersionCard,
    VersionRef,
    all_kinds,
    decision_kinds,
)
from rerank.workspace import open_source

_HEADLINES = (
    ("precision_at_1", "precision@1"),
    ("accepted_share", "share accepted"),
    ("precision_of_accepted", "precision of accepted"),
    ("recall_at_10", "recall@10"),
    ("recall_at_20", "recall@20"),
    ("nil_false_match_rate", "false matches among none"),
    ("ece", "ECE"),
)
_LABEL = 16
_FIGURES = "metrics.figures."
_GONE = "not in this workspace any more"
_NOT_COMPARED = ("reference", "distribution", "files", "sha256")


def list_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return versions as a table."""
    if not rows:
        return "no versions"
    cells = [
        [
            row["kind"],
            row["version"],
            cut(", ".join(row["names"]), 22),
            (row["created_at"] or "-")[:10],
            with_decimals(row["precision_at_1"]),
        ]
        for row in rows
    ]
    return table(("kind", "version", "names", "made", "precision@1"), cells, left=(0, 1, 2, 3, 4))


def card_text(said: Mapping[str, Any]) -> str:
    """Return what is known of a version."""
    card = said["card"]
    lines = [
        _line("version", f"{said['kind']} {said['version']}"),
        *_lines("names", ", ".join(said["names"]) or "none"),
        f"{'folder':{_LABEL}}{said['folder'] or _GONE}",
    ]
    if said["fault"]:
        lines += _lines("WRONG", said["fault"])
    if card is None:
        lines.append(_line("card", "none: made before there were cards"))
    else:
        lines += _card_lines(card)
    label = "champion" if said["kind"] in decision_kinds() else "served"
    lines += [
        _line(label, f"from {since} to {until or 'now'}") for since, until in said["served"]
    ] or [_line(label, "never, as far as the history knows")]
    return "\n".join(lines)


def diff_text(names: tuple[str, str], rows: Sequence[tuple[str, str, str]]) -> str:
    """Return what two versions differ in as a table."""
    if not rows:
        return f"{names[0]} and {names[1]} differ in nothing that their cards say"
    cells = [
        [cut(key.removeprefix(_FIGURES), 36), cut(one, 20), cut(other, 20)]
        for key, one, other in rows
    ]
    return table(("", *(cut(name, 20) for name in names)), cells, left=(0, 1, 2))


def history_text(changes: Sequence[Transition]) -> str:
    """Return changes, two lines or more each, oldest first."""
    if not changes:
        return "no changes"
    return "\n".join(line for change in changes for line in _change_lines(change))


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the entries of two cards that differ: the key with dots, and both values."""
    first, second = _flat(one), _flat(other)
    found = []
    for key in sorted({*first, *second}):
        values = first.get(key), second.get(key)
        if values[0] != values[1]:
            found.append((key, _shown(values[0]), _shown(values[1])))
    return found


def _card_lines(card: Mapping[str, Any]) -> list[str]:
    lines = [
        _line("made", f"{card['created_at']} by {card['created_by']}, code {card['code_version']}"),
        _line("parent", card["parent"] or "none"),
    ]
    for name, value in card["data"].items():
        lines += _lines(name.removesuffix("_fingerprint"), _shown(value))
    training = card["parameters"].get("training") or card["parameters"]
    lines += _listed("parameters", [f"{name} {_shown(value)}" for name, value in training.items()])
    if thresholds := card["parameters"].get("thresholds"):
        lines += _lines("thresholds", _shown(thresholds))
    lines += _listed("validation", _figure_lines(card["metrics"]))
    features = card["feature_schema"].get("features", {})
    counts = ", ".join(f"{len(names)} of {table}" for table, names in features.items())
    if counts:
        rule = card["feature_schema"]["missing"]
        lines += _lines("features", f"{counts}; missing values: {rule}")
    if card["reference"]:
        n = len(card["reference"].get("answers", ()))
        lines.append(_line("reference", f"{n} answers that it must give wherever it serves"))
    return lines


def _figure_lines(metrics: Mapping[str, Any]) -> list[str]:
    figures, on = metrics.get("figures"), metrics.get("measured_on")
    if not figures:
        return []
    words = [
        f"{words} {with_decimals(figures[name])}" for name, words in _HEADLINES if name in figures
    ]
    return words if on is None else [*words, f"on {on['listings']:,} {on['of']}"]


def _change_lines(change: Transition) -> list[str]:
    head = f"{change.generation:4}  {change.at}  {change.action} {change.alias}, by {change.who}"
    named = f"      {change.before or 'nothing'} -> {change.to or 'nothing'}"
    lines = [cut(head, WIDTH), cut(named, WIDTH)]
    if change.gates:
        failed = sum(not gate.get("passed") for gate in change.gates)
        words = f"{len(change.gates) - failed} of {len(change.gates)} gates passed"
        lines.append(f"      {words}{', overruled' if change.forced else ''}")
    if change.why:
        lines.append(cut(f"      why: {change.why}", WIDTH))
    return lines


def _line(label: str, text: str) -> str:
    return f"{label:{_LABEL}}{cut(text, WIDTH - _LABEL)}"


def _lines(label: str, text: str) -> list[str]:
    """Return a text that may be long under its label, all of it."""
    parts = wrap(text, WIDTH - _LABEL, break_on_hyphens=False) or [""]
    return [_line(label if at == 0 else "", part) for at, part in enumerate(parts)]


def _listed(label: str, texts: Sequence[str]) -> list[str]:
    """Return texts below each other, with the label before the first."""
    return [
        line for at, text in enumerate(texts) for line in _lines(label if at == 0 else "", text)
    ]


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        if not prefix and key in _NOT_COMPARED:
            continue
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and set(value) != {"value", "ci95", "n"}:
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "ci95" in value:
        return with_decimals(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_shown(each)}" for key, each in value.items())
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


_SERVES = "serves"
_DAMAGED, _MISSING = "damaged card", "missing"


def version_rows(registry: ModelRegistry, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the versions, the shipped model among them, each with its names.

    Of a shipped index or embedder it tells while it serves or has a name; of none of these where
    the catalogue is no graphics cards'.

    A version that has a name but no folder any more is among them, as ``missing``.
    """
    pointer = registry.pointer()
    ships_too = _takes_what_ships(registry)
    serving = [_serving_part(registry, part) for part in _parts(ships_too)]
    ships = [SHIPPED_MODEL] if ships_too else []
    named = [*ships, pointer.champion, *pointer.aliases.values(), *filter(None, serving)]
    first = [ref for ref in named if kind in (None, ref.kind)]
    wanted = sorted(
        dict.fromkeys([*first, *registry.versions(kind)]),
        key=lambda ref: (all_kinds().index(ref.kind), ref.version != SHIPPED, ref.version),
    )
    rows = []
    for ref in wanted:
        names = names_of(registry, pointer, ref)
        try:
            card = _card(registry, ref)
        except InputError:
            card, names = None, [*names, _MISSING]
        except ArtifactError:  # `show` and `verify` tell what is wrong
            card, names = None, [*names, _DAMAGED]
        figures = {} if card is None else card["metrics"].get("figures", {})
        rows.append(
            {
                "kind": ref.kind,
                "version": ref.version,
                "names": names,
                "created_at": None if card is None else card["created_at"],
                "created_by": None if card is None else card["created_by"],
                "precision_at_1": figures.get("precision_at_1"),
            }
        )
    return rows


def version_facts(registry: ModelRegistry, text: str) -> dict[str, Any]:
    """Return what is known of a version, be it in the workspace or only in the history.

    If its card is missing or damaged, the history's is returned, and ``fault`` says what is wrong.

    :param text: an alias, a version, the beginning of one, or a row's ``model_version``.
    :raises InputError: if nothing is known of it.
    """
    changes = registry.history()
    pointer = registry.pointer()
    try:
        ref = registry.find(text)
    except InputError:
        past = {each.to for each in changes if each.to is not None} | registry.remembered()
        gone = next((each for each in past if each.version == text), None)
        if gone is None:
            raise
        ref = gone
    served = served_by(changes, ref.version, ref.kind if ref.kind in PARTS else CHAMPION)
    if ref == SHIPPED_MODEL:
        served = [*_before_all(registry), *served]
    folder = registry.workspace.version_folder(ref)
    fault = None
    try:
        card = _card(registry, ref)
    except (ArtifactError, InputError) as exc:
        card, fault = registry.remembered_card(ref), str(exc)
    there = folder.is_dir()
    return {
        "kind": ref.kind,
        "version": ref.version,
        "names": names_of(registry, pointer, ref),
        "folder": str(folder) if there else None,
        "fingerprint": registry.fingerprint(ref) if there else ref.version,
        "card": card,
        "fault": fault if there else None,
        "served": served,
    }


def names_of(registry: ModelRegistry, pointer: Pointer, ref: VersionRef) -> list[str]:
    """Return the aliases of a version, with ``serves`` for the index and the embedder that do."""
    if ref.kind not in PARTS:
        return pointer.names_of(ref)
    names = [name for name in pointer.names_of(ref) if name != ref.kind]
    return [_SERVES, *names] if _serving_part(registry, ref.kind) == ref else names


def _takes_what_ships(registry: ModelRegistry) -> bool:
    """Return whether what ships can serve: it is of graphics cards. A damaged index may be."""
    try:
        index = verified_manifest(registry.workspace.active_index(), "index")
    except ArtifactError:
        return True
    return domain_in(index.parameters) == GPU


def _parts(ships_too: bool) -> Sequence[str]:
    """Return what serves beside the model: cards alone are embedded by a part of its own."""
    return PARTS if ships_too else ("index",)


def _before_all(registry: ModelRegistry) -> list[tuple[str, str | None]]:
    """Return when the shipped model was champion before there was any change."""
    first = next((each for each in registry.history() if each.alias == CHAMPION), None)
    if first is None:
        return [("the beginning", None)]
    return [("the beginning", first.at)] if first.before == SHIPPED_MODEL else []


def _serving_part(registry: ModelRegistry, kind: str) -> VersionRef | None:
    try:
        return serving_part(registry.workspace, kind)
    except ArtifactError:
        return None


def _card(registry: ModelRegistry, ref: VersionRef) -> dict[str, Any] | None:
    return None if (card := registry.card(ref)) is None else asdict(card)


def verify(registry: ModelRegistry, ref: VersionRef | None = None) -> list[dict[str, Any]]:
    """Check a version; None for all there are or have a name, and what serves as parts.

    :returns: ``kind``, ``version``, whether it is ``sound``, and ``said``: what was checked, or
        what is wrong.
    :raises InputError: if there is no such version.
    """
    if ref is not None:
        return [_verified(registry, ref)]
    pointer = registry.pointer()
    behind = [] if pointer.previous is None else [pointer.previous]
    ships_too = _takes_what_ships(registry)
    if not ships_too:
        behind = [ref for ref in behind if ref != SHIPPED_MODEL]
    named = (ref for ref in pointer.aliases.values() if ref.kind not in PARTS)
    refs = dict.fromkeys([pointer.champion, *behind, *named, *registry.versions()])
    found = [_verified(registry, each) for each in refs]
    return [*found, *(_serving(registry, kind) for kind in _parts(ships_too))]


def verified_text(found: Sequence[Mapping[str, Any]]) -> str:
    """Return what was found, a line each, below it what is wrong."""
    kinds, versions = (max(len(each[name]) for each in found) for name in ("kind", "version"))
    lines = []
    for each in found:
        head = f"{each['kind']:{kinds}}  {each['version']:{versions}}  "
        if each["sound"]:
            indent = " " * len(f"{head}sound  ")
            lines.append(fill(f"{head}sound  {each['said']}", WIDTH, subsequent_indent=indent))
        else:  # paths are long: they have their own lines, and stay whole
            wrapped = wrap(each["said"], WIDTH - 4, break_long_words=False, break_on_hyphens=False)
            lines += [f"{head}WRONG", *(f"    {line}" for line in wrapped)]
    return "\n".join(lines)


def _verified(registry: ModelRegistry, ref: VersionRef) -> dict[str, Any]:
    try:
        sound, said = True, _checked(registry, ref)
    except (ArtifactError, InputError) as exc:
        sound, said = False, str(exc)
    return {"kind": ref.kind, "version": ref.version, "sound": sound, "said": said}


def _checked(registry: ModelRegistry, ref: VersionRef) -> str:
    """Check all of a version; return what was checked.

    :raises ArtifactError: if something is wrong.
    """
    manifest = registry.manifest(ref)
    card = registry.card(ref)
    if card is not None and card.files != manifest.files:
        odd = sorted(set(card.files.items()) ^ set(manifest.files.items()))
        raise MismatchError(
            f"{card.ref}: card and manifest name other files or fingerprints of them, first "
            f"{odd[0][0]}; restore the folder"
        )
    said = [f"{len(manifest.files)} files", "no card" if card is None else "card"]
    if ref.kind in decision_kinds():
        said.append(_answers(registry, ref, manifest, card))
    return ", ".join(said)


def _answers(
    registry: ModelRegistry, ref: VersionRef, manifest: Manifest, card: VersionCard | None
) -> str:
    source, index = open_source(registry.workspace)
    trained = manifest.parameters.get("index", {}).get("embedder_fingerprint")
    fits = trained == index.parameters["embedder_fingerprint"]
    if not fits and not registry.is_champion(ref):  # a champion must: it answers, or nothing does
        return "does not fit the index that serves, not asked"
    version_over(registry.workspace, ref, source, index, thorough=True)
    if card is None or card.reference is None:
        return "no reference to hold its answers against"
    if card.reference.get("index_version") != index.fingerprint:
        return "its reference was made over another index"
    return "answers as on the machine that trained it"


def _serving(registry: ModelRegistry, kind: str) -> dict[str, Any]:
    folder = place_of_part(registry.workspace, kind)
    if not folder.exists():
        folder = registry.folder(VersionRef(kind, SHIPPED))
    try:
        manifest = verified_manifest(folder, kind)
    except ArtifactError as exc:
        return {"kind": kind, "version": "serves", "sound": False, "said": str(exc)}
    said = f"{len(manifest.files)} files, serves"
    return {"kind": kind, "version": manifest.fingerprint, "sound": True, "said": said}
