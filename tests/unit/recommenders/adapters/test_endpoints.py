"""The parts of an endpoint's adapter that need no server."""

from __future__ import annotations

import copy
import email.utils
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust.errors import InputError, ModelFault
from robust.log import SequenceBatch
from robust.recommenders.adapters.base import read_adapter
from robust.recommenders.adapters.http.cache import AnswerCache
from robust.recommenders.adapters.http.client import wanted
from robust.recommenders.adapters.http.kserve import tensor_of
from robust.recommenders.adapters.http.ledger import Ledger, QueriesSpent
from robust.recommenders.adapters.http.numbering import Numbering, model_ids
from robust.recommenders.adapters.http.redaction import bare_url, credentials, shown_url
from robust.recommenders.adapters.http.remote import by_score
from robust.recommenders.adapters.http.template import filled, placeholders

VALUES = {"$sequences": [["a"], ["b", "c"]], "$lengths": [1, 2], "$k": 5, "$batch": 2}
KSERVE = "adapter: kserve\nurl: http://h\nmodel: m\nn_items: 5\npadding: {length: 3}\n"
HTTP = "adapter: http\nurl: http://h/x\nn_items: 5\npadding: {side: none}\n"


def test_a_template_is_filled() -> None:
    template = {"rows": {"$each": {"h": "$sequence", "n": "$lengths"}}, "all": ["$sequences", {"k": "$k"}], "c": "$5"}
    assert filled(template, VALUES) == {
        "rows": [{"h": ["a"], "n": 1}, {"h": ["b", "c"], "n": 2}],
        "all": [[["a"], ["b", "c"]], {"k": 5}],
        "c": "$5",
    }
    assert list(placeholders(template)) == ["$each", "$sequences", "$k", "$5"]


def numbering(side: Any, ids: list[Any], length: int = 3, pad: Any = 0, first_column: int = 0) -> Numbering:
    return Numbering(model_ids(None, ids, isinstance(ids[0], str), 0, pad), first_column, side, length)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("left", [["-", "c", "a"], ["d", "e", "a"], ["-", "-", "-"]]),
        ("right", [["c", "a", "-"], ["d", "e", "a"], ["-", "-", "-"]]),
        ("none", [["c", "a"], ["d", "e", "a"], []]),
    ],
)
def test_sequences_are_padded_and_named_as_the_model_wants(side: str, expected: list[list[str]]) -> None:
    sequences = SequenceBatch([[0, 0, 0, 3, 1], [1, 3, 4, 5, 1], [0, 0, 0, 0, 0]])
    assert numbering(side, list("abcde"), pad="-").outgoing(sequences) == (expected, [2, 3, 0])


def test_lists_come_back_in_the_harness_ids() -> None:
    names = numbering("left", [30, 10, 20])
    np.testing.assert_array_equal(names.lists([[20, 30, 10], [10, 0, 0]], 2, 2, short=True), [[3, 1], [2, 0]])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([[20, 30]], "1 sequences, asked for 2"),
        ({"a": 1}, "an object where a list"),
        ([[20, 30], [10]], "short list of 1 items"),
        ([[20, 30], [10, 0]], "short list of 1 items"),
        ([[20, 30], [10, True]], "True"),
        ([[20, 30], [10, "30"]], r"'30' \(text\)"),
        ([[20, 30], [10, None]], "nothing"),
        ([[20, 30], [10, [1]]], "list of item ids"),
        ([[20, 30], "ab"], "text for a sequence"),
    ],
)
def test_lists_that_are_wrong(answer: Any, said: str) -> None:
    with pytest.raises(ModelFault, match=said):
        numbering("left", [30, 10, 20]).lists(answer, 2, 2, short=False)


def test_scores_are_taken_from_their_columns() -> None:
    names = numbering("left", [1, 2], first_column=2)
    expected = [[-np.inf, 3, 4], [-np.inf, 7, 8]]
    np.testing.assert_array_equal(names.scores([[np.nan, 2, 3, 4, 9], [5, 6, 7, 8, 9]], 2), expected)
    steps = [[[0, 0, 0, 0], [1, 2, 3, 4]], [[0, 0, 0, 0], [5, 6, 7, 8]]]  # [B, L, V]: the newest item stands last
    np.testing.assert_array_equal(names.scores(steps, 2), expected)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([[1, 2]], "1 sequences, asked for 2"),
        ([[1, 2], [3, float("nan")]], "NaN in 1 of 4"),
        ([[1], [2]], r"shape \(2, 1\), expected \(2, 2\)"),
        ([[1, 2], [3]], "unequal length"),
        ([[1, 2], [3, "4"]], "not all numbers"),
        ([[1, 2], [3, None]], "not all numbers"),
        (None, "nothing where"),
    ],
)
def test_scores_that_are_wrong(answer: Any, said: str) -> None:
    with pytest.raises(ModelFault, match=said):
        numbering("left", [1, 2]).scores(answer, 2)


def test_scores_decide_the_order_of_a_list() -> None:
    assert by_score([["a", "b", "c"]], [[1, 3, 3]]) == [["b", "c", "a"]]
    for scores in ([[1, 2]], [[1, 2, float("nan")]], [[1, 2, "x"]], None):
        with pytest.raises(ModelFault):
            by_score([["a", "b", "c"]], scores)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"name": "s", "shape": [2, 2], "data": [1, 2, 3]}, "3 values"),
        ({"name": "s", "shape": [2, -2], "data": [1, 2, 3, 4]}, "without a shape"),
        ({"name": "s", "shape": [10**18, 10**18], "data": [1]}, "1 values"),
        ({"name": "s", "shape": [1, 4], "data": [1, 2, 3, 4]}, "2 sequences"),
        ({"name": "other", "shape": [2, 2], "data": [1, 2, 3, 4]}, "other, without 's'"),
    ],
)
def test_tensors_that_are_wrong(output: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelFault, match=said):
        tensor_of({"outputs": [output]}, "s", 2)


def test_ids_have_to_be_distinct_and_of_their_kind() -> None:
    for raw, text, pad in ((["1", "1"], False, 0), (["a"], False, 0), (["0", "5"], False, 0)):
        with pytest.raises(InputError):
            model_ids(None, raw, text, 0, pad)
    assert model_ids(3, None, True, -1, "").tolist() == ["", "0", "1", "2"]


def test_what_is_shown_of_an_address() -> None:
    assert shown_url("https://me:pw@h:8/p?key=1#x") == "https://h:8/p?…"
    assert shown_url("http://[::x?key=1") == "an address that cannot be read"
    assert bare_url("https://me:pw@h:8/p?key=1#x") == "https://h:8/p?key=1"


def test_a_token_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_TOKEN", raising=False)
    with pytest.raises(InputError, match=r"SHOP_TOKEN.*not set"):
        credentials("http://h", "SHOP_TOKEN", "X-Key", "")
    monkeypatch.setenv("SHOP_TOKEN", "secret-9")
    proof = credentials("http://h", "SHOP_TOKEN", "X-Key", "")
    assert proof.headers == {"X-Key": "secret-9"}
    assert "secret-9" not in repr(proof)
    assert proof.clean("you sent secret-9\r\n\x1b[31m!") == "you sent [secret] [31m!"
    assert len(proof.clean("x" * 10_000)) < 200
    monkeypatch.setenv("SHOP_TOKEN", "two\nlines")
    with pytest.raises(InputError) as caught:
        credentials("http://h", "SHOP_TOKEN", "X-Key", "")
    assert "two" not in str(caught.value)


def test_retry_after_in_all_its_forms() -> None:
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 25 < wanted(soon) <= 30
    assert wanted("7") == 7
    assert wanted(email.utils.formatdate(0)) == 0
    for nothing in (None, "", "soon", "-3", "nan", "1e9"):
        assert wanted(nothing) == 0


def test_the_cache_keeps_within_its_size() -> None:
    cache = AnswerCache(2000)
    for number in range(50):
        cache.put(bytes([number]), np.full(100, number, np.int32))
    assert len(cache) == 4
    kept = cache.get(bytes([49]))
    assert kept is not None
    assert kept[0] == 49
    assert cache.get(bytes([0])) is None
    cache.put(b"large", np.zeros(10_000))
    assert cache.get(b"large") is None


def _ask(key: str, results: Any) -> None:
    ledger, sent = Ledger(key, max_queries=50), 0
    try:
        while True:
            ledger.reserve(3)
            sent += 3
    except QueriesSpent:
        results.put(sent)


def test_the_account_is_one_for_all_processes() -> None:
    spawn = multiprocessing.get_context("spawn")
    here, results = Ledger("shared", max_queries=50), spawn.Queue()
    here.reserve(3)
    workers = [spawn.Process(target=_ask, args=("shared", results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    sent = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(sent) == 45  # and not one more request of 3
    assert here.spent() == (48, 16)
    with pytest.raises(QueriesSpent, match=r"48 of max_queries = 50 .* 3 more"):
        here.reserve(3)


def test_turns_and_holds() -> None:
    ledger = Ledger("turns", rate=10)
    assert [round(ledger.reserve(1), 1) for _ in range(3)] == [0.0, 0.1, 0.2]
    ledger.hold(5)
    assert 4 < ledger.reserve(1) <= 5


def read(tmp_path: Path, text: str) -> Any:
    (tmp_path / "m.yaml").write_text(text)
    return read_adapter(tmp_path / "m.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (KSERVE + "timout: 3\n", "line 6: timout: .*Did you mean 'timeout'"),
        (KSERVE.replace("http://h", "ftp://h"), "line 2: url: expected an address"),
        (KSERVE.replace("http://h", "http://h:99999"), "url: expected an address"),
        (KSERVE.replace("model: m", "model: ../admin"), "line 3: model"),
        (KSERVE.replace("n_items: 5\n", ""), "say either n_items or ids"),
        (KSERVE.replace("{length: 3}", "{side: none}"), "rows of one length"),
        (KSERVE + "items: top\n", "say k"),
        (KSERVE + "headers: {authorization: x}\n", "token_env"),
        (KSERVE + "max_queries: 0\n", "line 6: max_queries"),
        (HTTP + "request: {h: $sequnce}\nresponse: {scores: s}\n", "no placeholder \\$sequnce"),
        (HTTP + "request: {h: 1}\nresponse: {scores: s}\n", "must stand in it, once"),
        (HTTP + "request: {h: $sequence}\nresponse: {scores: 's['}\n", "no JMESPath"),
        (HTTP + "request: {h: $sequence}\nresponse: {}\n", "say where the answer is"),
    ],
)
def test_a_description_that_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read(tmp_path, text)


def test_a_description_shows_no_address(tmp_path: Path) -> None:
    adapter = read(tmp_path, KSERVE.replace("http://h", "http://me:hunter2@h"))
    assert "hunter2" not in repr(adapter)
    assert copy.deepcopy(adapter) == adapter
