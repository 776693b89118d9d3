"""Training of a resolver for any catalogue: without labels, and with a few hundred.

Entries are rewritten as the feed's listings are written (`rewriting`), and shown with their entry
or with it taken out: a listing that sells nothing of the catalogue, with its siblings in sight.
On some a ranker is trained, on others the classifier of its first places, on others again the
calibration. Labels join all three with weight, each judged by models that have not seen it.

Calibration without labels is the weak place: made-up listings look like the feed's, and nobody has
said which of these are right. Prices are evidence that names know nothing of, so they check it
(`_wrong_by_price`); where they tell of more wrong first places than were expected, every
probability is lowered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.answers import candidate_probabilities
from rerank.calibration import Calibrator, CandidateSets, fit_calibrator
from rerank.index.errors import InputError
from rerank.index.records import falling_order
from rerank.model import OnnxTrees
from rerank.packs.generic.evidence import (
    CANDIDATE_DIRECTIONS,
    CANDIDATE_FEATURES,
    OFFER_DIRECTIONS,
    OFFER_FEATURES,
    Habits,
    candidate_features,
    decided_scores,
    offer_features,
)
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import Found, ProductIndex
from rerank.packs.generic.pack_data import Pack
from rerank.packs.generic.product_table import counted
from rerank.packs.generic.reading import Ints
from rerank.packs.generic.rewriting import Manner, Rewriter, measured_manner, usual_manner
from rerank.resolution import Decision, Thresholds
from rerank.trees import TrainedTrees, TreeParameters, train_classifier, train_lambdarank

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Label = tuple[Fields, frozenset[int]]
"""A listing and the rows of the products that it may be; none: it sells nothing of these."""
Progress = Callable[[str, float], None]

_COLUMN = {name: at for at, name in enumerate(CANDIDATE_FEATURES)}
_OFFER_COLUMN = {name: at for at, name in enumerate(OFFER_FEATURES)}
_BATCH = 1000  # listings read at once
_NONE = -1
_RIGHT = 2  # LambdaRank's grade of a right product
_ALONE = 0.5  # share of listings of other goods where there is one product
_MOST_HIDDEN = 12  # products that are taken out together
_SURE_SHARE, _SURE_COVER = 0.4, 0.4
_IDENTIFIED = 2  # level of an identifier that names one product
_LEAST_SURE = 20  # pairs that manners are measured on
_USUAL_ADDITIONS = 2000
_MIN_BLOCK = 25  # rows of a step of the calibration
_LEAST_PRICES = 50  # of each kind
_SURELY = 0.8  # probability of the first places whose prices are compared
_TAILS = (0.6, 0.7, 0.8, 0.9)  # quantiles of strangers' price gaps
_TELLING = 0.6  # share of wrong first places above which prices tell nothing
_MOST_WRONG = 0.2  # that probabilities are lowered for
_PRECISION, _LEAST_PRECISION = 0.95, 0.75
_UNMEASURED = 0.86  # is stated of what seems _PRECISION, where no listing of a feed was seen
_LEAST_ACCEPTED = 0.05  # share of the feed, for which less precision is stated
_MATCHING = 0.2  # share of the feed expected to match, so that it is
_OTHER_GOODS, _SURVEYED = 0.25, 2000  # of listings to measure on, and those they are written like
_PRIOR_ROWS = 15.0  # listings that the made-up ones count as beside labels
_STRANGE = (0.15, 0.02)  # shares expected to match and accepted below which goods are others


@dataclass(frozen=True, slots=True)
class LearningParameters:
    """Sizes, shares and the stated precision; stored in the model's manifest.

    :param nil_share: share of made-up listings that sell nothing of the catalogue, of those that
        the offer classifier learns from; ``validation_nil_share`` of those that calibrate
        probabilities and candidate sets.
    :param cued_share: share, on top, that name a product and sell what goes with it.
    :param precision: that accepted listings are to have, each of them; None for .95, or the most
        that the feed's surest listings reach; without a feed .86 is stated for what seems .95.
    :param feed: listings of the feed that are looked at.
    :param label_weight: made-up listings that a labelled one counts as for the ranker; for the
        offer classifier, to which they alone show what real listings of nothing are, twice as many.
    :param folds: parts of the labels; each part is judged by models trained without it.
    """

    ranker_listings: int = 6000
    offer_listings: int = 4000
    validation_listings: int = 3000
    set_listings: int = 2000
    nil_share: float = 0.35
    validation_nil_share: float = 0.2
    cued_share: float = 0.08
    precision: float | None = None
    review: float = 0.2
    feed: int = 6000
    label_weight: float = 8.0
    folds: int = 5
    seed: int = 7
    ranker: TreeParameters = field(
        default_factory=lambda: TreeParameters(
            trees=160,
            leaves=15,
            learning_rate=0.07,
            min_rows_in_leaf=80,
            feature_fraction=0.3,
            l2=20.0,
        )
    )
    offer: TreeParameters = field(
        default_factory=lambda: TreeParameters(
            trees=120,
            leaves=8,
            learning_rate=0.07,
            min_rows_in_leaf=80,
            feature_fraction=0.3,
            l2=20.0,
        )
    )


@dataclass(frozen=True, slots=True)
class LearntModel:
    """What training gives: everything that decides, and what it rests on.

    :param candidate_sets: calibrated on made-up listings of a draw of their own.
    :param rests_on: in words, what the calibration rests on.
    :param measured: figures of training, for the report.
    :param notes: what a person should know, a sentence each.
    """

    ranker: TrainedTrees
    offer: TrainedTrees
    calibrator: Calibrator
    thresholds: Thresholds
    candidate_sets: CandidateSets
    habits: Habits
    rests_on: str
    measured: dict[str, Any]
    notes: tuple[str, ...]


class _Lessons(NamedTuple):
    """Candidates of listings: ``features`` and ``right`` by row of ``found``."""

    found: Found
    features: Floats
    right: Bools
    weight: Doubles  # by listing

    @property
    def listings(self) -> int:
        return self.found.n_listings

    def part(self, chosen: Bools) -> _Lessons:
        """Return the lessons of some listings."""
        return _Lessons(
            self.found.part(chosen),
            self.features[chosen[self.found.listing]],
            self.right[chosen[self.found.listing]],
            self.weight[chosen],
        )


class _Offers(NamedTuple):
    """First places of listings."""

    features: Floats
    right: Bools
    weight: Doubles
    record: Ints  # _NONE without candidates

    def part(self, chosen: Bools) -> _Offers:
        """Return the first places of some listings."""
        features, right, weight, record = self
        return _Offers(features[chosen], right[chosen], weight[chosen], record[chosen])


class _LessonReader:
    """Reads listings beside their candidates."""

    def __init__(self, index: ProductIndex, habits: Habits) -> None:
        self._index, self._habits = index, habits

    def lessons(
        self,
        labels: Sequence[Label],
        *,
        hidden: Ints | None = None,
        weight: float = 1.0,
        progress: Callable[[float], None] = lambda share: None,
    ) -> _Lessons:
        """Return candidates with what is right.

        :param hidden: as `ProductIndex.retrieve` takes it.
        """
        found, features = [], []
        for at in range(0, len(labels) or 1, _BATCH):
            progress(at / max(len(labels), 1))
            batch = slice(at, at + _BATCH)
            readings = self._index.reader.read([listing for listing, _ in labels[batch]])
            shut = None if hidden is None else hidden[batch]
            found.append(self._index.retrieve(readings, hidden=shut))
            features.append(
                candidate_features(self._index, readings, found[-1], self._habits, shut)
            )
        whole = Found.joined(found)
        n = len(self._index)
        keys = [at * n + row for at, (_, rows) in enumerate(labels) for row in sorted(rows)]
        right = np.isin(whole.listing * n + whole.record, np.array(keys, np.int64))
        return _Lessons(whole, np.concatenate(features), right, np.full(len(labels), weight))


def train(
    index: ProductIndex,
    products: Sequence[Fields],
    listings: Sequence[Fields],
    labels: Sequence[Label] = (),
    parameters: LearningParameters | None = None,
    *,
    pack: Pack,
    models: Ints | None = None,
    progress: Progress = lambda stage, share: None,
) -> LearntModel:
    """Train a resolver for a catalogue.

    :param products: that the index was built of, in its order.
    :param listings: of the feed that will be resolved, or of one like it; none at all are needed.
    :param labels: listings with what they sell.
    :param pack: what is known of such goods.
    :param models: number of each product's model, whose variants are right together; by default
        each product is its own.
    :raises InputError: if there is no product, products and index differ, or nothing tells the
        products apart.
    """
    if not products or len(products) != len(index):
        raise InputError(
            f"expected the {len(index)} products that the index was built of, got {len(products)}"
        )
    parameters = parameters or LearningParameters()
    if models is None:
        models = np.arange(len(products))
    training = _Training(index, products, models, pack, parameters, progress)
    return training.run(listings, labels)


def made_up_listings(
    index: ProductIndex,
    products: Sequence[Fields],
    listings: Sequence[Fields],
    n: int,
    *,
    pack: Pack,
    models: Ints,
    seed: int,
) -> list[Label]:
    """Make up listings as `train` does, to measure on: with a seed that no training has.

    :param n: of these a quarter are of other goods. None sells what a catalogue lacks otherwise:
        no resolver can be asked without a product that it has.
    """
    parameters = LearningParameters(cued_share=_OTHER_GOODS, feed=_SURVEYED, seed=seed)
    training = _Training(index, products, models, pack, parameters, lambda stage, share: None)
    return training.examples(listings, n)


class _Survey(NamedTuple):
    """A feed, looked at: what is sure in it, and how it is written."""

    manner: Manner
    pairs: int
    listings: Sequence[Fields]


class _Fitted(NamedTuple):
    """Trees of both stages, and scores of first places on which calibration rests."""

    ranker: TrainedTrees
    offer: TrainedTrees
    log_odds: Doubles
    right: Bools
    weight: Doubles


class _Training:
    """One call of `train`."""

    def __init__(
        self,
        index: ProductIndex,
        products: Sequence[Fields],
        models: Ints,
        pack: Pack,
        parameters: LearningParameters,
        progress: Progress,
    ) -> None:
        self._index, self._products, self._pack = index, products, pack
        self._models, self._variants = models, _variants_of(models)
        self._parameters, self._progress = parameters, progress
        self._rng = np.random.default_rng(parameters.seed)

    def run(self, listings: Sequence[Fields], labels: Sequence[Label]) -> LearntModel:
        survey = self._begun([*listings, *(listing for listing, _ in labels)])
        self._evidence = _LessonReader(self._index, survey.manner.habits)
        fitted = self._fit(labels)
        if not fitted.right.any():
            raise InputError(
                "none of the made-up listings finds its product: names do not tell the products "
                "apart; give columns that do the role name, identifier or number in the catalogue "
                "file, and build the index again"
            )
        calibrator = fit_calibrator(
            fitted.log_odds, fitted.right, min_rows=_MIN_BLOCK, weights=fitted.weight
        )
        feed = self._read("looking at the feed", [(each, frozenset()) for each in survey.listings])
        ranker, offer = OnnxTrees(fitted.ranker.onnx), OnnxTrees(fitted.offer.onnx)
        places = _first_places(feed, ranker)
        odds = offer.score(places.features)
        wrong = None
        if not labels:
            wrong = self._wrong_by_price(survey, places, calibrator(odds), ranker)
            calibrator = _lowered(calibrator, odds, wrong)
        thresholds = self._thresholds(calibrator(odds), bool(labels or survey.pairs))
        return LearntModel(
            ranker=fitted.ranker,
            offer=fitted.offer,
            calibrator=calibrator,
            thresholds=thresholds,
            candidate_sets=self._promised(calibrator, thresholds, ranker, offer),
            habits=survey.manner.habits,
            rests_on=_rests_on(survey, labels, wrong),
            **self._measured(survey, labels, calibrator(odds), thresholds, wrong, fitted),
        )

    def _promised(
        self, calibrator: Calibrator, thresholds: Thresholds, ranker: OnnxTrees, offer: OnnxTrees
    ) -> CandidateSets:
        """Calibrate candidate sets on made-up listings that nothing else was fitted to.

        Those whose product is not proposed at all are left out: rewriting leaves some of them
        hardly a word, and no set could hold it.
        """
        parameters = self._parameters
        labels, hidden = self._made_up(parameters.set_listings, parameters.validation_nil_share)
        lessons = self._read("making up listings for candidate sets", labels, hidden)
        probability = calibrator(offer.score(_first_places(lessons, ranker).features))
        shares, counted = self._shared_out(lessons, ranker, probability)
        found = lessons.found
        right = np.zeros(found.n_listings)
        np.maximum.at(right, found.listing, np.where(lessons.right, shares, 0.0))
        there = np.bincount(found.listing, lessons.right, found.n_listings) > 0
        some = np.bincount(found.listing, np.where(counted, shares, 0.0), found.n_listings)
        sold = np.array([bool(rows) for _, rows in labels])
        missed = np.where(sold, 1.0 - right, np.minimum(some, 1.0))
        decision = np.where(probability >= thresholds.match, Decision.MATCH, Decision.REVIEW)
        decision = np.where(probability < thresholds.review, Decision.NO_MATCH, decision)
        kept = there | ~sold
        return CandidateSets.from_scores(
            {each.value: missed[kept & (decision == each)].tolist() for each in Decision},
            seed=parameters.seed,
        )

    def _shared_out(
        self, lessons: _Lessons, ranker: OnnxTrees, probability: Doubles
    ) -> tuple[Doubles, Bools]:
        """Return the share of each candidate's model, and which candidates are its first."""
        found = lessons.found
        score = decided_scores(ranker.score(lessons.features), found)
        model = self._models[found.record]
        keys = found.listing * (int(self._models.max(initial=0)) + 1) + model
        _, own = np.unique(keys, return_inverse=True)
        best = np.full(int(own.max(initial=-1)) + 1, -np.inf)
        np.maximum.at(best, own, score)
        order = falling_order(found.listing, best[own].astype(np.float32))
        shares, counted = np.zeros(len(order)), np.zeros(len(order), bool)
        shares[order] = candidate_probabilities(
            found.offsets, model[order], best[own][order], probability
        )
        counted[order[np.unique(keys[order], return_index=True)[1]]] = True
        return shares, counted

    def examples(self, listings: Sequence[Fields], n: int) -> list[Label]:
        """Return made-up listings; those that sell nothing are of other goods."""
        self._begun(listings)
        return self._made_up(n, self._parameters.cued_share)[0]

    def _begun(self, listings: Sequence[Fields]) -> _Survey:
        """Look at a feed, and write as it is written from now on."""
        survey = self._survey(listings)
        self._rewriter = Rewriter(self._index, self._products, survey.manner, self._pack, self._rng)
        return survey

    def _thresholds(self, probability: Doubles, measured: bool) -> Thresholds:
        """Accept what is itself as sure as is stated, not only on the average of what is accepted.

        The average is right only where all probabilities are. That costs share, not precision.

        :param measured: whether probabilities rest on any real listing; if not, less is stated
            than what is accepted is thought to be.
        """
        precision = self._parameters.precision
        if precision is None and not measured:
            return Thresholds(_PRECISION, self._parameters.review, _UNMEASURED)
        if precision is None:
            surest = _PRECISION
            if len(probability) and probability.mean() >= _MATCHING:
                surest = float(np.quantile(probability, 1 - _LEAST_ACCEPTED))
            precision = float(np.clip(np.floor(surest * 100) / 100, _LEAST_PRECISION, _PRECISION))
        return Thresholds(precision, min(self._parameters.review, precision), precision)

    def _survey(self, listings: Sequence[Fields]) -> _Survey:
        """Look at a sample of the feed for pairs that are sure, and measure its manner."""
        most = self._parameters.feed
        if len(listings) > most:
            chosen = np.sort(self._rng.permutation(len(listings))[:most]).tolist()
            listings = [listings[at] for at in chosen]
        usual = partial(
            usual_manner,
            self._index,
            tuple(self._pack.grammar.additions.values()),
            self._rng,
            parts=[*self._pack.cue_words("accessory"), *self._pack.cue_words("spare_part")],
        )
        if listings:
            readings = self._index.reader.read(listings)
            found = self._index.retrieve(readings)
            features = candidate_features(self._index, readings, found)
            sure, others = _sure_pairs(found, features)
            if len(sure[0]) >= _LEAST_SURE:
                manner = measured_manner(
                    self._index, self._products, listings, readings, sure, others
                )
                also = usual(n=len(manner.additions))
                return _Survey(manner.with_additions_of(also), len(sure[0]), listings)
        return _Survey(usual(n=_USUAL_ADDITIONS), 0, listings)

    def _fit(self, labels: Sequence[Label]) -> _Fitted:
        parameters = self._parameters
        made = [
            self._read(f"making up listings for the {stage}", *self._made_up(n, share))
            for stage, n, share in (
                ("ranker", parameters.ranker_listings, 0.0),
                ("offer classifier", parameters.offer_listings, parameters.nil_share),
                ("calibration", parameters.validation_listings, parameters.validation_nil_share),
            )
        ]
        if labels:
            return self._fit_with(labels, *made)
        ranker = self._rank([made[0]])
        trees = OnnxTrees(ranker.onnx)
        learnt, checked = (_first_places(each, trees) for each in made[1:])
        offer = self._judge([learnt])
        odds = OnnxTrees(offer.onnx).score(checked.features)
        return _Fitted(ranker, offer, odds.astype(np.float64), checked.right, checked.weight)

    def _fit_with(
        self, labels: Sequence[Label], ranked: _Lessons, judged: _Lessons, checked: _Lessons
    ) -> _Fitted:
        """Join labelled listings; each is judged by models that have not seen it."""
        parameters = self._parameters
        told = [
            (listing, frozenset(each for row in rows for each in self._variants[row]))
            for listing, rows in labels
        ]
        shown = self._evidence.lessons(told, weight=parameters.label_weight)
        part = self._rng.permutation(len(labels)) % parameters.folds
        # Half of them for all rankers: there are several, and their scores must be of one scale.
        ranked = ranked.part(np.arange(ranked.listings) % 2 == 0)
        pieces = []
        for fold in np.unique(part).tolist():
            trees = OnnxTrees(self._rank([ranked, shown.part(part != fold)]).onnx)
            pieces.append((part == fold, _first_places(shown.part(part == fold), trees)))
        places = _scattered(pieces, len(part))
        places = places._replace(weight=2 * places.weight)
        ranker = self._rank([ranked, shown])
        made, check = (_first_places(each, OnnxTrees(ranker.onnx)) for each in (judged, checked))
        odds = np.zeros(len(part))
        for chosen, _ in pieces:
            offer = self._judge([made, places.part(~chosen)])
            odds[chosen] = OnnxTrees(offer.onnx).score(places.features[chosen])
        offer = self._judge([made, places])
        prior = OnnxTrees(offer.onnx).score(check.features)
        share = _PRIOR_ROWS / max(check.weight.sum(), 1.0)
        return _Fitted(
            ranker,
            offer,
            np.concatenate([odds, prior]),
            np.concatenate([places.right, check.right]),
            np.concatenate([np.ones(len(labels)), check.weight * share]),
        )

    def _read(self, stage: str, labels: Sequence[Label], hidden: Ints | None = None) -> _Lessons:
        def told(share: float) -> None:
            self._progress(stage, share)

        return self._evidence.lessons(labels, hidden=hidden, progress=told)

    def _made_up(self, n: int, nil_share: float) -> tuple[list[Label], Ints]:
        """Return made-up listings, and of those that sell nothing the products to be taken out."""
        rows = self._rng.integers(len(self._products), size=n).tolist()
        roll = self._rng.random(n).tolist()
        labels: list[Label] = []
        hidden: list[Sequence[int]] = []
        for at, row in enumerate(rows):
            model = self._variants[row]
            out: Sequence[int] = ()
            if len(model) == len(self._products) and nil_share:  # there is nothing else to take
                nil_share = _ALONE
            if roll[at] >= nil_share or len(model) > _MOST_HIDDEN:
                labels.append((self._rewriter.write(row), frozenset(model)))
            elif roll[at] < self._parameters.cued_share or len(model) == len(self._products):
                labels.append((self._rewriter.other_goods(row), frozenset()))
            else:
                labels.append((self._rewriter.write(row), frozenset()))
                out = model
            hidden.append(out)
        return labels, _columns(hidden)

    def _rank(self, parts: Sequence[_Lessons]) -> TrainedTrees:
        lessons = _joined(parts)
        sizes = np.diff(lessons.found.offsets)
        hits = np.bincount(lessons.found.listing, lessons.right, lessons.listings)
        telling = (hits > 0) & (hits < sizes)
        if not telling.any():  # one product, or none that is ever right: nothing to put in order
            telling = sizes > 0
        rows = telling[lessons.found.listing]
        return train_lambdarank(
            lessons.features[rows],
            lessons.right[rows].astype(np.int64) * _RIGHT,
            sizes[telling].tolist(),
            CANDIDATE_FEATURES,
            self._parameters.ranker,
            directions=CANDIDATE_DIRECTIONS,
            weights=lessons.weight[telling],
            progress=lambda share: self._progress("training LambdaRank", share),
        )

    def _judge(self, parts: Sequence[_Offers]) -> TrainedTrees:
        return train_classifier(
            np.concatenate([each.features for each in parts]),
            np.concatenate([each.right for each in parts]),
            OFFER_FEATURES,
            self._parameters.offer,
            directions=OFFER_DIRECTIONS,
            weights=np.concatenate([each.weight for each in parts]),
            progress=lambda share: self._progress("training the offer classifier", share),
        )

    def _wrong_by_price(
        self, survey: _Survey, places: _Offers, probability: Doubles, ranker: OnnxTrees
    ) -> float | None:
        """Return the share of sure first places that prices tell to be wrong, None if they do not.

        As in target-decoy search (Elias and Gygi 2007, doi:10.1038/nmeth1019): strangers are what
        the same listings are offered once their first place is taken out. Right prices are near
        each other, those of strangers often far apart; the share of first places beyond what
        strangers reach in a part of cases bounds the share of strangers among them.
        """
        if not len(survey.listings):
            return None
        nothing: list[Label] = [(each, frozenset()) for each in survey.listings]
        strangers = _first_places(self._read("comparing prices", nothing, places.record), ranker)
        gap, away = (
            each.features[:, _OFFER_COLUMN["best_price_gap"]] for each in (places, strangers)
        )
        sure = (gap >= 0) & (probability >= _SURELY)
        away = away[away >= 0]
        if min(int(sure.sum()), len(away)) < _LEAST_PRICES:
            return None
        tails = np.quantile(away, _TAILS)
        shares = [float((gap[sure] > t).mean() / max((away > t).mean(), 1e-9)) for t in tails]
        wrong = float(np.mean(sorted(shares)[:2]))  # few cases lie in the last tail alone
        return None if wrong > _TELLING else min(wrong, _MOST_WRONG)

    def _measured(
        self,
        survey: _Survey,
        labels: Sequence[Label],
        probability: Doubles,
        thresholds: Thresholds,
        wrong: float | None,
        fitted: _Fitted,
    ) -> dict[str, Any]:
        feed = len(survey.listings)
        matched = float(probability.mean()) if feed else None
        accepted = float((probability >= thresholds.match).mean()) if feed else None
        measured = {
            "listings": {"feed": feed, "sure": survey.pairs, "labelled": len(labels)},
            "expected": {"matched": matched, "accepted": accepted},
            "wrong_by_price": wrong,
            "importance": {
                "ranker": fitted.ranker.top_importance(),
                "offer": fitted.offer.top_importance(),
            },
        }
        return {"measured": measured, "notes": _notes(survey, matched, accepted, thresholds)}


def _rests_on(survey: _Survey, labels: Sequence[Label], wrong: float | None) -> str:
    if labels:
        return (
            f"{counted(len(labels), 'labelled listing')}, each judged by models that have not seen "
            "it, and made-up listings beside them"
        )
    if not survey.pairs:
        return (
            "listings made up in a usual manner: no feed to measure one on, so probabilities are "
            "as good as that guess; label some listings, or train with a feed"
        )
    pairs = counted(survey.pairs, "sure pair")
    said = f"listings made up as the feed is written, measured on {pairs}"
    if wrong is None:
        return f"{said}; nothing in the feed could check it"
    return (
        f"{said}; prices, which names know nothing of, tell of {wrong:.0%} wrong among the surest "
        "first places"
    )


def _notes(
    survey: _Survey,
    matched: float | None,
    accepted: float | None,
    thresholds: Thresholds,
) -> tuple[str, ...]:
    if matched is None or accepted is None:
        return ()
    few = matched < _STRANGE[0] and accepted < _STRANGE[1]
    if few or not (survey.pairs or accepted):
        return (
            f"{matched:.1%} of the feed's listings are expected to match, and {accepted:.1%} for "
            "sure: it seems to be of other goods than the catalogue, or in another language",
        )
    if accepted == 0:
        return (
            f"no listing of the feed is sure enough for a precision of {thresholds.precision:g}: "
            "all are left for review; label some with `rerank annotate`",
        )
    return ()


def _lowered(calibrator: Calibrator, odds: Floats, wrong: float | None) -> Calibrator:
    """Lower all probabilities so that the surest are wrong as often as prices tell."""
    if wrong is None:
        return calibrator
    probability = calibrator(odds)
    sure = probability >= _SURELY
    expected = 1.0 - float(probability[sure].mean()) if sure.any() else 0.0
    if wrong <= expected:
        return calibrator
    factor = (1.0 - wrong) / (1.0 - expected)
    return Calibrator(calibrator.log_odds, tuple(float(p * factor) for p in calibrator.probability))


def _variants_of(models: Ints) -> list[tuple[int, ...]]:
    """Return of each product the rows of its model."""
    rows: dict[int, list[int]] = {}
    for row, model in enumerate(models.tolist()):
        rows.setdefault(model, []).append(row)
    shared = {model: tuple(found) for model, found in rows.items()}
    return [shared[model] for model in models.tolist()]


def _columns(rows: Sequence[Sequence[int]]) -> Ints:
    """Return rows that are hidden together as columns, shape (listings, most of one listing)."""
    columns = np.full((len(rows), max(map(len, rows), default=0)), _NONE)
    for at, each in enumerate(rows):
        columns[at, : len(each)] = each
    return columns


def _sure_pairs(found: Found, features: Floats) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
    """Return listing and product of first places that stand out, and of the others."""
    named = features[:, _COLUMN["identifier"]]
    gap = features[:, _COLUMN["gap_sum"]] + named * (named >= _IDENTIFIED)
    some = np.flatnonzero(np.diff(found.offsets) > 0)
    best = falling_order(found.listing, gap.astype(np.float32))[found.offsets[some]]
    cover = features[best, _COLUMN["cover_entry"]]
    top = np.argsort(-(gap[best] + 0.5 * cover), kind="stable")
    top = np.sort(top[: int(_SURE_SHARE * found.n_listings)])
    top = top[cover[top] >= _SURE_COVER]
    rest = np.setdiff1d(np.arange(len(some)), top)
    record = found.record[best]
    return (some[top], record[top]), (some[rest], record[rest])


def _first_places(lessons: _Lessons, ranker: OnnxTrees) -> _Offers:
    found = lessons.found
    scores = decided_scores(ranker.score(lessons.features), found)
    some = np.flatnonzero(np.diff(found.offsets) > 0)
    best = falling_order(found.listing, scores)[found.offsets[some]]
    right = np.zeros(found.n_listings, bool)
    right[some] = lessons.right[best]
    record = np.full(found.n_listings, _NONE)
    record[some] = found.record[best]
    offers = offer_features(lessons.features, scores, found)
    return _Offers(offers, right, lessons.weight, record)


def _joined(parts: Sequence[_Lessons]) -> _Lessons:
    found = Found.joined([each.found for each in parts])
    rest = (np.concatenate(each) for each in zip(*(part[1:] for part in parts), strict=True))
    return _Lessons(found, *rest)


def _scattered(pieces: Sequence[tuple[Bools, _Offers]], n: int) -> _Offers:
    """Put first places of parts back where their listings stand."""
    order = np.concatenate([np.flatnonzero(chosen) for chosen, _ in pieces])
    joined = [np.concatenate(each) for each in zip(*(part for _, part in pieces), strict=True)]
    back = np.argsort(order, kind="stable")
    assert len(order) == n
    return _Offers(*(each[back] for each in joined))
