"""RecBole's own models through our adapter: `make validate-adapters` runs this where RecBole is installed.

The models are trained by RecBole from atomic files, and answer through RecBole's own dataloader: what the adapter makes
of the same sequences must be the same.
"""

from __future__ import annotations

import contextlib
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robust.errors import InputError, ModelFault
from robust.log import InteractionLog, LogEdit, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.adapters import open_adapter
from robust.recommenders.adapters.base import TRUST
from robust.recommenders.protocols import Differentiable, Fittable, Scorer, capabilities, lacks
from robust.testing.conformance import check_recommender
from tests.integration.conftest import Robust
from tests.integration.guide import write_files
from tests.integration.planes import chain, gradient_of_the_scores, planes, repeats_and_is_poisoned, reviewed
from tests.integration.trained_recbole import SMALL, Trained, train

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # RecBole's own, of pandas and torch

LIVE = """\
import torch
from robust.recommenders.adapters.recbole import RecBoleModel
from robust.recommenders.adapters.recbole_training import contained

with contained():  # RecBole 1.2.1 wants numpy 1
    from recbole.data import create_dataset
    from recbole.utils import get_model

    saved = torch.load("CHECKPOINT", weights_only=False)
    config = saved["config"]
    dataset = create_dataset(config)
    network = get_model(config["model"])(config, dataset)
    network.load_state_dict(saved["state_dict"])
model = RecBoleModel.live(network, dataset, config)
"""


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    return planes()


@pytest.fixture(scope="module", params=["SASRec", "GRU4Rec", "BERT4Rec", "FPMC"])
def trained(request: pytest.FixtureRequest, log: InteractionLog, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(request.param, log, tmp_path_factory.mktemp("recbole"))


@pytest.fixture(scope="module")
def sasrec(log: InteractionLog, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train("SASRec", log, tmp_path_factory.mktemp("recbole"))


@pytest.fixture(scope="module")
def learnt(log: InteractionLog, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One that has something to lose."""
    return train("SASRec", log, tmp_path_factory.mktemp("recbole"), epochs=10, learning_rate=0.01)


def own_answers(trained: Trained, log: InteractionLog) -> tuple[SequenceBatch, np.ndarray[Any, Any]]:
    """The test sequences in our numbers, and RecBole's own scores of all items, by our numbers."""
    from robust.recommenders.adapters.recbole_training import contained

    tokens = trained.dataset.field2id_token["route"]
    assert log.item_ids is not None
    place = {str(token): number for number, token in enumerate(log.item_ids, start=1)}
    ours = np.array([0, *(place[str(token)] for token in tokens[1:])])
    rows, scores = [], []
    with contained(), torch.no_grad():
        for interaction, *_ in trained.test:
            try:
                answer = trained.model.full_sort_predict(interaction).reshape(len(interaction), -1)
            except NotImplementedError:
                continue
            scores.append(answer.numpy())
            for items, length in zip(interaction["route_list"], interaction["item_length"], strict=True):
                rows.append(ours[items[: int(length)].numpy()].tolist())
    by_ours = np.concatenate(scores)[:, np.argsort(ours)]
    return SequenceBatch.from_lists(rows), by_ours


def opened(trained: Trained, monkeypatch: pytest.MonkeyPatch, extra: str = "") -> Any:
    monkeypatch.setenv(TRUST, "1")
    path = trained.folder / "model.yaml"
    path.write_text(f"adapter: recbole\ncheckpoint: {trained.checkpoint.relative_to(trained.folder)}\n{extra}")
    return open_adapter(path)


def test_a_checkpoint_answers_as_recbole_does(
    trained: Trained, log: InteractionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    if type(trained.model).__name__ == "FPMC":
        with pytest.raises(ModelFault, match=r"tail.*sequences alone"):
            adapt(opened(trained, monkeypatch))
        return
    model = adapt(opened(trained, monkeypatch))
    assert isinstance(model, Scorer)
    assert model.n_items == log.n_items
    assert isinstance(model.model.item_ids, np.ndarray)  # type: ignore[attr-defined]
    assert model.model.item_ids.tolist() == log.item_ids.tolist()  # type: ignore[attr-defined, union-attr]
    sequences, expected = own_answers(trained, log)
    assert len(sequences) == 120
    np.testing.assert_allclose(model.score(sequences)[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-5)
    lists = np.argsort(-expected[:, 1:], axis=1, kind="stable")[:, :10] + 1
    assert np.array_equal(model.recommend(sequences, 10), lists)


def test_a_live_object_is_the_same_as_its_checkpoint(
    sasrec: Trained, log: InteractionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from robust.recommenders.adapters.recbole import RecBoleModel

    live = adapt(RecBoleModel.live(sasrec.model, sasrec.dataset, sasrec.config))
    sequences, _ = own_answers(sasrec, log)
    stored = adapt(opened(sasrec, monkeypatch))
    assert np.array_equal(live.recommend(sequences, 10), stored.recommend(sequences, 10))


@pytest.mark.parametrize("live", [False, True])
def test_a_whole_review(
    live: bool, learnt: Trained, robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clean, poisoned through RecBole's own training, edited along the gradient, and embedded."""
    opened(learnt, monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(LIVE.replace("CHECKPOINT", str(learnt.checkpoint)))
    model = ["mine:model"] if live else [learnt.folder / "model.yaml", "--trust-pickle"]
    log = learnt.folder / "data" / "planes" / "planes.inter"
    columns = "user=tail,item=route,timestamp=when"
    reviewed(robust, learnt.own, "--model", *model, "--log", log, "--columns", columns)


def test_the_guides_files(log: InteractionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They open, and its model is fitted; whole reviews are above."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TRUST, "1")
    assert write_files("RecBole") == ["sasrec.yaml", "gru.yaml"]
    fields = ("user_id", "item_id", "timestamp")
    trained = train("SASRec", log, tmp_path, data="dataset", dataset="shop", fields=fields)
    trained.checkpoint.rename(re.findall(r"checkpoint: (\S+)", Path("sasrec.yaml").read_text())[0])
    assert open_adapter(Path("sasrec.yaml")).gradients == "through item_embedding"
    assert open_adapter(Path("gru.yaml")).fit(log, seed=0).n_items == log.n_items


def test_gradients_are_those_of_its_scores(
    trained: Trained, log: InteractionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = type(trained.model).__name__
    if name == "FPMC":
        return
    model = adapt(opened(trained, monkeypatch))
    assert "gradients" in capabilities(model)
    assert isinstance(model, Differentiable)
    gradient_of_the_scores(model, log)


def test_a_model_without_gradients_says_why(tmp_path: Path) -> None:
    """SRGNN looks up the distinct items of a sequence, not the sequence."""
    without, able = (adapt(unfitted(tmp_path, name)) for name in ("SRGNN", "SASRec"))
    assert "gradients" not in capabilities(without)
    reason = "RecBole's SRGNN does not look up the sequence that it is given in an item_embedding"
    assert lacks(without) == {"gradients": reason}
    assert "gradients" in capabilities(able)
    assert lacks(able) == {}


def test_an_empty_sequence_ranks_nothing_above_anything(sasrec: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened(sasrec, monkeypatch)
    scores = model.score(SequenceBatch(np.array([[0, 0], [0, 3]])))
    assert not scores[0, 1:].any()
    assert scores[1, 1:].any()


def test_a_vocabulary_of_another_order(sasrec: Trained, log: InteractionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    assert log.item_ids is not None
    listing = sasrec.folder / "items.txt"
    listing.write_text("\n".join(log.item_ids[::-1]) + "\n")
    turned, plain = opened(sasrec, monkeypatch, "items: items.txt\n"), opened(sasrec, monkeypatch)
    sequences = log.sequences(8, np.arange(20))
    items = np.where(sequences.items > 0, log.n_items + 1 - sequences.items, 0)
    assert np.array_equal(turned.score(SequenceBatch(items))[:, :0:-1], plain.score(sequences)[:, 1:])
    listing.write_text("\n".join([*log.item_ids, "one more"]) + "\n")
    with pytest.raises(InputError, match="one more"):
        opened(sasrec, monkeypatch, "items: items.txt\n")


def test_without_trust_a_checkpoint_stays_shut(sasrec: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(sasrec, monkeypatch)
    monkeypatch.delenv(TRUST)
    with pytest.raises(InputError, match=r"pickle.*--trust-pickle"):
        open_adapter(sasrec.folder / "model.yaml")


def test_a_checkpoint_whose_data_have_gone(sasrec: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = sasrec.folder / "elsewhere"
    (sasrec.folder / "data").rename(moved)
    try:
        with pytest.raises(InputError, match="key 'data'"):
            opened(sasrec, monkeypatch)
        assert opened(sasrec, monkeypatch, "data: elsewhere\n").n_items > 0
    finally:
        moved.rename(sasrec.folder / "data")


def unfitted(folder: Path, name: str = "GRU4Rec", **more: Any) -> Any:
    path = folder / "model.yaml"
    settings = ", ".join(f"{key}: {'null' if value is None else value}" for key, value in (SMALL | more).items())
    path.write_text(f"adapter: recbole\nmodel: {name}\nsettings: {{{settings}}}\nearly_stopping: false\n")
    return open_adapter(path)


def generators() -> tuple[Any, ...]:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002


def test_a_fit_learns_from_every_row_and_repeats(
    log: InteractionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    model = adapt(unfitted(tmp_path, epochs=8, train_batch_size=256, learning_rate=0.02))
    assert isinstance(model, Fittable)
    assert "gradients" in capabilities(model)
    before = generators()
    repeats_and_is_poisoned(model, log)
    assert before == generators()
    assert not list((tmp_path / "here").iterdir())  # RecBole writes checkpoints and charts into the current folder


@pytest.mark.parametrize("name", ["GRU4Rec", "BERT4Rec"])
def test_it_keeps_what_a_recommender_promises(name: str, log: InteractionLog, tmp_path: Path) -> None:
    check_recommender(unfitted(tmp_path, name), log)


def test_it_learns_what_follows_what(tmp_path: Path) -> None:
    log, asked, following = chain()
    for name in ("GRU4Rec", "SASRec"):
        fitted = adapt(unfitted(tmp_path, name, epochs=30, learning_rate=0.02)).fit(log, seed=0)  # type: ignore[attr-defined]
        assert np.array_equal(fitted.recommend(SequenceBatch(asked), 1)[:, 0], following)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_early_stopping_holds_out_the_last_rows(early_stopping: bool, log: InteractionLog) -> None:
    from robust.recommenders.adapters.recbole import RecBoleModel

    model = RecBoleModel.named("GRU4Rec", SMALL, early_stopping=early_stopping)
    last = log.offsets[1:] - 1
    changed = LogEdit(replace_rows=last, replace_items=log.item[last] % log.n_items + 1).apply(log)
    asked = log.sequences(10)
    same = np.array_equal(model.fit(log, seed=0).score(asked), model.fit(changed, seed=0).score(asked))
    assert same == early_stopping  # one epoch, so that the held out rows choose nothing


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: SASRek", "SASRek"),
        ("model: BPR", "not a sequential model"),
        ("model: SASRec\nsettings: {hidden_size: 15, n_heads: 2}", "cannot make 'SASRec'"),
        ("model: SASRec\ncheckpoint: x.pth", "either 'checkpoint'"),
        ("checkpoint: nosuch.pth", "nosuch.pth"),
        ("checkpoint: model.yaml", "no checkpoint of RecBole"),
        ("modle: SASRec", "Did you mean 'model'"),
    ],
)
def test_a_wrong_description(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUST, "1")
    (tmp_path / "model.yaml").write_text(f"adapter: recbole\n{text}\n")
    with pytest.raises(InputError, match=said), contextlib.redirect_stdout(None):
        open_adapter(tmp_path / "model.yaml")
