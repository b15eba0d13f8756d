"""Logs by name: flights is embedded, ml-100k is found where the user has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robust import plugins
from robust.datasets import load_dataset
from robust.datasets.movielens import EXAMPLE, VARIABLE
from robust.errors import InputError, UnknownName


def test_flights_is_what_its_readme_says() -> None:
    log = load_dataset("flights")
    assert (log.n_users, log.n_items, len(log)) == (2561, 316, 49_072)
    assert log.lengths.min() == 5
    assert (log.popularity[1:] > 0).all()
    assert (log.timestamp.min(), log.timestamp.max()) == (1_357_035_300, 1_362_200_340)
    assert log.item_ids is not None
    assert "UA-EWR-IAH" in log.item_ids
    assert np.all(log.item_ids[1:] > log.item_ids[:-1])
    assert log.name == "flights"
    assert log.notes == ()


def test_flights_is_small() -> None:
    import robust.datasets.data

    assert Path(robust.datasets.data.__path__[0], "flights.parquet").stat().st_size <= 350_000


def test_an_unknown_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'flights'"):
        load_dataset("flihgts")


def test_a_loader_must_give_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda kind, name: dict)
    with pytest.raises(InputError, match="gave a dict"):
        load_dataset("mine")


def test_ml100k_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "u.data").write_text("196\t242\t3\t881250949\n196\t51\t2\t880606923\n")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    log = load_dataset("ml-100k")
    assert log.item.tolist() == [1, 2]
    assert log.name == "ml-100k"


def test_ml100k_from_a_wheel_that_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "recbole"
    (package / EXAMPLE).parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('imported')")
    (package / EXAMPLE).write_text("user_id:token\titem_id:token\ttimestamp:float\n7\t8\t9\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert load_dataset("ml-100k").timestamp.tolist() == [9]


def test_ml100k_says_both_ways_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("robust.datasets.movielens.find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"{VARIABLE}.*pip install"):
        load_dataset("ml-100k")


def test_the_public_names_import_nothing_heavy() -> None:
    code = (
        "import sys, robust.datasets; print([m for m in ('pyarrow', 'pandas', 'torch', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
