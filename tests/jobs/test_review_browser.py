"""The pages of `rerank review` in a real Chromium: keys, search, photo, phone, light and dark."""

from __future__ import annotations

import pytest
from review_home import NASTY, TITLES, answers, filled_home

from bench.pictures import browsing, chromium, running, service_of
from rerank.store.rows import Verdict

PROGRAM = chromium()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no Chromium here: the pages' keys are tested where there is one"
)
CONTRAST = """(() => {
  const parts = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((each) => {
    const share = each / 255;
    return share <= .04045 ? share / 12.92 : ((share + .055) / 1.055) ** 2.4;
  });
  const light = (text) => { const [r, g, b] = parts(text); return .2126*r + .7152*g + .0722*b; };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const own = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(own)) return own;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((each) => each.checkVisibility({visibilityProperty: true}) && !each.closest(".hidden"))
    .filter((each) => [...each.childNodes].some((own) => own.nodeType === 3 && own.data.trim()))
    .map((each) => {
      const [one, two] = [light(getComputedStyle(each).color), light(behind(each))].sort();
      return [(Math.max(one, two) + .05) / (Math.min(one, two) + .05), each.outerHTML.slice(0, 90)];
    })
    .filter(([ratio]) => ratio < 4.5);
})()"""
NAMELESS = """[...document.querySelectorAll("button, a, input, select, progress, img")]
  .filter((each) => each.checkVisibility() && !each.closest(".hidden"))
  .filter((each) => !(each.innerText || each.ariaLabel || each.alt || each.labels?.length))
  .map((each) => each.outerHTML)"""
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Page:
    """A browser on a running service."""

    def __init__(self, browser, url, home):
        self.browser, self.url, self.home = browser, url, home

    def open(self, path="/review"):
        self.browser.open(self.url + path)
        return self.title()

    def title(self):
        """Return the listing that is shown, by its id."""
        return self.browser.run("document.querySelector('[name=listing]')?.value")

    def until(self, key):
        """Skip until a listing is shown."""
        for _ in TITLES:
            if self.title() == key:
                return
            self.go("s")
        raise AssertionError(key)

    def go(self, key):
        """Press a key that leads to another page, and return what that says of the last one."""
        self.browser.run("window.old = true")
        self.browser.press(key)
        self.browser.wait_for("!window.old && document.readyState === 'complete'")
        return self.browser.run("document.querySelector('.message')?.innerText")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    home = filled_home(tmp_path_factory.mktemp("reviewed"))
    with running(service_of(home, person="anna")) as url, browsing(PROGRAM) as browser:
        yield Page(browser, url, home)


@pytest.fixture(autouse=True)
def clean(page):
    """Begin with the whole queue; afterwards nothing went wrong, and nothing left the machine."""
    page.browser.look(1000, 760)
    page.open("/review?queue=uncertain&again=1")
    page.browser.requests.clear()
    yield
    assert page.browser.faults == []
    assert {each for each in page.browser.requests if not each.startswith(page.url)} == set()


def saved(page, key):
    return answers(page.home).get((key, "anna"))


def test_keys_answer_and_take_back(page):
    key = page.title()
    assert page.go("2").startswith("Saved: ")
    first = saved(page, key)
    assert (first.verdict, first.gpu_id) == (Verdict.MATCH, first.shown[1])
    assert page.title() != key
    assert page.go("z").startswith("Taken back: ")
    assert (page.title(), saved(page, key)) == (key, None)
    page.browser.press("m")
    assert "memory unknown" in page.go("1")
    assert (saved(page, key).gpu_id, bool(saved(page, key).model)) == (None, True)
    page.go("b")
    assert page.title() == key
    assert page.go("l").startswith("Saved: several cards")
    assert saved(page, key).verdict is Verdict.SEVERAL
    page.browser.wait_for("document.querySelector('[data-says]').textContent.includes('Saved: s')")
    page.go("z")
    page.go("z")
    assert saved(page, key) is None


def test_a_note_and_what_is_found(page):
    browser, key = page.browser, page.title()
    browser.press("t")
    browser.write("n 1/s")
    browser.press("Enter")
    browser.press("Escape")
    browser.press("/")
    browser.write("a770 16")
    browser.wait_for("document.querySelector('.found button')?.innerText.includes('Arc A770')")
    browser.press("ArrowDown")
    assert "Saved: Arc A770 16 GB" in page.go("Enter")
    assert (saved(page, key).gpu_id, saved(page, key).note) == ("arc-a770-16gb-gddr6", "n 1/s")
    page.go("z")


def test_a_group_is_seen_ticked_and_answered(page):
    page.until("t6")
    page.browser.press("g")
    assert "Zotac Twin Edge RTX4060Ti OC grey lot 4821993" in page.browser.text()
    assert saved(page, "t7") is None
    page.browser.press("g")
    assert "The answer will hold for 2 more." in page.browser.text()
    assert "and of 2 more" in page.go("u")
    assert {saved(page, key).verdict for key in ("t6", "t7", "t8")} == {Verdict.UNSURE}
    page.go("z")
    assert saved(page, "t7") is None


def test_what_a_seller_wrote_does_nothing(page):
    page.until("t9")
    shown = page.browser.run("document.querySelector('h1').textContent")
    assert shown.startswith("<script>document.title='owned'</script>")
    assert page.browser.run("document.title").startswith("<script>")
    assert len(shown) == len(NASTY)


def test_keys_pressed_twice_answer_once(page):
    key = page.title()
    page.browser.run(
        "window.old = true; for (let at = 0; at < 3; at++) document.body.dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'x', bubbles: true}))"
    )
    page.browser.wait_for("!window.old && document.readyState === 'complete'")
    assert [each for each in answers(page.home) if each[1] == "anna"] == [(key, "anna")]
    page.go("z")


def test_a_photo_is_asked_for_only_by_a_key(page):
    page.until("t6")
    assert not any("photos.example.org" in each for each in page.browser.requests)
    page.browser.call("Network.setBlockedURLs", urls=["*example.org*"])
    page.go("p")
    page.browser.call("Network.setBlockedURLs", urls=[])
    assert any("photos.example.org" in each for each in page.browser.requests)
    assert page.browser.run("document.querySelector('.photo').referrerPolicy") == "no-referrer"
    page.browser.requests.clear()
    page.browser.faults.clear()


def test_trying_as_one_types(page):
    page.open("/try")
    page.browser.write("RTX 4060 Ti 16GB <b>")
    page.browser.wait_for("document.querySelector('.decision')?.innerText.includes('16 GB')")
    page.browser.wait_for("document.querySelector('#tried').innerText.includes('would change')")
    assert page.browser.run("document.querySelector('#title').value") == "RTX 4060 Ti 16GB <b>"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_pages_are_legible_named_and_as_wide_as_their_window(page, dark, phone):
    page.browser.look(*((360, 740) if phone else (1000, 760)), dark=dark, phone=phone)
    for path in ("/review", "/try?title=Zotac+RTX4060Ti+OC+grey+lot", "/review/progress"):
        page.open(path)
        assert page.browser.run(CONTRAST) == [], path
        assert page.browser.run(NAMELESS) == [], path
        assert page.browser.run(WIDER) == 0, path
