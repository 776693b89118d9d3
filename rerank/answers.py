"""Answers to a batch of listings in arrays: candidates in order, probabilities, decisions.

Both forms an answer is given in, `Resolution` and the columns of a table, are made from these. A
reason is a few words that tell a person why a listing was matched, held back or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.explanation import NOTHING, Explanation
from rerank.index.records import changes, grouped
from rerank.ranking import Evidence, ModelTable, standing
from rerank.resolution import (
    DECISIONS,
    Decision,
    Provenance,
    Resolution,
    ScoredCandidate,
    SettledResolution,
)

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NO_MATCH = DECISIONS.index(Decision.NO_MATCH)


@dataclass(frozen=True, slots=True, repr=False)
class Answers:
    """Answers to listings, flat; listing i owns rows offsets[i]:offsets[i + 1], best first.

    :param record: shape (rows,), row of each candidate in the registry.
    :param similarity: shape (rows,), cosine, -1 to 1, in four decimals.
    :param score: shape (rows,), the ranker's of the candidate's model, in four decimals;
        comparable within a listing.
    :param probability: shape (rows,), that the candidate's model is what the listing sells.
    :param variant_probability: shape (rows,), that it is this variant if its model is sold.
    :param match_probability: shape (listings,), of the best candidate's model, 0 without one.
    :param memory_stated: shape (listings,), whether the listing states the best candidate's memory.
    :param margin: shape (listings,), the match probability less that of the best other model.
    :param decision: shape (listings,), numbers in `DECISIONS`.
    :param reason: one for each listing.
    :param explanations: one for each listing; none where they were not asked for.
    :param decided: who decided, where people's verdicts are in use; else None.
    """

    offsets: Ints
    record: Ints
    similarity: Floats
    score: Floats
    probability: Floats
    variant_probability: Floats
    match_probability: Floats
    memory_stated: NDArray[np.bool_]
    margin: Floats
    decision: Ints
    reason: list[str]
    explanations: Sequence[Explanation] = ()
    decided: DecidedBy | None = None

    def __len__(self) -> int:
        return len(self.decision)

    def take(self, listings: Ints) -> Answers:
        """Return the answers to some listings, in any order and number of times.

        :param listings: shape (answers,); -1 stands for a listing without an answer: no match,
            no candidates, an empty reason and an empty explanation.
        """
        # What is appended stands last, where -1 finds it.
        counts = np.append(np.diff(self.offsets), 0)[listings]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[listings] - offsets[:-1], counts)
        reason = [self.reason[at] if at >= 0 else "" for at in listings.tolist()]
        why = [*self.explanations, NOTHING] if self.explanations else []
        return Answers(
            offsets,
            self.record[rows],
            self.similarity[rows],
            self.score[rows],
            self.probability[rows],
            self.variant_probability[rows],
            np.append(self.match_probability, 0.0)[listings],
            np.append(self.memory_stated, False)[listings],
            np.append(self.margin, 0.0)[listings],
            np.append(self.decision, _NO_MATCH)[listings],
            reason,
            [why[at] for at in listings.tolist()] if why else (),
        )

    def cut(self, top_k: int) -> Answers:
        """Return the same answers with the best ``top_k`` candidates of each."""
        counts = np.diff(self.offsets)
        if counts.max(initial=0) <= top_k:
            return self
        offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, top_k))])
        within = np.arange(len(self.record)) - np.repeat(self.offsets[:-1], counts)
        kept = within < top_k
        return replace(
            self,
            offsets=offsets,
            record=self.record[kept],
            similarity=self.similarity[kept],
            score=self.score[kept],
            probability=self.probability[kept],
            variant_probability=self.variant_probability[kept],
        )

    def resolutions(
        self, table: ModelTable, *, model_version: str, index_version: str
    ) -> list[Resolution]:
        """Return one object for each listing."""
        records = [table.records[row] for row in self.record.tolist()]
        candidates = [
            ScoredCandidate(
                record.gpu_id, record.model, record.memory_gb, record.form_factor, *values
            )
            for record, *values in zip(
                records,
                self.similarity.tolist(),
                self.score.tolist(),
                self.probability.tolist(),
                self.variant_probability.tolist(),
                strict=True,
            )
        ]
        offsets, decisions = self.offsets.tolist(), self.decision.tolist()
        stated = self.memory_stated.tolist()
        found = []
        for at, (probability, margin) in enumerate(
            zip(self.match_probability.tolist(), self.margin.tolist(), strict=True)
        ):
            own = tuple(candidates[offsets[at] : offsets[at + 1]])
            best = own[0] if own else None
            sold = best if decisions[at] != _NO_MATCH else None
            found.append(
                self._kind_of(at)(
                    gpu_id=sold.gpu_id if sold else None,
                    model=sold.model if sold else None,
                    memory_gb=sold.memory_gb if sold else None,
                    form_factor=sold.form_factor if sold else None,
                    best_guess=best.model if best else None,
                    match_probability=probability,
                    memory_stated=stated[at],
                    variant_probability=best.variant_probability if best else 0.0,
                    margin=margin,
                    decision=DECISIONS[decisions[at]],
                    reason=self.reason[at],
                    candidates=own,
                    model_version=model_version,
                    index_version=index_version,
                )
            )
        return found

    def _kind_of(self, at: int) -> Callable[..., Resolution]:
        """Return what makes the object of a listing's answer."""
        if self.decided is None:
            return Resolution
        return partial(SettledResolution, provenance=self.decided.of(at))


class DecidedBy(NamedTuple):
    """Who decided each answer, and what the model answers itself, arrays of shape (listings,).

    :param names: of people; ``by`` counts in them, -1 where the model decided.
    :param at: microseconds since 1970, UTC.
    :param decision: the model's, numbers in `DECISIONS`.
    :param keys: ids, as Arrow's strings; ``record`` counts in them what the model says is sold, -1
        for no match.
    :param probability: the model's `match_probability`.
    """

    names: Sequence[str]
    by: Ints
    at: Ints
    decision: Ints
    keys: pa.Array
    record: Ints
    probability: Floats

    def of(self, at: int) -> Provenance:
        """Return that of one listing."""
        who, row = int(self.by[at]), int(self.record[at])
        return Provenance(
            None if who < 0 else self.names[who],
            None if who < 0 else datetime(1970, 1, 1) + timedelta(microseconds=int(self.at[at])),
            DECISIONS[int(self.decision[at])],
            None if row < 0 else self.keys[row].as_py(),
            float(self.probability[at]),
        )


def joined(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several batches as those of one; at least one batch."""
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return Answers(
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([part.record for part in parts]),
        np.concatenate([part.similarity for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.probability for part in parts]),
        np.concatenate([part.variant_probability for part in parts]),
        np.concatenate([part.match_probability for part in parts]),
        np.concatenate([part.memory_stated for part in parts]),
        np.concatenate([part.margin for part in parts]),
        np.concatenate([part.decision for part in parts]),
        [reason for part in parts for reason in part.reason],
        [each for part in parts for each in part.explanations],
    )


class Verdicts(NamedTuple):
    """What is decided of the best candidate of each listing, all of shape (listings,).

    :param probability: `match_probability`, 0 where nothing could be sold.
    :param decision: numbers in `DECISIONS`.
    :param reason: a few words each.
    :param stated: whether the listing states which variant of the model it sells.
    """

    probability: Floats
    decision: Ints
    reason: list[str]
    stated: NDArray[np.bool_]


def answers_of(
    evidence: Evidence,
    verdicts: Verdicts,
    table: ModelTable,
    explanations: Sequence[Explanation] = (),
) -> Answers:
    """Rank the candidates and share out the probability.

    All that were proposed are answered, as `rerank.ranking.standing` orders them.
    """
    batch, scores, order = standing(evidence, table)
    record = batch.record[order]
    score = scores[order].astype(np.float64)
    model = table.model_of_record[record].astype(np.int64)
    sure = verdicts.probability
    shares = candidate_probabilities(batch.offsets, model, score, sure)
    return Answers(
        offsets=batch.offsets,
        record=record,
        similarity=_in_four_decimals(batch.similarity[order]),
        score=_in_four_decimals(score),
        probability=shares,
        variant_probability=_in_four_decimals(batch.variant_probability[order]),
        match_probability=sure,
        memory_stated=verdicts.stated,
        margin=sure - _rival_probability(batch.offsets, model, shares),
        decision=verdicts.decision,
        reason=verdicts.reason,
        explanations=explanations,
    )


def candidate_probabilities(
    offsets: Ints, model: Ints, score: Floats, probability: Floats
) -> Floats:
    """Share out probability over models: the best gets ``probability``, rivals a part of the rest.

    A rival's part is proportional to exp(score - best score), and never more than the best's own:
    the margin is not negative. What no model takes is the probability of "no match".

    :param offsets: listing i owns candidates offsets[i]:offsets[i + 1], by falling score.
    :param model: shape (candidates,), number of each one's model; it may stand there repeatedly.
    :param score: shape (candidates,).
    :param probability: shape (listings,), in [0, 1].
    :returns: shape (candidates,), the share of each one's model.
    """
    listing, top = _listing_and_top(offsets)
    keys = listing * (int(model.max(initial=0)) + 1) + model
    first, group = grouped(keys)
    best_of_model = first[group]  # the candidates come by score
    weight = np.exp(score[best_of_model] - score[top])
    rival = model != model[top]
    counted = rival & (best_of_model == np.arange(len(model)))
    total = 1.0 + np.bincount(listing[counted], weights=weight[counted], minlength=len(offsets) - 1)
    own = probability[listing]
    shares = np.minimum(own, (1 - own) * weight / total[listing])
    return np.asarray(np.where(rival, shares, own), np.float64)


def _in_four_decimals(values: NDArray[np.floating]) -> Floats:
    return values.astype(np.float64).round(4)


def _rival_probability(offsets: Ints, model: Ints, shares: Floats) -> Floats:
    """Return the share of the best candidate of another model than the best, 0 without one."""
    listing, top = _listing_and_top(offsets)
    others = (model != model[top]).nonzero()[0]
    with_rival = listing[others]
    first = changes(with_rival)
    rival = np.zeros(len(offsets) - 1)
    rival[with_rival[first]] = shares[others[first]]
    return rival


def _listing_and_top(offsets: Ints) -> tuple[Ints, Ints]:
    """Return each candidate's listing, and the row of that listing's best candidate."""
    counts = offsets[1:] - offsets[:-1]
    return np.arange(len(counts)).repeat(counts), offsets[:-1].repeat(counts)
