"""The resolver: listings in, decisions out.

Source -> candidates -> features -> ranker -> offer features -> probability -> decision. What the
features are, what holds a match back and what an answer's columns are is the domain's.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rerank.answers import Answers, Verdicts, answers_of, joined
from rerank.calibration import DEFAULT_COVERAGE, outcome_probabilities
from rerank.domain import FeatureNames, domain_named
from rerank.explanation import Explanation, explained
from rerank.index.errors import ArtifactError, InputError
from rerank.index.records import N_CANDIDATES, Listing, distinct
from rerank.index.text import MAX_TITLE_CHARS, is_blank
from rerank.model import MODEL_REMEDY, RerankModel
from rerank.ranking import CandidateBatch, CandidateSource, Evidence, ModelTable, first_cut
from rerank.resolution import Resolution

if TYPE_CHECKING:
    import pyarrow as pa

    from rerank.verdicts import StandingVerdicts, VerdictSnapshot

# Listings resolved at once: of fewer, calls of numpy weigh more; larger arrays leave the cache.
_BLOCK = 2048
_NO_FAULTS: Mapping[int, str] = {}


class Resolver(ABC):
    """Resolves listings with a source of candidates and a trained model. Heavy to make once.

    Every listing is decided on the same number of candidates, those its model learnt on;
    ``top_k`` says how many of them an answer shows. A listing without a title, or with a fault, is
    no match and says why. Threads may share a resolver. `rerank.open_resolver` makes one that can
    be pickled, copied and forked with: the copy reads the same version from its folders again.

    Of each domain there is one kind, which says by `judge` what is known of candidates, by
    `verdicts` what is decided, and by ``schema``, `rows` and `resolutions` how it is told.

    :param reopen: makes the same resolver anew; None for one that was put together by hand.
    """

    domain: str
    """The name of the domain it is of."""
    schema: pa.Schema
    """The columns a resolved row gets, in this order."""
    why_no_sets = f"it was trained before there were any; train again with `{MODEL_REMEDY}`"
    """What is said where candidate sets are asked of a model that has none."""
    names_listings = False
    """Whether rows say the listing's id as ``listing_id`` too, where a feed calls it otherwise."""
    sold: tuple[str, ...]
    """The columns of ``schema`` that say what is sold where two answers are compared."""
    key_column: str
    """The column of ``schema`` that holds ids; the catalogue's records call them so, too."""

    ranked_models: int | None = None
    """How many models of each listing are described and ranked, by `first_cut`; None for all."""

    def __init__(
        self,
        source: CandidateSource,
        model: RerankModel,
        *,
        index_version: str,
        reopen: Callable[[], Resolver] | None = None,
    ) -> None:
        self._source = source
        self._model = model
        self._index_version = index_version
        self._table = source.table
        self._reopen = reopen
        self._process: int | None = None  # that it worked in
        self._people: StandingVerdicts | None = None

    def __repr__(self) -> str:
        return f"<Resolver of model {self._model.version}, index {self._index_version}>"

    def __reduce__(self) -> tuple[Callable[[], Resolver], tuple[()]]:
        if self._reopen is None:
            raise TypeError(
                "a Resolver put together by hand cannot be copied; make it with open_resolver"
            )
        return self._reopen, ()

    @property
    def model(self) -> RerankModel:
        """The model that decides."""
        return self._model

    @property
    def index_version(self) -> str:
        """The version of the index that proposes."""
        return self._index_version

    @property
    def source(self) -> CandidateSource:
        """What proposes candidates."""
        return self._source

    @property
    def people(self) -> VerdictSnapshot | None:
        """People's verdicts that stand before the model's answers; None for none."""
        return None if self._people is None else self._people.snapshot

    def heeding(
        self, people: StandingVerdicts, again: Callable[[Resolver], Resolver] | None = None
    ) -> Resolver:
        """Return this resolver with people's verdicts before what its model answers.

        It shares all that is heavy. Its answers say who decided: `Resolution.provenance`, and in
        tables the columns of `rerank.answer_columns.decided_fields`.

        :param again: puts the same verdicts before this resolver where it was opened again.
        """
        other: Resolver = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._people, other._reopen = people, None
        if self._reopen is not None and again is not None:
            other._reopen = partial(_heeding_again, self._reopen, again)
        if self._people is None:
            import pyarrow as pa

            from rerank.answer_columns import decided_fields

            other.schema = pa.schema([*self.schema, *decided_fields(self.key_column)])
        return other

    @property
    def features(self) -> FeatureNames:
        """The features that this release computes for the model."""
        return domain_named(self.domain).features

    @property
    def table(self) -> ModelTable:
        """The models candidates come from."""
        return self._table

    def resolve(self, listing: Listing | str, *, top_k: int = N_CANDIDATES) -> Resolution:
        """Resolve one listing, or a title alone.

        :param top_k: candidates shown, at least 1.
        :raises TypeError: if it is neither.
        :raises InputError: if ``top_k`` is below 1.
        """
        return self.resolve_many([_listing(listing, "resolve")], top_k=top_k)[0]

    def resolve_many(
        self,
        listings: Iterable[Listing | str],
        *,
        top_k: int = N_CANDIDATES,
        faults: Mapping[int, str] = _NO_FAULTS,
    ) -> list[Resolution]:
        """Resolve listings or titles; answers come in their order.

        :param top_k: candidates shown of each listing, at least 1; there are no more than decide.
        :param faults: what is wrong with a listing, by its number; such are not resolved.
        :raises TypeError: if something else is among them.
        :raises InputError: if ``top_k`` is below 1.
        """
        _check_top_k(top_k)
        return self.resolutions(self.answers(listings, faults=faults).cut(top_k))

    def resolve_table(
        self,
        listings: Iterable[Listing | str],
        *,
        top_k: int = N_CANDIDATES,
        faults: Mapping[int, str] = _NO_FAULTS,
        coverage: float | None = None,
        explain: bool = False,
    ) -> pa.Table:
        """Resolve listings into a row of ``schema`` each; what `resolve_many` answers.

        :param coverage: of candidate sets, then in the column `CANDIDATE_SET_FIELD`; None for none.
        :param explain: add the features that decided, in the column `EXPLANATION_FIELD`.
        :raises InputError: if ``top_k`` is below 1, or sets cannot promise this coverage.
        :raises ArtifactError: if candidate sets are asked for and the model has none.
        """
        import pyarrow as pa  # not for who resolves single titles

        from rerank import answer_columns as told

        _check_top_k(top_k)
        answers = self.answers(listings, faults=faults, explain=explain)
        table = self.rows(answers.cut(top_k))
        if answers.decided is not None:
            columns = zip(
                told.decided_fields(self.key_column),
                told.decided_columns(answers.decided),
                strict=True,
            )
            for field, column in columns:
                table = table.append_column(field, column)
        if coverage is not None:
            found = self.resolutions(answers)
            sets = [list(self.candidate_set(each, coverage=coverage)) for each in found]
            table = table.append_column(
                told.CANDIDATE_SET_FIELD, pa.array(sets, told.CANDIDATE_SET_FIELD.type)
            )
        if explain:
            why = [asdict(each) for each in answers.explanations]
            table = table.append_column(
                told.EXPLANATION_FIELD, pa.array(why, told.EXPLANATION_FIELD.type)
            )
        return table

    def explain(self, listing: Listing | str) -> Explanation:
        """Explain what `resolve` answers."""
        return self.answers([_listing(listing, "explain")], explain=True).explanations[0]

    def answers(
        self,
        listings: Iterable[Listing | str],
        *,
        faults: Mapping[int, str] = _NO_FAULTS,
        explain: bool = False,
    ) -> Answers:
        """Resolve listings into arrays, all candidates with them; equal texts are resolved once.

        :param explain: explain each answer as well.
        :raises TypeError: if something is among them that is no listing and no title.
        """
        given = _listings(listings)
        places: dict[tuple[str, ...], int] = {}
        place = [-1] * len(given)
        distinct: list[Listing] = []
        for at, listing in enumerate(given):
            if at in faults or is_blank(listing.title):
                continue
            key = (listing.title, listing.vendor, listing.description, listing.identifiers)
            place[at] = places.setdefault(key, len(places))
            if len(places) > len(distinct):
                distinct.append(listing)
        answers = self._resolved(distinct, explain=explain)
        if len(distinct) < len(given):
            answers = answers.take(np.array(place, np.int64))
        for at, listing in enumerate(given):
            if place[at] < 0:
                answers.reason[at] = faults.get(at, "no title")
            elif len(listing.title) > MAX_TITLE_CHARS:
                answers.reason[at] += f"; title cut at {MAX_TITLE_CHARS} characters"
        if self._people is None:
            return answers
        asked = np.flatnonzero(np.array(place, np.int64) >= 0)
        return self._people.over(answers, given, asked, self._model.thresholds)

    @abstractmethod
    def judge(self, listings: Sequence[Listing], candidates: CandidateBatch) -> Evidence:
        """Rank given candidates and describe the best of each listing."""

    @abstractmethod
    def verdicts(self, evidence: Evidence, probability: NDArray[np.float64]) -> Verdicts:
        """Decide on evidence, and say why.

        :param probability: shape (listings,), that the best candidate is what is sold.
        """

    @abstractmethod
    def rows(self, answers: Answers) -> pa.Table:
        """Return answers as a table of ``schema``, without the columns that say who decided."""

    @abstractmethod
    def resolutions(self, answers: Answers) -> list[Resolution]:
        """Return answers as objects."""

    def _resolved(self, listings: Sequence[Listing], *, explain: bool) -> Answers:
        parts = []
        for at in range(0, len(listings), _BLOCK) or [0]:
            block = listings[at : at + _BLOCK]
            parts.append(self.decide(self.evidence(block), explain=explain))
        return joined(parts)

    def decide(self, evidence: Evidence, *, explain: bool = False) -> Answers:
        """Answer the listings that evidence was gathered of."""
        model, table = self._model, self._table
        why = explained(evidence, model, table, self.features) if explain else ()
        verdicts = self.verdicts(evidence, model.probability(evidence.offers))
        return answers_of(evidence, verdicts, table, why)

    def candidate_set(
        self, resolution: Resolution, *, coverage: float = DEFAULT_COVERAGE
    ) -> tuple[str, ...]:
        """Return the models that a listing may sell, the most probable first, never none of them.

        ``rerank.calibration.NO_MATCH`` among them says that it may sell none. Of listings like
        those calibrated on, the set holds the truth for at least a share of ``coverage``.

        :param resolution: as `resolve_many` returned it with the default ``top_k``: the set is
            calibrated for all candidates.
        :raises InputError: if ``coverage`` is outside (0, 1) or higher than can be promised.
        :raises ArtifactError: if the model was trained before there were candidate sets.
        """
        sets = self._model.candidate_sets
        if sets is None:
            raise ArtifactError(
                f"model {self._model.version} has no candidate sets: {self.why_no_sets}"
            )
        outcomes = outcome_probabilities(resolution.candidates)
        return sets.select(outcomes, resolution.decision, level=coverage)

    def evidence(
        self, listings: Sequence[Listing], *, n_candidates: int = N_CANDIDATES
    ) -> Evidence:
        """Retrieve, rank and describe; what the decision is then made from."""
        if self._reopen is not None and self._process not in (None, os.getpid()):
            # a process that was forked off has none of the threads that libraries count on
            self.__dict__.update(self._reopen().__dict__)
        self._process = os.getpid()
        return self.weigh(listings, self._source.retrieve(listings, n_candidates=n_candidates))

    def weigh(
        self, listings: Sequence[Listing], proposed: CandidateBatch, *, also: Iterable[int] = ()
    ) -> Evidence:
        """Judge what the first cut leaves of proposed candidates; the others stand behind.

        :param also: rows of them that are judged too, to show how they compare.
        """
        if self.ranked_models is None:
            return self.judge(listings, proposed)
        rows = first_cut(proposed, self.ranked_models)
        if more := list(also):
            rows = distinct(np.append(rows, more))
        evidence = self.judge(listings, proposed.take(rows))
        return replace(evidence, proposed=proposed)


def resolver_of(
    domain: str,
    source: CandidateSource,
    model: RerankModel,
    *,
    index_version: str,
    reopen: Callable[[], Resolver] | None = None,
    **own: Any,
) -> Resolver:
    """Put a model on a source of candidates, as its domain does.

    :param own: what only the domain's resolver takes.
    :raises MismatchError: if no pack of the domain is installed.
    """
    found: Resolver = domain_named(domain).resolver(
        source, model, index_version=index_version, reopen=reopen, **own
    )
    return found


def _heeding_again(
    reopen: Callable[[], Resolver], again: Callable[[Resolver], Resolver]
) -> Resolver:
    return again(reopen())


def _check_top_k(top_k: int) -> None:
    if not isinstance(top_k, int | np.integer):
        raise TypeError(f"top_k: pass a whole number from 1, got {type(top_k).__name__}")
    if top_k < 1:
        raise InputError(f"top_k must be at least 1, got {top_k}")


def _listings(given: Iterable[Listing | str]) -> list[Listing]:
    """Return listings and titles as listings.

    :raises TypeError: if it is no list of such; a table would give the names of its columns.
    """
    single = isinstance(given, str | bytes | Listing | Mapping) or hasattr(given, "columns")
    if single or not isinstance(given, Iterable):
        kind = type(given).__name__
        raise TypeError(f"expected listings: pass a list of titles (str) or Listings, got {kind}")
    return [
        each if type(each) is Listing else _listing(each, f"listing {at}")
        for at, each in enumerate(given)
    ]


def _listing(given: Listing | str, what: str) -> Listing:
    if isinstance(given, str):
        return Listing(title=given)
    if isinstance(given, Listing):
        return given
    raise TypeError(f"{what}: pass a title (str) or a Listing, got {type(given).__name__}")


def predict_match_score(
    listing_embedding: Any, candidate_embeddings: Any
) -> list[tuple[int, float]]:
    """Rank candidates of one listing by cosine of their embeddings alone.

    :param listing_embedding: shape (dimension,).
    :param candidate_embeddings: shape (candidates, dimension).
    :returns: (row of the candidate, cosine in [-1, 1]) pairs, best first, ties by row.
    :raises TypeError: if one is no array of numbers.
    :raises InputError: if the shapes do not fit.
    """
    try:
        query = np.asarray(listing_embedding, np.float64)
        rows = np.asarray(candidate_embeddings, np.float64)
    except (TypeError, ValueError) as exc:
        raise TypeError(f"expected embeddings: pass arrays of numbers; {exc}") from exc
    if query.ndim != 1 or rows.ndim != 2 or rows.shape[1] != len(query):
        raise InputError(f"expected shapes (d,) and (n, d), got {query.shape} and {rows.shape}")
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    cosine = (rows @ query) / np.where(norms == 0, 1, norms)
    order = np.argsort(-cosine, kind="stable")
    return [(int(row), float(cosine[row])) for row in order]
