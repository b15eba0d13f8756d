"""What is said of an endpoint before a review starts: how much is asked, how long it takes, whether lists will do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integration.conftest import Robust
from tests.integration.servers.project import ENDPOINT, SCENARIO, Whole, results, sequences
from tests.integration.servers.start import Server


def plan(robust: Robust, *more: str) -> dict[str, str]:
    said = robust("plan", "small.yaml", "--workers", "1", "--json", *more)
    assert said.code == 0, said.err
    return {row["name"]: row["value"] for row in json.loads(said.out)}


def test_a_plan_tells_what_a_review_asks_and_hardly_asks_itself(
    endpoint_project: Path, robust: Robust, server: Server, whole: Whole
) -> None:
    rows = plan(robust)
    assert sequences(server.seen()["bodies"]) == 72
    assert rows["asked of endpoint.yaml"].startswith("72 sequences so far; ")
    told = re.fullmatch(
        r"about ([\d,]+) sequences of endpoint.yaml in (\d+) requests \((.*)\)", rows["queries at 3 seeds"]
    )
    assert told is not None, rows
    assert int(told[1].replace(",", "")) == pytest.approx(sequences(whole.bodies), rel=0.1)
    assert int(told[2]) == pytest.approx(len(whole.bodies), rel=0.3)
    kinds = {name: int(count.replace(",", "")) for count, name in re.findall(r"(\d[\d,]*) (\w+)", told[3])}
    assert kinds.keys() == {"evade", "rank", "opening"}
    assert sum(kinds.values()) == int(told[1].replace(",", ""))
    assert "budget at 3 seeds" not in rows


def test_a_plan_keeps_to_the_rate_and_tells_what_the_budget_lacks(
    endpoint_project: Path, robust: Robust, server: Server, whole: Whole
) -> None:
    slowly = ENDPOINT.replace("batch_size: 64", "batch_size: 4\nrate: 20\nmax_queries: 300")
    Path("endpoint.yaml").write_text(slowly + f"url: {server.url}\n")
    rows = plan(robust)
    requests = sequences(whole.bodies) / 4
    minutes = float(rows["minutes at 3 seeds"].split()[1])
    assert minutes == pytest.approx(requests / 20 / 60, abs=0.1)
    assert minutes >= 0.2  # it takes seconds without a rate
    assert rows["budget at 3 seeds"].startswith("max_queries: 300 in endpoint.yaml will not suffice: about 1,")
    assert "fewer `users`" in rows["budget at 3 seeds"]
    assert sequences(server.seen()["bodies"]) == 72
    assert "at most 20 requests a second" in rows["asked of endpoint.yaml"]


COPY = """\
    plan: [surrogate]
    surrogate: {name: gru4rec, dimension: 8, hidden: 8, max_steps: 40, extract: {queries: 40000, length: 8, k: 10}}
"""


def test_a_copy_is_counted_and_not_made(endpoint_project: Path, robust: Robust, server: Server) -> None:
    attack = "attacks: [{name: random-substitution, tries: 5}]"
    Path("small.yaml").write_text(SCENARIO.replace(f"    {attack}\n", COPY + "    attacks: [first-order]\n"))
    rows = plan(robust)
    assert sequences(server.seen()["bodies"]) == 72
    told = re.search(r"([\d,]+) extract", rows["queries at 3 seeds"])
    assert told is not None, rows
    assert int(told[1].replace(",", "")) == pytest.approx(3 * 40_000, rel=0.05)


SEEN = SCENARIO.replace("seeds: [3]", "seeds: [3]\nseen: exclude")


def test_lists_that_end_within_what_users_have_are_refused_before_a_review(
    endpoint_project: Path, robust: Robust, server: Server
) -> None:
    Path("small.yaml").write_text(SEEN)
    Path("endpoint.yaml").write_text(ENDPOINT.replace("k: 20", "k: 10") + f"url: {server.url}\n")
    for command in (("review", "small.yaml", "--engine", "serial", "--out", "out"), ("plan", "small.yaml")):
        said = robust(*command)
        assert said.code == 2
        found = re.search(r"hold k = 10 items.* (\d+) of 60 users .*Say k: 18 in it", said.err)
        assert found is not None, said.err
        # ten random items of 60 miss all eight that a user has with probability .22
        assert int(found[1]) > 30
    assert not Path("out/results.json").exists()


def test_lists_that_are_cut_for_few_users_are_noted(endpoint_project: Path, robust: Robust, server: Server) -> None:
    Path("small.yaml").write_text(SEEN)
    Path("endpoint.yaml").write_text(ENDPOINT.replace("k: 20", "k: 13") + f"url: {server.url}\n")
    assert robust("review", "small.yaml", "--engine", "serial", "--out", "out").code == 0
    notes = [note for note in results("out")["dataset"]["notes"] if "k = 13" in note]
    assert len(notes) == 1
    assert re.search(r" [123] of 60 users asked about .*k: 18 would be enough", notes[0])
