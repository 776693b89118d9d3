"""A workspace with listings to review, and what was said of them."""

from __future__ import annotations

from pathlib import Path

from rerank.index.records import Listing
from rerank.store.database import Store
from rerank.store.rows import (
    Annotation,
    ListingLinks,
    StoredListing,
    TakenBack,
    read_annotations,
    save_links,
    save_listings,
)

NASTY = (
    "<script>document.title='owned'</script>\x1b[2J\x1b]0;owned\x07 RTX 3070 \u202e& \"friends\""
)
PHOTO = "https://photos.example.org/1.jpg"
TITLES = {
    "t1": "Palit Storm rtx 3080 10gb grey",
    "t2": "Holder for graphics cards, steel",
    "t3": "sapphire nitro rx 6600 maybe xt",
    "t5": "PALIT STORM RTX-3080 (10GB) grey",
    "t6": "Zotac Twin Edge RTX4060Ti OC grey",
    "t7": "Zotac Twin Edge RTX4060Ti OC grey lot 4821993",
    "t8": "Zotac Twin Edge RTX4060Ti OC grey lot 4821994",
    "t9": NASTY,
}


class Notebook:
    """Answers as a store keeps them, in memory.

    :param write: is told of each before it stands.
    """

    def __init__(self, write=lambda annotation: None):
        self.write, self.stored, self.acts = write, {}, []

    def save(self, person, kind, answers):
        for each in answers:
            self.write(each)
        keys = [(each.listing_id, each.annotator) for each in answers]
        before = [self.stored.get(key) for key in keys]
        self.acts.append((person, kind, list(map(TakenBack, answers, before))))
        self.stored.update(zip(keys, answers, strict=True))

    def undo(self, person, kind):
        own = [act for act in self.acts if act[:2] == (person, kind)]
        if not own:
            return []
        self.acts.remove(own[-1])
        for answer, before in own[-1][2]:
            del self.stored[answer.listing_id, answer.annotator]
            if before is not None:
                self.stored[answer.listing_id, answer.annotator] = before
        return own[-1][2]


def filled_home(home: Path) -> Path:
    """Put listings into a workspace's store."""
    listings = [
        StoredListing(Listing(key, title, "<b>V</b>", "", 9.5), "shop")
        for key, title in TITLES.items()
    ]
    with Store(home / "store.duckdb").writing() as session:
        save_listings(session, listings)
        save_links(session, {"t6": ListingLinks("https://example.org/6?a=1&b=2", PHOTO)})
    return home


def answers(home: Path) -> dict[tuple[str, str], Annotation]:
    """Return what stands in the store, by listing and annotator."""
    with Store(home / "store.duckdb").reading() as session:
        return {(each.listing_id, each.annotator): each for each in read_annotations(session)}
