"""Endpoints against a real server in a process of its own: three protocols, what goes wrong, and a server that dies."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust.errors import InputError, ModelFault
from robust.log import SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.adapters import open_adapter
from robust.recommenders.adapters.http.ledger import QueriesSpent
from robust.recommenders.fingerprint import answers_digest, fingerprint
from tests.integration.servers.describe import (
    KSERVE,
    N_ITEMS,
    ONE,
    QUICKLY,
    SHOP,
    TF,
    TOKEN,
    Describe,
    by_hand,
    histories,
)
from tests.integration.servers.start import Server, free_port


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param(KSERVE, "", id="kserve: names from the server"),
        pytest.param(KSERVE + "version: 1\ninput: history\ndatatype: INT64\nscores: logits\n", "", id="kserve: named"),
        pytest.param(TF, "", id="tf: rows"),
        pytest.param(
            TF + "format: columns\ninput: history\nscores: logits\n",
            "",
            id="tf: columns",
        ),
        pytest.param(ONE + "padding: {side: none}\n", "/one", id="json: one sequence, ids from 0"),
    ],
)
def test_scores_are_those_of_the_model_behind_it(describe: Describe, text: str, path: str) -> None:
    sequences = histories(90)
    recommender: Any = adapt(describe(text, path))
    assert "scores" in recommender.capabilities
    np.testing.assert_allclose(recommender.score(sequences)[:, 1:], by_hand(sequences), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param(KSERVE + "items: top\nk: 20\n", "", id="kserve"),
        pytest.param(
            TF + "signature: top\nitems: ids\nk: 20\n",
            "",
            id="tf",
        ),
        pytest.param(SHOP + "padding: {side: none}\n", "/recommend", id="json: text ids, worst first"),
    ],
)
def test_lists_are_those_of_the_model_behind_it(describe: Describe, text: str, path: str) -> None:
    sequences = histories(90, seed=1)
    recommender: Any = adapt(describe(text, path))
    assert "scores" not in recommender.capabilities
    lists = recommender.recommend(sequences, 30)
    k = 10 if "k: 10" in text else 20
    expected = np.argsort(-by_hand(sequences), axis=1, kind="stable")[:, :k] + 1
    np.testing.assert_array_equal(lists[:, :k], expected)
    assert not lists[:, k:].any()


def test_right_padding_is_sent_as_it_says(describe: Describe, server: Server) -> None:
    model = describe("adapter: kserve\nmodel: ranker\nn_items: 60\npadding: {side: right, length: 4, id: 0}\n")
    server.fault()
    model.score(SequenceBatch([[0, 0, 0, 5, 9], [1, 2, 3, 4, 5]]))
    (body,) = server.seen()["bodies"]
    # distinct sequences are asked in sorted order
    assert body["inputs"][0]["data"] == [5, 9, 0, 0, 2, 3, 4, 5]
    assert body["inputs"][0]["shape"] == [2, 4]


def test_a_sequence_is_asked_once(describe: Describe, server: Server) -> None:
    model = describe(KSERVE)
    sequences = histories(40, seed=2)
    first, before = model.score(sequences), model.queries
    twice = SequenceBatch(np.concatenate([sequences.items, sequences.items]))
    np.testing.assert_array_equal(model.score(twice), np.concatenate([first, first]))
    assert model.queries == before


def test_a_model_that_answers_anew_each_time_is_not_remembered(describe: Describe, server: Server) -> None:
    server.fault(wrong="drift")
    model = describe(ONE + "padding: {side: none}\n", "/one")
    sequences = histories(3, seed=3)
    assert not np.array_equal(model.score(sequences), model.score(sequences))


def test_requests_at_once_are_bounded_and_batched(describe: Describe, server: Server) -> None:
    model = describe(KSERVE + "batch_size: 3\nconcurrency: 2\n")
    server.fault("stall", count=8, seconds=0.1)
    sequences = histories(40, seed=4)
    model.score(sequences)
    seen = server.seen()
    assert seen["most"] == 2
    assert max(body["inputs"][0]["shape"][0] for body in seen["bodies"]) == 3


def test_the_rate_is_kept(describe: Describe, server: Server) -> None:
    model = describe(KSERVE + "batch_size: 1\nrate: 20\nconcurrency: 8\n")
    server.fault()
    model.score(histories(12, seed=5))
    times = server.seen()["times"]
    assert len(times) == 12
    assert times[-1] - times[0] >= 0.9 * 11 / 20


@pytest.mark.parametrize("kind", ["429", "500", "503", "html", "stall", "trickle", "cut", "deep"])
def test_what_passes_is_tried_again(describe: Describe, server: Server, kind: str) -> None:
    model = describe(KSERVE + QUICKLY + "timeout: 0.3\n")
    server.fault(kind, count=2, seconds=1)
    sequences = histories(5, seed=6)
    np.testing.assert_allclose(model.score(sequences)[:, 1:], by_hand(sequences), rtol=1e-6)
    assert len(server.seen()["bodies"]) == 3


def test_retry_after_is_honoured(describe: Describe, server: Server) -> None:
    model = describe(KSERVE + QUICKLY)
    server.fault("429", count=1, after="1")
    started = time.monotonic()
    model.score(histories(5, seed=7))
    assert time.monotonic() - started >= 1


def test_retry_after_holds_for_other_workers_too(describe: Describe, server: Server) -> None:
    model = describe(KSERVE + QUICKLY)
    reopen, arguments = model.__reduce__()  # as it arrives in a worker
    other = reopen(*arguments)
    server.fault("429", count=1, after="1")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(model.score, histories(2, seed=21))
        time.sleep(0.3)
        other.score(histories(2, seed=22))
    first, *later = server.seen()["times"]
    assert len(later) == 2
    assert min(later) - first >= 0.9


@pytest.mark.parametrize(
    ("fault", "said", "tries"),
    [
        ({"kind": "500", "count": 9}, r"500.*\(tried 3 times\)", 3),
        ({"kind": "stall", "count": 9, "seconds": 1}, r"did not answer within 0.3 s \(tried 3 times\)", 3),
        ({"kind": "trickle", "count": 9}, r"did not answer within 0.3 s \(tried 3 times\)", 3),
        ({"kind": "cut", "count": 9}, r"broke off .*\(tried 3 times\)", 3),
        ({"kind": "bomb", "count": 9}, "more than max_bytes = 200,000", 1),
        ({"kind": "garbled", "count": 9}, "a body that cannot be unpacked", 1),
        ({"kind": "html", "count": 9}, "no JSON but text/html.*<html>", 3),
        ({"kind": "503", "count": 9, "after": "9999"}, "asked us to wait 9999 s", 1),
        ({"kind": "404", "count": 9}, "answered 404", 1),
        ({"kind": "403", "count": 9}, "answered 403.*token_env", 1),
        ({"kind": "redirect", "count": 9}, "redirects .*elsewhere.invalid/steal.*not followed", 1),
        ({"kind": "huge", "count": 9}, "more than max_bytes = 200,000", 1),
        ({"wrong": "nan"}, "NaN in 1 of 300 scores", 1),
        ({"wrong": "fewer"}, "shape|values", 1),
        ({"wrong": "short"}, "shape|values", 1),
    ],
)
def test_what_stays_is_a_fault_that_names_what_came(
    describe: Describe, server: Server, fault: dict[str, Any], said: str, tries: int
) -> None:
    model = describe(KSERVE + QUICKLY + "timeout: 0.3\nretries: 2\nmax_bytes: 200_000\n")
    server.fault(**fault)
    with pytest.raises(ModelFault, match=said) as caught:
        model.score(histories(5, seed=8))
    assert "\n" not in str(caught.value)
    assert len(server.seen()["bodies"]) == tries
    server.fault()
    sequences = histories(5, seed=8)  # and none of it was remembered
    np.testing.assert_allclose(model.score(sequences)[:, 1:], by_hand(sequences), rtol=1e-6)


@pytest.mark.parametrize(("wrong", "said"), [("short", "short list of 9 items, expected k = 10"), ("unknown", "=cmd")])
def test_a_list_that_is_wrong(describe: Describe, server: Server, wrong: str, said: str) -> None:
    model = describe(SHOP + "padding: {side: none}\n", "/recommend")
    server.fault(wrong=wrong)
    with pytest.raises(ModelFault, match=said) as caught:
        model.recommend(histories(3, seed=9), 10)
    assert "\n" not in str(caught.value)


def test_a_short_list_may_be_allowed(describe: Describe, server: Server) -> None:
    model = describe(SHOP + "padding: {side: none}\nmay_be_short: true\n", "/recommend")
    server.fault(wrong="short")
    assert np.count_nonzero(model.recommend(SequenceBatch([[1, 2]]), 10)) == 9


def test_the_budget_is_not_exceeded(describe: Describe, server: Server) -> None:
    model = describe(KSERVE + "max_queries: 30\nbatch_size: 10\nconcurrency: 1\n")
    server.fault()
    with pytest.raises(QueriesSpent, match=r"28 of max_queries = 30 .* 10 more"):
        model.score(histories(40, seed=10))
    assert sum(body["inputs"][0]["shape"][0] for body in server.seen()["bodies"]) == 20
    assert model.queries == 28  # with the eight of the check
    before = model.queries
    model.score(SequenceBatch(np.unique(histories(40, seed=10).items[:, -8:], axis=0)[:20]))  # what was answered stays
    assert model.queries == before


def test_the_fingerprint_tells_models_apart_and_nothing_else(describe: Describe, server: Server) -> None:
    def mark(text: str) -> str:
        file = describe.folder / "same.yaml"
        file.write_text(f"url: {server.url}\n{text}")
        model = open_adapter(file)
        model.score(histories(3, seed=13))
        return fingerprint("same.yaml", model) + answers_digest(adapt(model))

    assert mark(KSERVE) == mark(KSERVE + "timeout: 9\nconcurrency: 1\nretries: 1\nmax_queries: 5000\n")
    assert mark(KSERVE) != mark(KSERVE.replace("length: 8", "length: 2"))


def test_a_mark_is_made_of_true_answers_only(describe: Describe, server: Server) -> None:
    model = adapt(describe(KSERVE + QUICKLY + "retries: 0\n"))
    server.fault("500", count=9)
    with pytest.raises(InputError, match=r"answered 500.*what an earlier run left is untouched"):
        answers_digest(model)
    server.fault()
    first = answers_digest(model)
    assert first == answers_digest(adapt(describe(KSERVE)))
    spent = adapt(describe(KSERVE + "max_queries: 40\n"))
    with pytest.raises(InputError, match=r"of max_queries = 40 sequences were asked"):
        answers_digest(spent)


def test_nobody_at_home(tmp_path: Path) -> None:
    for text in (KSERVE, ONE + "padding: {side: none}\n"):
        (tmp_path / "m.yaml").write_text(f"{text}url: http://127.0.0.1:{free_port()}/one\nretries: 1\n{QUICKLY}")
        with pytest.raises(InputError, match=r"refused the connection or cannot be reached.*tried 2 times"):
            open_adapter(tmp_path / "m.yaml")


def test_the_examples_of_the_documentation_work_as_written(
    describe: Describe, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    page = (Path(__file__).parents[2] / "docs" / "your-model.md").read_text()
    section = page.split("\n## An endpoint\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```yaml\n(.*?)```", section, flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        path = re.search(r"^url: https://[a-z.]+(\S*)$", block, flags=re.MULTILINE)
        assert path is not None
        here = re.sub(r"^url: .*\n", "", block, flags=re.MULTILINE).replace("3416", str(N_ITEMS))
        sequences = histories(20, seed=20)
        lists = adapt(describe(here, path[1])).recommend(sequences, 10)
        np.testing.assert_array_equal(lists, np.argsort(-by_hand(sequences), axis=1, kind="stable")[:, :10] + 1)
