from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from invented_reports import invented_ablation, invented_report, invented_set
from markupsafe import Markup

from rerank.jobs.report.page import render_report
from rerank.jobs.report.plots import axis_over, element
from rerank.jobs.report.reading import escaped
from rerank.jobs.tables import (
    ReportFigure,
    decimal,
    decimals,
    number,
    p_text,
    percent,
    share,
    with_decimals,
    with_interval,
)

VOID = {"br", "col", "hr", "meta", "link", "img", "input"}


class Page(HTMLParser):
    """A page taken apart: its elements, its text, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def html() -> str:
    return render_report(invented_report())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_loads_nothing(html: str) -> None:
    for sign in ("http:", "https:", "src=", "@import", "url(", "<link", "<img", "@font-face"):
        assert sign not in html


def test_the_page_forbids_to_load_anything_and_knows_its_own_style_and_script(
    html: str, page: Page
) -> None:
    import base64
    import hashlib

    (policy,) = [
        attrs["content"] or ""
        for attrs in page.named("meta")
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        content = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert content is not None
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not any("style" in attrs for _, attrs in page.elements)


def test_every_section_is_there_for_the_first_set(page: Page) -> None:
    anchors = {attrs.get("id") for attrs in page.named("section")}
    assert anchors == {
        f"set-{at}-{name}"
        for at in (1, 2)
        for name in (
            "summary",
            "baselines",
            "budget",
            "reliability",
            "curves",
            "candidate-sets",
            "slices",
            "ablation",
            "routes",
            "causes",
            "confusions",
            "failures",
        )
        if (at, name) != (2, "ablation")
    } | {"how-to-read"}


def test_links_lead_to_places_on_the_page(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] or "" for attrs in page.named("a")]
    assert len(links) == 2 + 12 + 11
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_pictures_and_tables_say_what_they_are(html: str, page: Page) -> None:
    plots = re.findall(r'<svg [^>]*class="plot"[^>]*>(.{14})', html)
    assert len(plots) >= 14
    pictures = [attrs for attrs in page.named("svg") if attrs.get("class") == "plot"]
    assert all(attrs["role"] == "img" for attrs in pictures)
    assert html.count("<title>") == html.count("<desc>") + 1 == len(plots) + 1
    assert all(attrs.get("aria-hidden") for attrs in page.named("svg") if attrs not in pictures)
    assert len(page.named("caption")) == len(page.named("table"))


@pytest.mark.parametrize(
    "words",
    [
        ".934 [.914–.954]",
        "The right model comes first for 93.4\xa0% of GPU listings.",
        "300 judged listings: 150 sell a GPU of the registry, 150 sell something else",
        "token-coverage rule",
        "rerank leads by 41.7 percentage points",
        "+.417 [+.350 to +.480]",
        "<\xa0.001",
        ".012",
        "29 errors",
        "right 271 (90.3\xa0%)",
        "3 · 10 %",
        "20 · 69 %",
        "46.7\xa0% [44.7\xa0% to 48.7\xa0%] of all listings could be accepted",
        "in the order of their probability. 46.7",
        "for 95.0\xa0% of listings. It does for 94.3\xa0%. A set holds 1.37 outcomes on average.",
        "all answered: .125",
        "1.37",
        "1.35–1.39",
        "promised .950",
        "Differing: chip vendor: AMD.",
        "AMD · differs",
        "Intel · few",
        "suffix (2)",
        "full system",
        "without memory",
        "−.320 [−.400 to −.010]",
        "p50 1.7 ms, p99 2.1 ms, n 300",
        "run-17",
        "8293a4b5",
        "recall@20",
        ".847",
        "GeForce 9600 GSO",
        "shop-0007",
        "Zephyr Storm 9600 GT card no 3",
        "wrong and accepted",
        "not among the candidates",
        "Models that differ in a suffix",
    ],
)
def test_a_figure_of_the_report_is_on_the_page(page: Page, words: str) -> None:
    assert words.replace("\xa0", " ") in page.text.replace("\xa0", " ")


def test_axes_say_what_they_leave_out(page: Page) -> None:
    assert "precision of the answers (axis starts at" in page.text
    assert "risk: share wrong among them (axis ends at .20)" in page.text


def test_a_budget_that_does_not_sum_up_is_said() -> None:
    report = invented_report()
    report["sets"]["hard_set"]["loss_budget"]["ranking"] = 9
    shown = Page(render_report(report)).text
    assert "The sums do not hold: the parts sum to 33, the errors are 29." in shown
    assert "do not hold" not in Page(render_report(invented_report())).text


def test_a_slice_without_any_error_differs_only_if_that_is_unlikely() -> None:
    report = invented_report()
    report["sets"]["hard_set"]["slices"] = {
        "shop": {
            "small": {"precision_at_1": {"value": 1.0, "ci95": [1.0, 1.0], "n": 40}},
            "large": {"precision_at_1": {"value": 1.0, "ci95": [1.0, 1.0], "n": 60}},
        }
    }
    shown = Page(render_report(report)).text  # .934 ** 40 = .065, .934 ** 60 = .017
    assert "Differing: shop: large." in shown
    assert "small · differs" not in shown


def test_rendering_twice_gives_the_same_page(html: str) -> None:
    assert render_report(invented_report()) == html


def test_every_coordinate_is_finite_and_inside_its_picture(html: str) -> None:
    seen = 0
    for view, body in re.findall(r'<svg [^>]*viewBox="0 0 ([\d.]+ [\d.]+)"[^>]*>(.*?)</svg>', html):
        width, height = map(float, view.split())
        for x in re.findall(r'\b(?:x|x1|x2|cx)="(-?[\d.]+)"', body):
            assert -0.1 <= float(x) <= width + 0.1
            seen += 1
        for y in re.findall(r'\b(?:y|y1|y2|cy)="(-?[\d.]+)"', body):
            assert -0.1 <= float(y) <= height + 0.1
        for points in re.findall(r'points="([^"]*)"', body):
            for x, y in (pair.split(",") for pair in points.split()):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height
        for x, wide in re.findall(r'<rect x="([\d.]+)"[^>]*width="([\d.]+)"', body):
            assert float(x) + float(wide) <= width + 0.1
    assert seen > 300
    assert not re.search(r'="(?:nan|inf|-inf|None)"', html)


HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202eevil\x00\ud800"


def hostile(value: Any) -> Any:
    """Put a hostile text wherever a report has one, names of sets and slices included."""
    if isinstance(value, dict):
        kept = {"sets", "metrics", "baselines"} | set(invented_report()) | set(invented_set())
        return {
            key if key in kept or key in _KEYS else f"{HOSTILE}{key}": hostile(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE + value if isinstance(value, str) and value not in _WORDS else value


_WORDS = {"ladder", "left_out", "precision_at_1"}
_KEYS = set(re.findall(r'"(\w+)":', json.dumps(invented_set()))) | {
    "p50",
    "p99",
    "steps",
    "scale",
    "name",
    "label",
    "group",
    "difference",
    "p_value",
}


def test_hostile_texts_stay_texts() -> None:
    html = render_report(hostile(invented_report()))
    page = Page(html)
    assert html.encode("utf-8")
    assert page.named("img") == []
    assert len(page.named("script")) == 1
    assert "\u202e" not in html
    assert "\x00" not in html
    assert "<script>alert(1)</script>" in page.text
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert {attrs.get("id", "") for _, attrs in page.elements} == {
        attrs.get("id", "") for _, attrs in Page(render_report(invented_report())).elements
    }


def test_a_title_of_a_megabyte_is_cut() -> None:
    report = invented_report()
    report["sets"]["hard_set"]["failures"][0]["title"] = "<" * 1_048_576
    html = render_report(report)
    assert "(1,048,576 characters)" in html
    assert len(html) < 500_000


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every part of a report, of lists to the first item."""
    if path:
        yield path
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value[:1])
        if isinstance(value, list)
        else ()
    )
    for key, child in children:
        yield from paths(child, (*path, key))


def one_set() -> dict[str, Any]:
    report = invented_report(1)
    del report["sets"]["other_set"]
    return report


ALL_PATHS = list(paths(one_set()))
ODD = ([], {}, math.nan, math.inf, 0, -1, 2.5, "", "word", [None], {"value": None})


def changed(path: tuple[Any, ...], *, drop: bool, value: Any = None) -> dict[str, Any]:
    report = one_set()
    parent: Any = report
    for key in path[:-1]:
        parent = parent[key]
    if drop:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return report


@pytest.mark.parametrize("drop", [True, False], ids=["missing", "None"])
def test_whatever_is_missing_is_left_out(drop: bool) -> None:
    assert len(ALL_PATHS) > 250
    for path in ALL_PATHS:
        html = render_report(changed(path, drop=drop))
        assert "None" not in html.replace("None differs", ""), path
        assert not re.search(r'"(?:nan|inf)"', html), path


@pytest.mark.parametrize("first", [0, 1], ids=["one way", "the other way"])
def test_odd_values_never_break_the_page(first: int) -> None:
    for at, path in enumerate(ALL_PATHS):
        value = ODD[(at * (first + 1) + first) % len(ODD)]
        html = render_report(changed(path, drop=False, value=value))
        assert not re.search(r'(?:[xyr12]|width|height|points)="[^"]*(?:nan|inf)', html), path


@pytest.mark.parametrize("report", [{}, {"sets": {}}, {"sets": {"a": {}}}, {"sets": {"a": None}}])
def test_an_empty_report_is_a_page_that_says_how_to_read_it(report: dict[str, Any]) -> None:
    page = Page(render_report(report))
    assert "How to read it" in page.text
    assert "precision@1" in page.text


def test_a_single_set_needs_no_choice_of_sets() -> None:
    report = invented_report()
    del report["sets"]["other_set"]
    page = Page(render_report(report))
    assert [attrs.get("aria-label") for attrs in page.named("nav")] == ["Sections of this set"]
    assert "All sets at a glance" not in page.text


def test_an_ablation_on_another_set_is_shown_under_its_name() -> None:
    report = invented_report()
    report["ablation"]["sets"] = {"third_set": invented_ablation(77)}
    page = Page(render_report(report))
    assert "set-3-ablation" in {attrs.get("id") for attrs in page.named("section")}
    assert "Every system orders the same candidates of 77 listings." in page.text


def test_200_failures_a_set_stay_below_three_megabytes() -> None:
    report = invented_report(200)
    report["sets"]["other_set"] = invented_set(200)
    html = render_report(report)
    assert len(html.encode()) < 3_000_000
    page = Page(html)
    cases = [attrs for attrs in page.named("details") if "data-cause" in attrs]
    assert len(cases) == 400
    assert [attrs.get("value") for attrs in page.named("option")][:3] == [
        "",
        "close rival",
        "suffix",
    ]


def test_without_scripts_failures_are_listed_and_the_controls_hidden(page: Page) -> None:
    bars = [attrs for attrs in page.named("div") if attrs.get("class") == "toolbar"]
    assert len(bars) == 2
    assert all("hidden" in attrs for attrs in bars)
    assert not any(
        "hidden" in attrs for tag, attrs in page.elements if tag in ("details", "article")
    )


@pytest.mark.parametrize(
    ("value", "signed", "written"),
    [
        (0.9733, False, ".973"),
        (1.0, False, "1.000"),
        (0.0, False, ".000"),
        (0.66, True, "+.660"),
        (-0.0124, True, "−.012"),
        (-0.0001, True, ".000"),
        (0.0, True, ".000"),
        (None, False, "–"),
        (1.25, True, "+1.250"),
    ],
)
def test_shares_are_written_with_three_places(
    value: float | None, signed: bool, written: str
) -> None:
    assert share(value, signed=signed) == written


def test_figures_are_written_for_terminals_with_every_digit() -> None:
    found = ReportFigure.read({"value": 0.973, "ci95": [0.947, 0.993], "n": 150})
    assert found == ReportFigure(0.973, 0.947, 0.993, 150)
    assert (decimal(found.value), decimal(-0.02, 4, signed=True)) == ("0.973", "-0.0200")
    assert (decimals(found), decimals(found, 2, to=" to ")) == ("0.947-0.993", "0.95 to 0.99")
    assert with_decimals({"value": 0.973, "ci95": [0.947, 0.993]}) == "0.973 (0.947-0.993)"
    assert [decimal(None), decimals(ReportFigure(0.5)), with_decimals(None)] == ["-", "-", "-"]


def test_figures_are_written_with_their_interval() -> None:
    assert with_interval(ReportFigure(0.973, 0.947, 0.993, 150)) == ".973 [.947–.993]"
    assert with_interval(ReportFigure(0.5, None, None, 2)) == ".500"
    assert with_interval(ReportFigure(-0.02, -0.05, 0.01), signed=True) == "−.020 [−.050 to +.010]"
    assert [p_text(value) for value in (0.0004, 0.25, None)] == ["<\xa0.001", ".250", "–"]
    assert [percent(value) for value in (0, 0.0004, 0.9733, 1)] == [
        "0\xa0%",
        "0.0\xa0%",
        "97.3\xa0%",
        "100\xa0%",
    ]


@pytest.mark.parametrize("value", [None, "1", True, math.nan, -math.inf, [1]], ids=repr)
def test_only_finite_numbers_are_numbers(value: Any) -> None:
    assert number(value) is None
    assert number(3) == 3.0


@pytest.mark.parametrize(
    ("values", "limits", "ticks"),
    [
        ([0.93, 0.99], (0, 1), ["0.92", "0.94", "0.96", "0.98", "1.0"]),
        ([0.0, 0.5], (0, 1), ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        ([1.0, 1.0], (0, 1), None),
        ([0.0], (0, 1), None),
        ([], (0, 1), None),
        ([-0.02, 0.007], (-1, 1), ["-0.02", "-0.01", "0.0", "0.01"]),
        ([0.31, 0.97], (0, 1), ["0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
def test_axes_hold_their_values_on_round_ticks_within_the_limits(
    values: list[float], limits: tuple[float, float], ticks: list[str] | None
) -> None:
    axis = axis_over(values, start=10, end=110, limits=limits)
    assert limits[0] <= axis.low < axis.high <= limits[1]
    assert all(axis.low - 1e-9 <= value <= axis.high + 1e-9 for value in values)
    assert axis.place(axis.low) == 10
    assert axis.place(axis.high) == 110
    assert 2 <= len(axis.ticks) <= 9
    if ticks is not None:
        assert [str(tick) for tick in axis.ticks] == ticks


def test_strings_are_escaped_and_markup_is_not() -> None:
    assert element("text", "a<b", Markup("<br>"), title='"x"') == (
        '<text title="&quot;x&quot;">a&lt;b<br></text>'
    )
    assert element("text", None, class_="label", x=1.04, text_anchor=None) == (
        '<text class="label" x="1"></text>'
    )
    assert escaped(Markup("<br>")) == "<br>"
    assert escaped(None) == ""
    assert escaped("x" * 600) == "x" * 500 + "… (600 characters)"
