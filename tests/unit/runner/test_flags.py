"""Flags of single cells: each is raised in the situation that it is about, and by nothing in a sound one."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robust.runner
from robust.checks import late_rows
from robust.errors import RobustError
from robust.log import InteractionLog, LogEdit, SequenceBatch
from robust.runner.results import Flag
from robust.situation import Situation
from tests.unit.runner.cells import COPIED, EDITED, PROMOTED, one, outcome, planned

PAGES = Path(__file__).parents[3] / "docs" / "flags"


def flags(cell: Any, attacked: float, **more: Any) -> set[str]:
    return {flag.name for flag in outcome(cell, attacked, **more)[0].flags}


@pytest.mark.parametrize("fixed", [True, False])
def test_a_sound_cell_has_none(fixed: bool) -> None:
    quiet = {"zero_gradient": 0.0, "noisy_gradient": 0.0, "answers_change": 0.0}
    for cell in planned(EDITED, fixed=fixed):
        assert flags(cell, 0.5, **quiet) == set()
    for cell in planned(PROMOTED):
        assert flags(cell, 0.1, clean=0.02, late_rows=0, answers_change=0.0, removed_genuine=1) == set()


@pytest.mark.parametrize(
    ("noted", "name"),
    [
        ({"zero_gradient": 0.9}, "zero_gradient"),
        ({"noisy_gradient": 0.9}, "noisy_gradient"),
        ({"answers_change": 0.1}, "scores_change"),
        ({"changed": 0.0}, "changed_nothing"),
    ],
)
def test_what_the_steps_noted_is_told(noted: dict[str, float], name: str) -> None:
    assert flags(one(planned(EDITED), "white", 2), 0.5, **noted) == {name}


def test_a_share_of_doubtful_gradients_is_borne() -> None:
    cell = one(planned(EDITED), "white", 2)
    assert flags(cell, 0.5, zero_gradient=0.5, noisy_gradient=0.25) == set()


def test_a_random_guard_is_named() -> None:
    found = planned(EDITED)
    said = [
        outcome(one(found, "white", 1, defense, "plain"), 0.5, answers_change=1.0)[0].flags[0].cause
        for defense in ("none", "surprise")
    ]
    assert said[0].startswith("The victim answered")
    assert said[1].startswith("The victim behind 'surprise' answered")


@pytest.mark.parametrize(
    ("agreed", "constant", "verdict", "flagged"),
    [
        (0.8, 0.1, "PASS", False),
        (0.4, 0.1, "PASS", True),  # shares too little
        (0.5, 0.1, "PASS", False),
        (0.8, 0.9, "PASS", True),  # has learnt less than one list for everybody says
        (0.75, 0.75, "PASS", True),  # or no more
        (0.4, 0.1, "INCONCLUSIVE", True),
        (0.4, 0.1, "FAIL", False),  # what broke the bound did so on the victim
    ],
)
def test_a_copy_that_shares_little_with_its_victim(agreed: float, constant: float, verdict: Any, flagged: bool) -> None:
    (cell,) = planned(COPIED)
    faithful = {"agreement@1": 0.0, "agreement@10": agreed}
    record, _ = outcome(cell, 0.7, verdict=verdict, faithful=faithful, constant=constant)
    assert record.surrogate is not None
    assert record.surrogate.queries == 100
    assert record.surrogate.constant == pytest.approx(constant)
    assert ({flag.name for flag in record.flags} == {"unfaithful_surrogate"}) is flagged


def test_poison_beyond_the_split_and_genuine_users_removed() -> None:
    found = planned(PROMOTED)
    assert flags(one(found, "promotion", 0.01), 0.1, clean=0.02, late_rows=3) == {"poison_beyond_split"}
    behind = one(found, "promotion", 0.01, "pca", "protected")
    assert flags(behind, 0.1, clean=0.02, removed_genuine=30) == {"genuine_users_removed"}


def test_targets_that_are_everywhere() -> None:
    assert "target_everywhere" in flags(one(planned(PROMOTED), "promotion", 0.01), 1.0, clean=0.97)


def _log() -> InteractionLog:
    return InteractionLog.from_columns([0, 0, 1, 1], [1, 2, 2, 3], [10, 20, 15, 40])


def test_rows_after_the_last_train_row_are_counted() -> None:
    log = _log()
    add = np.array([[1, 2, 3], [2, 1, 0]], np.int32)
    times = np.array([[38, 39, 40], [40, 41, 99]])  # 40 is the last train row, 99 belongs to padding
    assert late_rows(LogEdit(add=add, times=times), log) == 1
    assert late_rows(LogEdit(add=add), log) == 0  # positions
    moved = LogEdit(move_rows=np.array([0, 1]), move_times=np.array([40, 50]))
    inserted = LogEdit(insert_users=np.array([0]), insert_items=np.array([1]), insert_times=np.array([41]))
    assert (late_rows(moved, log), late_rows(inserted, log)) == (1, 1)
    nobody = InteractionLog.from_columns([], [], [], n_users=2, n_items=3)
    assert late_rows(LogEdit(add=add, times=times), nobody) == 0


def test_a_fake_user_cannot_be_evaluated() -> None:
    sequences, truth = SequenceBatch([[1, 2], [2, 3]], [0, 1]), np.array([3, 1], np.int32)
    assert len(Situation(sequences, truth, _log()).sequences) == 2
    with pytest.raises(RobustError, match="fake users never are"):
        Situation(SequenceBatch(sequences.items, [0, 2]), truth, _log())


def _raised() -> set[str]:
    """The name of every flag in the runner's source."""
    names = set()
    for path in Path(robust.runner.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Flag":
                names |= {k.value.value for k in node.keywords if k.arg == "name" and isinstance(k.value, ast.Constant)}
    return {name for name in names if isinstance(name, str)}


def test_every_flag_has_a_page_that_says_cause_and_remedy() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")}
    assert len(pages) >= 14
    assert pages == _raised()
    overview = (PAGES.parent / "flags.md").read_text()
    for name in pages:
        text = (PAGES / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert headings == ["What is seen", "Why it happens", "Which cause is it", "What to do", "Sources"]
        assert f"](flags/{name}.md)" in overview
        assert Flag(name=name, cause="", remedy="").page == f"docs/flags/{name}.md"
