"""What a review is made of before a step runs: what a scenario states holds for another log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robust.runner.prepare import Request, prepare

MODEL = """\
import numpy as np


class Fixed:
    n_items = 15

    def recommend(self, sequences, k):
        return np.tile(np.arange(1, k + 1, dtype=np.int64) * (np.arange(1, k + 1) <= 15), (len(sequences), 1))


class Long(Fixed):
    context = 80


silent, said = Fixed(), Long()
"""
SCENARIO = """\
schema: 1
title: Of one log
dataset: flights
victims: [popularity]
seeds: [3]
SEEN
threats:
  - id: edited
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [random-edits]
    budgets: [{edits: 1}]
    bound: {metric: hr@10, kind: drop, limit: 0.9}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log with repeats: three users of 20 rows, two of 60 and one of 51, of which a test takes the newest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("handed_over.py").write_text(MODEL)
    lengths = [20, 20, 20, 60, 60, 51]
    user = np.repeat(np.arange(len(lengths)), lengths)
    rows = np.arange(len(user))
    pd.DataFrame({"user": user, "item": rows % 15 + 1, "timestamp": 10**9 + rows}).to_csv("other.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(("stated", "holds"), [("seen: exclude", "exclude"), ("", "keep")])
def test_what_a_scenario_states_of_seen_items_holds_for_another_log(stated: str, holds: str) -> None:
    Path("scenario.yaml").write_text(SCENARIO.replace("SEEN", stated))
    assert prepare(Request(scenario="scenario.yaml", log="other.csv"), None).seen == holds


def test_a_model_that_does_not_say_how_many_items_it_reads_is_told_to_see_fifty() -> None:
    Path("scenario.yaml").write_text(SCENARIO.replace("SEEN", ""))

    def notes(model: str) -> list[str]:
        request = Request(scenario="scenario.yaml", log="other.csv", model=f"handed_over:{model}")
        return [note for note in prepare(request, None).notes if "newest" in note]

    (told,) = notes("silent")  # histories of 19, 59 and 50 rows: the last is shown whole
    assert "newest 50 of a history; 2 of 6 evaluated users have more" in told
    assert notes("said") == []
