"""Change what serves: register what was trained, promote a version, roll back, name one.

Everything is checked before anything is changed. A version gets its card here: what it learnt from
and how well it does.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rerank.domain import domain_in, domain_named
from rerank.index.artifacts import Manifest, scratch_in, writing_folder
from rerank.index.errors import (
    DISTRIBUTION,
    ArtifactError,
    InputError,
    MismatchError,
    RefusedError,
    RerankWarning,
    StoreError,
)
from rerank.index.records import shipped
from rerank.lifecycle.gates import FITS, PARITY, GateVerdict
from rerank.lifecycle.model_registry import (
    AliasChange,
    ModelRegistry,
    Transition,
    linked_copy,
    utc_text,
    verified_manifest,
)
from rerank.lifecycle.opening import (
    check_fit,
    make_reference,
    open_version,
    schema_of_features,
    version_over,
)
from rerank.lifecycle.versions import (
    CHALLENGER,
    CHAMPION,
    SHIPPED,
    SHIPPED_MODEL,
    Pointer,
    VersionCard,
    VersionRef,
    checked_name,
    code_version,
    generator_fingerprint,
    user_name,
)
from rerank.model import RerankModel, check_features
from rerank.ranking import CandidateSource
from rerank.resolver import resolver_of
from rerank.workspace import Workspace, domain_of_index, open_source

_CARD_PARAMETERS = ("training", "thresholds", "ranker_kind")


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a model was trained over.

    :param seed: of the training.
    :param annotated: as of `rerank.domain.Lesson`.
    """

    source: CandidateSource
    index: Manifest
    seed: int
    annotated: Any = None


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """A version that was just trained.

    :param serves: whether it is champion now; else it is the challenger, or champion's equal.
    :param summary: what it was trained on and what was chosen.
    :param highest: the highest probability that it can state.
    """

    ref: VersionRef
    folder: Path
    serves: bool
    summary: dict[str, Any]
    highest: float

    def warning(self) -> str:
        """Return what is wrong if no listing can ever be a match, for people; else empty text."""
        chosen = self.summary["thresholds"]
        if chosen["match"] <= self.highest:
            return ""
        return (
            f"nothing will ever be a match: it states probabilities up to {self.highest:.3f}, none "
            f"of which holds a precision of {chosen['precision']:g}; train on more, or ask for "
            "less with --precision"
        )

    def text(self) -> str:
        """Return where it lies, its thresholds, and what becomes of it, for people."""
        chosen = self.summary["thresholds"]
        fate = (
            "it serves"
            if self.serves
            else "it is the challenger; let it serve with `rerank models promote challenger`"
        )
        return (
            f"model {self.ref.version} in {self.folder}: match from {chosen['match']:.3f}, review "
            f"from {chosen['review']:.3f}, for a precision of {chosen['precision']:g}\n{fate}"
        )


def registered(
    workspace: Workspace,
    kind: str,
    train_into: Callable[[Path], dict[str, Any]],
    learnt: Learnt,
    *,
    serve: bool,
    progress: Callable[[str, float], None],
) -> TrainedVersion:
    """Train into a hidden folder, describe the version, register it and let it take its place.

    The one way in which what was trained becomes a version, whatever ranks in it.

    :param kind: of the ranker.
    :param train_into: writes the model into a folder; returns a summary.
    :param serve: let it serve at once, whatever serves now.
    :raises RefusedError: if another change came in between.
    """
    registry = ModelRegistry(workspace)
    parent = registry.pointer().champion
    with scratch_in(workspace.models_folder) as scratch:
        draft = scratch / "model"
        summary = train_into(draft)
        card = trained_card(draft, kind, learnt, parent=parent, progress=progress)
        ref = registry.register(draft, card)
    serves = take_place(registry, ref, learnt.index, serve=serve)
    highest = RerankModel.load(registry.folder(ref)).calibrator.probability[-1]
    return TrainedVersion(ref, registry.folder(ref), serves, summary, highest)


def trained_card(
    draft: Path,
    kind: str,
    learnt: Learnt,
    *,
    parent: VersionRef | None,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> VersionCard:
    """Try a model that was just written and return its card.

    :param parent: what served when it was trained.
    :raises ArtifactError: if the model cannot be loaded.
    """
    progress("describing the version", 0.0)
    manifest = verified_manifest(draft, kind)
    model = RerankModel.load(draft)
    check_fit(model, draft, learnt.index, draft)
    name, index_version = domain_in(learnt.index.parameters), learnt.index.fingerprint
    resolver = resolver_of(name, learnt.source, model, index_version=index_version)
    tried = domain_named(name).tried(resolver, kind)
    reference = make_reference(resolver, seed=learnt.seed)
    return VersionCard(
        kind=kind,
        version=manifest.fingerprint,
        created_at=utc_text(),
        created_by=user_name(),
        code_version=code_version(),
        parent=None if parent is None else parent.version,
        parameters={
            name: manifest.parameters[name]
            for name in _CARD_PARAMETERS
            if name in manifest.parameters
        },
        data=_data(manifest.parameters, learnt),
        feature_schema=schema_of_features(resolver.features),
        metrics=tried.metrics,
        files=manifest.files,
        reference=reference.as_dict(),
        distribution=tried.distribution,
    )


def _data(parameters: Mapping[str, Any], learnt: Learnt) -> dict[str, Any]:
    said = learnt.index.parameters
    return {
        "registry": said["registry_fingerprint"],
        "index": learnt.index.fingerprint,
        "embedder": said["embedder_fingerprint"],
        "generator": generator_fingerprint(),
        "seed": learnt.seed,
        "listings": parameters.get("listings", {}),
        **({"annotations": learnt.annotated.summary()} if learnt.annotated else {}),
    }


def take_place(registry: ModelRegistry, ref: VersionRef, index: Manifest, *, serve: bool) -> bool:
    """Give a new version its names; return whether it serves.

    It serves at once if asked to, or if what serves cannot on this index. Else it becomes the
    challenger, which gates compare with the champion, be that the shipped model or another.

    :raises RefusedError: if another change came in between.
    """
    pointer = registry.pointer()
    also = {ref.kind: ref}
    if registry.is_champion(ref):
        return True
    if serve:
        change = AliasChange(action="serve", alias=CHAMPION, to=ref, why="train --serve", also=also)
    elif why := _why_first(registry, pointer, index):
        change = AliasChange(action="first", alias=CHAMPION, to=ref, why=why, also=also)
    elif pointer.named(CHALLENGER) == ref and pointer.named(ref.kind) == ref:
        return False
    else:
        change = AliasChange(action="train", alias=CHALLENGER, to=ref, also=also)
    registry.change(change, expected_generation=pointer.generation)
    return change.alias == CHAMPION


def _why_first(registry: ModelRegistry, pointer: Pointer, index: Manifest) -> str:
    """Return why a new version serves without being asked to, in words; empty if it does not."""
    champion = pointer.champion
    try:
        parameters = registry.manifest(champion).parameters
        check_features(registry.folder(champion), parameters)
    except MismatchError as exc:
        return f"the champion cannot serve: {exc}"
    except ArtifactError as exc:
        return f"the champion is damaged: {exc}"
    trained = parameters.get("index", {})
    if trained.get("embedder_fingerprint") != index.parameters["embedder_fingerprint"]:
        return "the champion was trained over another embedder than the index has"
    return ""


_MAKER = "rerank"  # a release has no user


def shipped_card() -> VersionCard:
    """Try the model that ships over the index that ships and return its card.

    :raises ArtifactError: if one of them is damaged.
    """
    folder = shipped("model")
    with tempfile.TemporaryDirectory() as empty:
        source, index = open_source(Workspace(Path(empty)))
        learnt = Learnt(source, index, RerankModel.load(folder).parameters["training"]["seed"])
        card = trained_card(folder, SHIPPED_MODEL.kind, learnt, parent=None)
    return replace(card, created_by=_MAKER, code_version=version(DISTRIBUTION))


PARTS = ("index", "embedder")
_DATA = ("registry_fingerprint", "embedder_fingerprint", "gpus", "models", "seed")


def place_of_part(workspace: Workspace, kind: str) -> Path:
    """Return where an index or an embedder serves."""
    return workspace.index_folder if kind == "index" else workspace.embedder_folder


def serving_part(workspace: Workspace, kind: str) -> VersionRef:
    """Return the version of the index or embedder that serves; what lies there decides.

    :raises ArtifactError: if it is damaged.
    """
    folder = place_of_part(workspace, kind)
    if not folder.exists():
        return VersionRef(kind, SHIPPED)
    return VersionRef(kind, verified_manifest(folder, kind).fingerprint)


@contextmanager
def keeping_part(
    workspace: Workspace, kind: str, data: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """Keep the index or embedder that the block makes among the versions, and the one before it.

    Of what it is made from, ``data`` is what its manifest does not say. If the history cannot be
    written, a warning says so: what was made serves all the same.
    """
    registry = ModelRegistry(workspace)
    parent = None
    with _warned_of(kind):
        parent = keep_earlier_part(registry, kind)
    yield
    with _warned_of(kind):
        keep_part(registry, kind, parent=parent, data=data)


@contextmanager
def _warned_of(kind: str) -> Iterator[None]:
    try:
        yield
    except (StoreError, RefusedError) as exc:
        warnings.warn(
            f"the {kind} serves, but is not in the history of versions: {exc}",
            RerankWarning,
            stacklevel=5,
        )


def keep_part(
    registry: ModelRegistry,
    kind: str,
    *,
    parent: str | None,
    data: Mapping[str, Any] | None = None,
) -> VersionRef:
    """Keep what now serves as index or embedder among the versions, and say so in the history.

    :param parent: the version that served before.
    :param data: what it was made from, if its manifest does not say so.
    :raises ArtifactError: if it is damaged.
    """
    folder = place_of_part(registry.workspace, kind)
    ref = _kept(registry, kind, folder, verified_manifest(folder, kind), parent, data)
    pointer = registry.pointer()
    if pointer.named(kind) != ref:
        registry.change(
            AliasChange(action="train", alias=kind, to=ref), expected_generation=pointer.generation
        )
    return ref


def keep_earlier_part(registry: ModelRegistry, kind: str) -> str | None:
    """Keep what is about to be replaced, if it is not kept yet; return its version.

    A damaged one is not kept, nor one that ships, of which the name is returned.
    """
    folder = place_of_part(registry.workspace, kind)
    if not folder.exists():
        return SHIPPED
    try:
        manifest = verified_manifest(folder, kind)
    except ArtifactError:
        return None
    return _kept(registry, kind, folder, manifest, None).version


def put_back(workspace: Workspace, ref: VersionRef) -> None:
    """Let a kept index or embedder serve again, in one step.

    :raises ArtifactError: if it is missing or damaged; then nothing changes.
    """
    source = workspace.version_folder(ref)
    verified_manifest(source, ref.kind)
    with writing_folder(place_of_part(workspace, ref.kind)) as draft:
        if ref.version == SHIPPED:  # the installation's own files are not shared
            shutil.copytree(source, draft, dirs_exist_ok=True)
        else:
            linked_copy(source, draft)


def _kept(
    registry: ModelRegistry,
    kind: str,
    folder: Path,
    manifest: Manifest,
    parent: str | None,
    data: Mapping[str, Any] | None = None,
) -> VersionRef:
    ref = VersionRef(kind, manifest.fingerprint)
    if ref in registry.versions(kind) and registry.card(ref) is not None:
        return ref
    with scratch_in(registry.workspace.versions_folder(kind)) as scratch:
        draft = scratch / kind
        linked_copy(folder, draft)
        figures: dict[str, Any] = {}
        with suppress(ArtifactError, InputError):  # its embedder is gone, or nothing is unseen
            index = draft if kind == "index" else registry.workspace.active_index()
            figures = domain_of_index(index).recall(kind, draft, registry.workspace)
        card = VersionCard(
            kind=kind,
            version=ref.version,
            created_at=utc_text(),
            created_by=user_name(),
            code_version=code_version(),
            parent=parent,
            parameters=manifest.parameters,
            data={
                **{
                    name: manifest.parameters[name] for name in _DATA if name in manifest.parameters
                },
                **(data or {}),
            },
            metrics=figures,
            files=manifest.files,
        )
        return registry.register(draft, card)


_SHOWN = 3  # of the gates that failed, in the error; all of them stand above it


@dataclass(frozen=True, slots=True)
class Switch:
    """A change of what serves that is to be made.

    :param pointer: what it was decided on; another change since then refuses it.
    """

    to: VersionRef
    pointer: Pointer
    why: str = ""
    force: bool = False

    @property
    def alias(self) -> str:
        """What is changed: the champion, or the index or embedder under it."""
        return self.to.kind if self.to.kind in PARTS else CHAMPION


def promote(registry: ModelRegistry, switch: Switch, verdict: GateVerdict) -> Pointer:
    """Let a version serve.

    :param verdict: what the gates say; of an index or an embedder, and of a version that was not
        judged, there are none, and it is opened here.
    :raises RefusedError: if it serves already, a gate failed and is not overruled, or another
        change came in between.
    :raises ArtifactError: if it is damaged or does not fit what else serves.
    """
    if switch.force and not switch.why.strip():
        raise InputError("a promotion against the gates needs a reason: give it with --why")
    if _serves(registry, switch):
        raise RefusedError(f"{switch.to} serves already; nothing was changed")
    failed = verdict.failed
    if failed and not switch.force:
        more = "" if len(failed) <= _SHOWN else f" and {len(failed) - _SHOWN} more"
        raise RefusedError(
            f"{switch.to} stays out: {len(failed)} of {len(verdict.gates)} gates failed "
            f"({', '.join(failed[:_SHOWN])}{more}); nothing was changed; overrule them with "
            "--force --why"
        )
    return _made(registry, "promote", switch, verdict, previous=...)


def rollback(registry: ModelRegistry, switch: Switch) -> Pointer:
    """Let an earlier version serve again; no gates are judged.

    :raises RefusedError: if it serves already, or another change came in between.
    :raises ArtifactError: if it is damaged or does not fit what else serves.
    """
    if _serves(registry, switch):
        raise RefusedError(f"{switch.to} serves already; nothing was changed")
    previous = before_that(registry.history(), switch.alias, switch.to)
    if previous is None and switch.to != SHIPPED_MODEL:
        previous = SHIPPED_MODEL
    return _made(registry, "rollback", switch, GateVerdict(()), previous=previous)


def version_before(registry: ModelRegistry, pointer: Pointer, kind: str | None) -> VersionRef:
    """Return what a rollback without a version goes back to.

    :param kind: ``index`` or ``embedder``; None for the champion.
    :raises InputError: if nothing served before.
    """
    if kind is None:
        found = pointer.previous
    else:
        found = before_that(registry.history(), kind, _serving(registry, pointer, kind))
    if found is None:
        raise InputError(
            f"{kind or CHAMPION}: no version served before this one; name one with --to, such as "
            "`--to shipped`"
        )
    return found


def _serving(registry: ModelRegistry, pointer: Pointer, kind: str) -> VersionRef:
    """Return what serves as index or embedder; of a damaged one, what the pointer says it was."""
    try:
        return serving_part(registry.workspace, kind)
    except ArtifactError:
        return pointer.named(kind) or VersionRef(kind, SHIPPED)


def before_that(changes: Sequence[Transition], alias: str, ref: VersionRef) -> VersionRef | None:
    """Return what an alias named before it named a version, rollbacks left out; None if unknown."""
    made = [
        each
        for each in changes
        if each.alias == alias and each.to == ref and each.action != "rollback"
    ]
    if made and made[-1].before is None and alias in PARTS:
        return VersionRef(alias, SHIPPED)
    return made[-1].before if made else None


def name_version(
    registry: ModelRegistry, alias: str, to: VersionRef | None, *, why: str = ""
) -> Pointer:
    """Let an alias name a version, or nothing.

    :raises InputError: if the alias says what serves, or there is nothing to take away.
    """
    pointer = registry.pointer()
    checked_name(alias, "alias")
    if alias in (CHAMPION, SHIPPED, *PARTS):
        raise InputError(
            f"alias {alias}: it says what serves; change that with `rerank models promote`"
        )
    if to is None and alias not in pointer.aliases:
        raise InputError(f"alias {alias}: expected one that is there, found none of this name")
    if any(ref.version == alias for ref in registry.versions()):
        raise InputError(f"alias {alias}: a version has this name; choose another")
    action = "alias" if to is not None else "unalias"
    change = AliasChange(action=action, alias=alias, to=to, why=why)
    return registry.change(change, expected_generation=pointer.generation)


def _serves(registry: ModelRegistry, switch: Switch) -> bool:
    if switch.alias == CHAMPION:
        return registry.is_champion(switch.to)
    if switch.pointer.named(switch.alias) not in (switch.to, None):
        return False  # a change that was killed after it had put the part in its place
    try:
        return switch.to == serving_part(registry.workspace, switch.alias)
    except ArtifactError:  # what lies there is damaged: a reason to put another there
        return False


def _made(
    registry: ModelRegistry, action: str, switch: Switch, verdict: GateVerdict, *, previous: Any
) -> Pointer:
    workspace, to = registry.workspace, switch.to
    change = AliasChange(
        action=action,
        alias=switch.alias,
        to=to,
        why=switch.why,
        gates=[gate.as_dict() for gate in verdict.gates],
        metrics=verdict.metrics,
        forced=switch.force and bool(verdict.failed),
        previous=previous if switch.alias == CHAMPION else ...,
    )
    generation = switch.pointer.generation
    if switch.alias == CHAMPION:
        if not verdict.gates or {FITS, PARITY} & {*verdict.failed}:
            open_version(workspace, to)  # no force lets something serve that would not open
        return registry.change(change, expected_generation=generation)
    if not switch.force:
        _check_part(workspace, to, switch.pointer.champion)
    keep_earlier_part(registry, to.kind)
    return registry.change(
        change, expected_generation=generation, prepare=lambda: put_back(workspace, to)
    )


def _check_part(workspace: Workspace, to: VersionRef, champion: VersionRef) -> None:
    """Check that the champion can serve on an index, or that the index fits an embedder.

    :raises ArtifactError: if the version is damaged.
    :raises MismatchError: if they do not belong together.
    """
    folder = workspace.version_folder(to)
    manifest = verified_manifest(folder, to.kind)
    if to.kind == "index":
        version_over(workspace, champion, *domain_of_index(folder).open_source(folder, workspace))
        return
    index = verified_manifest(workspace.active_index(), "index")
    if not index.parameters["embedder"].partition(":")[2]:  # it takes the workspace's own
        wanted = index.parameters["embedder_fingerprint"]
        if manifest.fingerprint != wanted:
            raise MismatchError(
                f"{folder}: the index was built with embedder {wanted}; promote that one, or use "
                "--force --why and build the index and train the ranker anew"
            )


if __name__ == "__main__":
    shipped_card().write(shipped("model"))
