"""Annotations as gold: verdicts become kinds, what the title states is read from it."""

from __future__ import annotations

from rerank.annotation.agreement import consensus
from rerank.evaluation.gold import GoldKind, GoldListing, Split
from rerank.index.records import LabelledListing, Listing
from rerank.packs.gpu.training.labelling import gold_of_annotations, is_kept_out, side_of
from rerank.store.rows import Annotation, StoredListing, Verdict

TITLES = {
    "memory": "some card rtx 4060 ti 16gb boxed",
    "plain": "rtx 4060 ti with backplate",
    "unknown": "geforce rtx 9999 32gb",
    "mug": "coffee mug",
    "vague": "graphics card",
    "torn": "rtx 3080 or ti",
}
LISTINGS = {
    key: StoredListing(Listing(key, title), shop="bazaar", language="en")
    for key, title in TITLES.items()
}


def said(listing_id: str, annotator: str, verdict: Verdict, model: str | None = None) -> Annotation:
    return Annotation(listing_id, annotator, verdict, model=model)


def test_annotations_become_gold(tiny_retriever):
    answers = [
        said("memory", "ann", Verdict.MATCH, "GeForce RTX 4060 Ti"),
        said("plain", "ann", Verdict.MATCH, "GeForce RTX 4060 Ti"),
        said("unknown", "ann", Verdict.MATCH, "GeForce RTX 9999"),
        said("mug", "ann", Verdict.NOT_GPU),
        said("vague", "ann", Verdict.UNSURE),
        said("torn", "ann", Verdict.MATCH, "GeForce RTX 3080"),
        said("torn", "bob", Verdict.MATCH, "GeForce RTX 3080"),
        said("torn", "cyd", Verdict.NONE_OF_THESE),
        said("no text", "ann", Verdict.NOT_GPU),
    ]
    found = {
        item.listing_id: item
        for item in gold_of_annotations(consensus(answers), LISTINGS, tiny_retriever)
    }
    assert sorted(found) == ["memory", "mug", "plain", "torn", "unknown", "vague"]
    assert (found["memory"].kind, found["memory"].gold_memory_gb) == (GoldKind.MATCH, 16)
    assert (found["plain"].gold_models, found["plain"].gold_memory_gb) == (
        ("GeForce RTX 4060 Ti",),
        None,
    )
    assert found["unknown"].gold_models == ("GeForce RTX 9999",)
    assert (found["mug"].kind, found["vague"].kind) == (GoldKind.NIL, GoldKind.AMBIGUOUS)
    assert (found["torn"].disputed, found["memory"].disputed) == (True, False)
    assert (found["memory"].shop, found["memory"].language) == ("bazaar", "en")


def test_what_is_kept_out_is_what_training_leaves_out():
    titles = [f"card number {word}" for word in "abcdefghijklmnopqrstuvwxyz"]
    models = ["GeForce RTX 3080", "Radeon RX 6600", "Tesla T4", "A100", "Arc A770", "TITAN Xp"]
    pairs = [(title, None) for title in titles] + [(titles[0], model) for model in models]
    sides = set()
    for title, model in pairs:
        item = GoldListing("x", title, "", GoldKind.MATCH, (model,) if model else ())
        labelled = LabelledListing(item.listing, "", None, model, False, False, None, "")
        sides.add(side_of(labelled))
        assert is_kept_out(item) is (side_of(labelled) is Split.TEST)
    assert Split.TEST in sides
