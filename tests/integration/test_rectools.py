"""RecTools' own models through our adapter: `make validate-adapters` runs this where RecTools is installed.

RecTools' `recommend` is the judge: for users that it knows, the adapter's lists of the same histories must be the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from robust.errors import InputError
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.adapters import open_adapter
from robust.recommenders.adapters.base import TRUST
from robust.recommenders.protocols import Differentiable, Fittable, capabilities
from robust.testing.conformance import check_recommender
from tests.integration.conftest import Robust
from tests.integration.guide import write_files
from tests.integration.planes import chain, gradient_of_the_scores, planes, repeats_and_is_poisoned, reviewed

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Lightning's own

SMALL = {
    "epochs": 1,
    "n_factors": 16,
    "n_blocks": 1,
    "n_heads": 2,
    "session_max_len": 10,
    "batch_size": 64,
    "deterministic": True,
    "recommend_torch_device": "cpu",
}


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    return planes()


def dataset_of(log: InteractionLog) -> Any:
    from rectools import Columns
    from rectools.dataset import Dataset

    assert log.item_ids is not None
    return Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: [f"tail {user}" for user in log.user],
                Columns.Item: log.item_ids[log.item - 1],
                Columns.Weight: 1,
                Columns.Datetime: pd.Timestamp("2013-01-01") + pd.to_timedelta(log.position, unit="h"),
            }
        )
    )


@pytest.fixture(scope="module")
def listing(log: InteractionLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log's items; RecTools keeps the newest 11 rows of a user, and so misses an item of this log."""
    path = tmp_path_factory.mktemp("items") / "items.txt"
    assert log.item_ids is not None
    path.write_text("\n".join(log.item_ids) + "\n")
    return path


@pytest.fixture(scope="module", params=["SASRec", "BERT4Rec"])
def model(request: pytest.FixtureRequest, log: InteractionLog) -> Any:
    return _trained(request.param, log)


@pytest.fixture(scope="module")
def sasrec(log: InteractionLog) -> Any:
    return _trained("SASRec", log)


def _trained(name: str, log: InteractionLog, **more: Any) -> Any:
    import rectools.models

    return getattr(rectools.models, f"{name}Model")(**(SMALL | more)).fit(dataset_of(log))


def own_lists(model: Any, log: InteractionLog, k: int) -> np.ndarray[Any, Any]:
    from rectools import Columns

    users = [f"tail {user}" for user in range(log.n_users)]
    table = model.recommend(users, dataset_of(log), k=k, filter_viewed=False)
    assert log.item_ids is not None
    place = {item: number for number, item in enumerate(log.item_ids, start=1)}
    found = {user: rows[Columns.Item].map(place).tolist() for user, rows in table.groupby(Columns.User, sort=False)}
    return np.array([found[user] for user in users])


def test_its_lists_are_those_of_rectools(model: Any, log: InteractionLog, listing: Path) -> None:
    from robust.recommenders.adapters.rectools import RecToolsModel

    assert RecToolsModel.live(model).n_items == log.n_items - 1
    ours = adapt(RecToolsModel.live(model, items=listing))
    assert ours.n_items == log.n_items
    assert capabilities(ours) >= {"scores", "gradients", "fit"}
    expected = own_lists(model, log, 10)
    for width in (12, 30):
        assert np.array_equal(ours.recommend(log.sequences(width), 10), expected)
    # histories shorter than the model reads, of users that RecTools knows by these rows alone
    short = log.rows(log.position < log.user % 7 + 1)
    assert np.array_equal(ours.recommend(short.sequences(12), 10), own_lists(model, short, 10))


def test_saved_models(
    model: Any, log: InteractionLog, listing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = type(model).__name__.removesuffix("Model")
    model.save(tmp_path / "model.pkl")
    model.fit_trainer.save_checkpoint(tmp_path / "model.ckpt")
    expected = own_lists(model, log, 5)
    for file in ("model.pkl", "model.ckpt"):
        (tmp_path / "model.yaml").write_text(
            f"adapter: rectools\nmodel: {name}\ncheckpoint: {file}\nitems: {listing}\n"
        )
        monkeypatch.delenv(TRUST, raising=False)
        with pytest.raises(InputError, match=r"pickle.*--trust-pickle"):
            open_adapter(tmp_path / "model.yaml")
        monkeypatch.setenv(TRUST, "1")
        opened = adapt(open_adapter(tmp_path / "model.yaml"))
        assert np.array_equal(opened.recommend(log.sequences(12), 5), expected)


@pytest.mark.parametrize("name", ["SASRec", "BERT4Rec"])
def test_a_whole_review(
    name: str, log: InteractionLog, robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clean, poisoned through RecTools' own training, edited along the gradient, and embedded."""
    from rectools import Columns

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TRUST, "1")
    assert log.item_ids is not None
    newest = np.zeros(len(log), dtype=np.bool_)
    newest[log.offsets[1:] - 1] = True
    known = log.rows(~newest)
    trained = _trained(name, known, epochs=8, lr=0.01)
    trained.save("model.pkl")
    Path("items.txt").write_text("\n".join(log.item_ids) + "\n")
    table = {"user": log.user, "item": log.item_ids[log.item - 1], "timestamp": log.position}
    pd.DataFrame(table).to_csv("events.csv", index=False)
    Path("model.yaml").write_text(f"adapter: rectools\nmodel: {name}\ncheckpoint: model.pkl\nitems: items.txt\n")

    users = [f"tail {user}" for user in range(log.n_users)]
    lists = trained.recommend(users, dataset_of(known), k=10, filter_viewed=False)
    truth = dict(zip(users, log.item_ids[log.item[newest] - 1], strict=True))
    hits = lists[lists[Columns.Item] == lists[Columns.User].map(truth)]
    own = {"hr@10": len(hits) / len(users), "ndcg@10": float((1 / np.log2(hits[Columns.Rank] + 1)).sum()) / len(users)}
    words = ["--model", "model.yaml", "--log", "events.csv", "--vocabulary", "items.txt", "--trust-pickle"]
    reviewed(robust, own, *words)


def test_the_guides_files(sasrec: Any, log: InteractionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They open, and its model is fitted; whole reviews are above."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TRUST, "1")
    assert write_files("RecTools") == ["saved.yaml", "fresh.yaml"]
    assert log.item_ids is not None
    sasrec.save("model.pkl")
    Path("items.txt").write_text("\n".join(log.item_ids) + "\n")
    assert open_adapter(Path("saved.yaml")).n_items == log.n_items
    assert open_adapter(Path("fresh.yaml")).fit(log, seed=0).n_items == log.n_items


def test_gradients_are_those_of_its_scores(model: Any, log: InteractionLog, listing: Path) -> None:
    from robust.recommenders.adapters.rectools import RecToolsModel

    ours = adapt(RecToolsModel.live(model, items=listing))
    assert isinstance(ours, Differentiable)
    assert gradient_of_the_scores(ours, log)[0, -1].any()


def test_a_vocabulary_of_another_order(sasrec: Any, log: InteractionLog, listing: Path, tmp_path: Path) -> None:
    from robust.recommenders.adapters.rectools import RecToolsModel

    assert log.item_ids is not None
    backwards, short = tmp_path / "backwards.txt", tmp_path / "short.txt"
    backwards.write_text("\n".join(log.item_ids[::-1]) + "\n")
    turned, plain = RecToolsModel.live(sasrec, items=backwards), RecToolsModel.live(sasrec, items=listing)
    sequences = log.sequences(8, np.arange(20))
    items = np.where(sequences.items > 0, log.n_items + 1 - sequences.items, 0)
    assert np.array_equal(turned.score(SequenceBatch(items))[:, :0:-1], plain.score(sequences)[:, 1:])
    short.write_text("\n".join(log.item_ids[:40]) + "\n")
    with pytest.raises(InputError, match=r"vocabulary .* lacks"):
        RecToolsModel.live(sasrec, items=short)


def unfitted(folder: Path, name: str, **more: Any) -> Any:
    settings = ", ".join(f"{key}: {value}" for key, value in (SMALL | more).items())
    (folder / "model.yaml").write_text(f"adapter: rectools\nmodel: {name}\nsettings: {{{settings}}}\n")
    return adapt(open_adapter(folder / "model.yaml"))


@pytest.mark.parametrize("name", ["SASRec", "BERT4Rec"])
def test_a_fit_repeats_and_is_poisoned(name: str, log: InteractionLog, tmp_path: Path) -> None:
    model = unfitted(tmp_path, name, epochs=3, lr=0.01)
    assert isinstance(model, Fittable)
    before = torch.get_rng_state().tolist()
    repeats_and_is_poisoned(model, log)
    assert before == torch.get_rng_state().tolist()
    assert not list(Path.cwd().glob("lightning_logs"))


@pytest.mark.parametrize("name", ["SASRec", "BERT4Rec"])
def test_it_keeps_what_a_recommender_promises(name: str, log: InteractionLog, tmp_path: Path) -> None:
    check_recommender(unfitted(tmp_path, name).model, log)


def test_items_without_rows_are_never_recommended(tmp_path: Path) -> None:
    log, asked, following = chain()
    fitted = unfitted(tmp_path, "SASRec", epochs=30, lr=0.01).fit(log, seed=0)
    assert np.array_equal(fitted.recommend(SequenceBatch(asked), 1)[:, 0], following)
    assert fitted.context == 0  # what it does not know it passes over, and reads further back
    with_unknown = np.insert(asked, 2, 14, axis=1)
    np.testing.assert_allclose(fitted.score(SequenceBatch(with_unknown)), fitted.score(SequenceBatch(asked)), atol=1e-5)
    lists = fitted.recommend(SequenceBatch(asked), 14)
    assert set(lists[:, :12].ravel().tolist()) == set(range(1, 13))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: SASRek", "SASRec"),
        ("model: SASRec\nsettings: {n_factor: 8}", "does not take these settings"),
        ("checkpoint: nosuch.pkl", "nosuch.pkl"),
        ("checkpoint: model.yaml", "no SASRec of RecTools"),
        ("items: x.txt", "leave 'items' out"),
    ],
)
def test_a_wrong_description(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUST, "1")
    (tmp_path / "model.yaml").write_text(f"adapter: rectools\n{text}\n")
    with pytest.raises(InputError, match=said):
        open_adapter(tmp_path / "model.yaml")
