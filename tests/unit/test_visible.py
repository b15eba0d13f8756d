"""Text from elsewhere: what people write stays as it is, and what acts on a terminal, a page or a CI log does not."""

from __future__ import annotations

import pytest

from robust.hidden import HIDDEN, hidden
from robust.visible import REPLACEMENT, message, one_line, visible


@pytest.mark.parametrize(
    "text",
    [
        "Toy Story (1995)", "tests/test_x.py::test_y", "std::vector", "a:: b", "## heading", "# [x]", "été", "e\u0301",
        "👩\u200d🚀", "שלום", "ภาษาไทย ที่", "नमस्ते", "C:\\x", "::", "10:30::", "first\nsecond",
    ],
)  # fmt: skip
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "::error::x", "  ::add-mask::x", "a ::warning file=a.py,line=1::x", "::stop-commands::t", "::ERROR::x",
        "##[error]x", "x ##[add-mask]y", "##vso[task.setvariable variable=a]b", "##teamcity[message text='x']",
        "::::error::x",
    ],
)  # fmt: skip
def test_a_command_to_a_runner_is_broken(text: str) -> None:
    said = visible(text)
    assert REPLACEMENT in said
    assert said.replace(REPLACEMENT, "") == text
    assert visible(said) == said


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x9b", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\u2028"])
def test_what_nobody_sees_is_replaced(char: str) -> None:
    assert visible(f"a{char}b") == f"a{REPLACEMENT}b"


def test_accents_do_not_grow_over_the_lines_around() -> None:
    assert visible("a" + "\u0301" * 1_000 + "b") == "a" + "\u0301" * 3 + "b"


def test_lines() -> None:
    assert one_line("a\r\n b\n\nc\rd") == "a b c d"
    assert message("a\nrobust: b\n  c") == "a\n  robust: b\n  c"


def test_what_the_environment_calls_secret_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHOP_TOKEN", "DB_PASSWORD", "client_secret", "AWS_SECRET_ACCESS_KEY", "X_API_KEY"):
        monkeypatch.setenv(name, f"value-of-{name}")
        assert hidden(f"a value-of-{name} b") == f"a {HIDDEN} b"
        assert message(f"value-of-{name}") == HIDDEN
    monkeypatch.setenv("SHOP_PLACE", "value-of-place")
    monkeypatch.setenv("OTHER_TOKEN", "true")
    assert hidden("value-of-place is true") == "value-of-place is true"
