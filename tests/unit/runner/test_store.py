"""The store gives back what was put, to the bit; a damaged file counts as absent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.errors import InputError
from robust.runner.store import Artifact, Store, content_hash, write_atomically

KEY = "ab" + "0" * 38


def _artifact() -> Artifact:
    return Artifact({"b": np.arange(6, dtype=np.int32).reshape(2, 3), "a": np.zeros((0, 4))}, {"note": "ε", "n": 3})


def test_gives_back_arrays_and_note(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, _artifact())
    found = store.get(KEY)
    assert found is not None
    assert found.note == {"note": "ε", "n": 3}
    assert found.arrays["b"].dtype == np.int32
    np.testing.assert_array_equal(found.arrays["b"], _artifact().arrays["b"])
    assert found.arrays["a"].shape == (0, 4)


def test_version_control_passes_it_by(tmp_path: Path) -> None:
    Store(tmp_path / "store").prepare()
    Store(tmp_path / "store").prepare()
    (tmp_path / "beside.txt").touch()
    Store(tmp_path / "store").put(KEY, _artifact())
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    listed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert listed.stdout == "?? beside.txt\n"


def test_same_content_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Store(tmp_path / name).put(KEY, _artifact())
    first, second = (next((tmp_path / name).rglob("*.bin")).read_bytes() for name in ("one", "two"))
    assert first == second


def test_absent_is_none(tmp_path: Path) -> None:
    assert Store(tmp_path).get(KEY) is None
    assert KEY not in Store(tmp_path)


@pytest.mark.parametrize("cut", [0, 5, 15, 40, -1])
def test_a_truncated_file_counts_as_absent(tmp_path: Path, cut: int) -> None:
    store = Store(tmp_path)
    store.put(KEY, _artifact())
    path = next(tmp_path.rglob("*.bin"))
    path.write_bytes(path.read_bytes()[:cut])
    assert store.get(KEY) is None


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, _artifact())
    path = next(tmp_path.rglob("*.bin"))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert store.get(KEY) is None, f"byte {place}"


def test_a_folder_that_cannot_be_made_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"file.*cannot be written.*--out"):
        Store(tmp_path / "file" / "store").prepare()


def test_an_interrupted_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
@settings(max_examples=50)
def test_the_hash_ignores_the_order_of_keys(value: dict[str, object]) -> None:
    assert content_hash(value) == content_hash(dict(reversed(list(value.items()))))


def test_the_hash_tells_contents_apart() -> None:
    assert len({content_hash(v) for v in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": [1]}, {"a": None})}) == 6
