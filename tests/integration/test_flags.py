"""A review looks at itself: a planted fault of the model shows as a flag, and a sound model raises none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.integration.conftest import Robust

MODELS = """\
import torch
from tests.toys import LinearBag

class Sound(LinearBag):
    context = 8

class Masked(Sound):  # right scores, with the gradient of other scores
    def score_embeddings(self, embeddings, sequences):
        scores = super().score_embeddings(embeddings.detach(), sequences)
        decoy = LinearBag(seed=1).score_embeddings(embeddings, sequences)[:, 1:]
        return torch.cat([scores[:, :1], scores[:, 1:] + 1e-3 * (decoy - decoy.detach())], dim=1)

class Random(Sound):  # dropout that nobody switched off
    def score_embeddings(self, embeddings, sequences):
        return super().score_embeddings(torch.nn.functional.dropout(embeddings, 0.3), sequences)

sound, masked, random = Sound(), Masked(), Random()
"""
SCENARIO = """\
dataset: {file: events.csv}
victims: ["planted:MODEL"]
seeds: [3]
threats:
  - id: white
    goal: {degrade: true}
    knowledge: {model: gradients, next_item: true}
    attacks: [{name: substitution, tau: null, candidates: 3}]
    budgets: [{edits: 1}, {edits: 2}]
    bound: {metric: hr@10, kind: drop, limit: 0.9}
  - id: black
    goal: {degrade: true}
    knowledge: {model: lists, next_item: true}
    attacks: [{name: random-substitution, tries: 25}]
    budgets: [{edits: 1}, {edits: 2}]
    bound: {metric: hr@10, kind: drop, limit: 0.9}
"""
Review = Callable[[str], dict[tuple[str, str], set[str]]]
ABOUT_THE_MODEL = {"noisy_gradient", "zero_gradient", "scores_change", "larger_budget_weaker", "black_box_stronger"}


@pytest.fixture
def flags(robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Review:
    """The flags of each cell of a review of a planted model, by the cell's threat and budget."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    rng = np.random.default_rng(0)
    rows = [f"u{user},{rng.integers(1, 31)},{place}" for user in range(300) for place in range(9)]
    # every item has a row, and ids in the order of the model's
    rows += [f"all,{item},{item}" for item in range(1, 31)]
    Path("events.csv").write_text("\n".join(["user,item,timestamp", *rows]))
    Path("planted.py").write_text(MODELS)

    def review(model: str) -> dict[tuple[str, str], set[str]]:
        Path("planted.yaml").write_text(SCENARIO.replace("MODEL", model))
        assert robust("review", "planted.yaml", "--engine", "serial", "--out", model).code in (0, 1)
        cells = json.loads(Path(model, "results.json").read_text())["cells"]
        assert all(cell["metrics"] for cell in cells)
        return {(c["threat"], c["budget"]): {f["name"] for f in c["flags"]} & ABOUT_THE_MODEL for c in cells}

    return review


def test_a_sound_model_raises_no_flag(flags: Review) -> None:
    assert set.union(*flags("sound").values()) == set()


def test_a_masked_gradient_shows_in_itself_and_in_a_black_box_that_is_stronger(flags: Review) -> None:
    found = flags("masked")
    for (threat, _), names in found.items():
        assert names == ({"noisy_gradient", "black_box_stronger"} if threat == "white" else set())


def test_a_random_model_shows_in_scores_and_gradients(flags: Review) -> None:
    found = flags("random")
    assert all("scores_change" in names for names in found.values())
    assert "noisy_gradient" in found["white", "2 edits"]


def test_the_report_names_the_page(flags: Review, robust: Robust) -> None:
    flags("random")
    for form in ("html", "md"):
        assert "docs/flags/scores_change.md" in robust("report", "random", "--format", form).out
