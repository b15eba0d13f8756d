"""Text from elsewhere as it can be shown anywhere: nothing invisible, and nothing that a terminal or a CI log obeys.

Names come from logs, catalogues, scenarios and run folders that somebody else made. Control characters move a cursor,
format characters (Unicode's categories Cc and Cf) reorder or hide what stands beside them, and a line of a CI log that
holds a command is carried out by its runner: GitHub's `::add-mask::…` and `##[…]`, Azure's `##vso[…]`, TeamCity's
`##teamcity[…]` (actions/runner, ActionCommand.cs: the first after any blanks, the second anywhere in a line).
Escaping for a form (HTML, Markdown, CSV) is that form's own business.
"""

from __future__ import annotations

import re
import unicodedata

from robust.hidden import hidden

REPLACEMENT = "\ufffd"
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_KEPT = {"\n", "\u200d"}  # line breaks, and the joiner inside emoji and Indic words
_COMMAND = re.compile(r":(?=:[a-z][a-z-]*(?: [^\n]*?)?::)|#(?=#(?:[a-z]+ ?)?\[)", re.IGNORECASE)
_ACCENT = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_ACCENTS = re.compile(f"({_ACCENT}{{3}}){_ACCENT}+")
_BREAK = re.compile(r"\s*\n\s*")


def visible(text: str) -> str:
    """The text without control, format and unassigned characters: tabs become spaces, others a replacement sign.

    Of more than three accents on one letter, which would grow over the lines around it, three are kept.
    """
    if not (text.isascii() and text.isprintable()):
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
        text = "".join(
            REPLACEMENT if unicodedata.category(char) in _INVISIBLE and char not in _KEPT else char for char in text
        )
        text = _ACCENTS.sub(r"\1", text)
    return _COMMAND.sub(lambda found: found[0] + REPLACEMENT, text) if "::" in text or "##" in text else text


def one_line(text: str) -> str:
    """The same on one line, so that it cannot pass for a line of its own."""
    return _BREAK.sub(" ", visible(text)).strip("\n")


def message(text: str) -> str:
    """What goes to standard error, without secrets; later lines are set in, so that none passes for another message."""
    return re.sub(r"\n(?! )", "\n  ", visible(hidden(text)))
