"""HTML and SVG built from nested elements, escaped unless they are markup already."""

from __future__ import annotations

import html
import re
from typing import Final

# Longer text is hostile or a mistake; a title of 1 MB would be the page.
MAX_TEXT: Final = 500

_VOID: Final = frozenset({"br", "col", "hr", "meta"})
# Controls end no line and close no string here, but they hide text, or turn it around (bidi
# overrides); lone surrogates cannot be written as UTF-8.
_UNREADABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
    "\ud800-\udfff]"
)


class Markup(str):
    """Text that is HTML already: `element` takes it as it is."""

    __slots__ = ()


Child = Markup | str | None
Attribute = str | int | float | bool | None


def element(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """Return an element; strings in it are escaped, shortened and made readable.

    :param attributes: ``class_`` stands for class, ``aria_label`` for aria-label; None and False
        leave an attribute out, True writes its name alone.
    """
    opening = name + "".join(
        f" {_attribute_name(key)}" + ("" if value is True else f'="{escaped(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Return children after each other, strings escaped."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escaped(child)
            for child in children
            if child is not None
        )
    )


def escaped(text: str) -> Markup:
    """Return readable text of at most 500 characters; what was cut is said."""
    length = len(text)
    if length > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}… ({length:,} characters)"
    return Markup(html.escape(_UNREADABLE.sub("\ufffd", text), quote=True))


def foreign(text: str, **attributes: Attribute) -> Markup:
    """Return a text that others wrote, kept apart from the direction of what surrounds it."""
    return element("bdi", text, dir="auto", **attributes)


def _attribute_name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
