"""Collect preference pairs: look up what candidates are made of, then save in one short write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from index.errors import FaultsError
from jobs.pairs.candidate_lookup import CandidateLookup
from jobs.workspace import Workspace
from rerank.annotation.annotation_pairs import implied_pairs
from rerank.annotation.bootstrap_pairs import bootstrap_pairs
from rerank.annotation.preferences import PairsSaved, save_pairs
from rerank.store import Store
from rerank.store.annotations import read_annotations
from rerank.store.preferences import PairSource, PreferencePair, delete_pairs, read_pairs


@dataclass(frozen=True, slots=True)
class Followed:
    """What following the annotations changed, in pairs.

    :param removed: pairs that no annotation implies any more.
    :param without_listing: pairs of listings that are not in the store.
    :param not_retrieved: new pairs with a GPU that is not among its listing's candidates now.
    :param without_gpu: matches with a GPU that the registry lacks.
    :param without_shown: matches that record no shown candidates.
    :param overruled: matches that the adjudicator decided otherwise.
    """

    saved: PairsSaved
    removed: int
    without_listing: int
    not_retrieved: int
    without_gpu: int
    without_shown: int
    overruled: int


def state_pairs(
    workspace: Workspace, pairs: Sequence[PreferencePair], *, wait_s: float, overwrite: bool
) -> PairsSaved:
    """Save what somebody said; candidates given without metrics get those of the ranker.

    :raises FaultsError: if a candidate cannot be looked up, or a pair is not sound.
    :raises PreferenceConflictError: if a pair contradicts a stored one; see `save_pairs`.
    """
    store = Store(workspace.store_path, wait_s=wait_s)
    filled = CandidateLookup(workspace).fill(store, pairs)
    faults = [
        *(
            f"listing {key!r:.80} is not in the store: import it with `rerank store import "
            f"listings`"
            for key in filled.without_listing
        ),
        *(
            f"no GPU of the registry has the gpu_id {key!r:.80}: `rerank search` shows gpu_ids"
            for key in filled.without_gpu
        ),
    ]
    if faults:
        raise FaultsError(
            "candidates whose features cannot be looked up (mend them or give the metrics)",
            list(dict.fromkeys(faults)),
        )
    with store.writing() as session:
        return save_pairs(session, filled.pairs, overwrite=overwrite)


def add_bootstrap_pairs(
    workspace: Workspace, n_pairs: int, *, seed: int, wait_s: float, overwrite: bool
) -> PairsSaved:
    """Save pairs of generated listings; see `rerank.annotation.bootstrap_pairs`."""
    lookup = CandidateLookup(workspace)
    pairs = lookup.with_similarity(bootstrap_pairs(lookup.resolver, n_pairs, seed=seed))
    with Store(workspace.store_path, wait_s=wait_s).writing() as session:
        return save_pairs(session, pairs, overwrite=overwrite)


def follow_annotations(workspace: Workspace, *, wait_s: float, overwrite: bool) -> Followed:
    """Make the pairs that come from annotations those that annotations imply now.

    :raises PreferenceConflictError: if an annotator stated the opposite by hand.
    """
    store, lookup = Store(workspace.store_path, wait_s=wait_s), CandidateLookup(workspace)
    with store.reading() as session:
        annotations = read_annotations(session)
        stored = {p.pair_id: p for p in read_pairs(session, source=PairSource.ANNOTATION)}
    models = {record.gpu_id: record.model for record in lookup.retriever.records}
    implied = implied_pairs(annotations, models)
    current = {pair.pair_id: pair for pair in implied.pairs}
    stale = [key for key in stored if key not in current]
    changed, fresh = [], []
    for key, pair in current.items():
        if key not in stored:
            fresh.append(pair)
        elif stored[key].preferred != pair.preferred:
            changed.append(pair)
    filled = lookup.fill(store, fresh)
    with store.writing() as session:
        delete_pairs(session, stale)
        turned = save_pairs(session, changed, overwrite=True)
        saved = save_pairs(session, filled.pairs, overwrite=overwrite)
    there = len(current) - len(changed) - len(fresh) + saved.unchanged
    return Followed(
        PairsSaved(saved.added, turned.replaced + saved.replaced, there),
        len(stale),
        len(filled.without_listing),
        filled.not_retrieved,
        implied.without_gpu,
        implied.without_shown,
        implied.overruled,
    )
