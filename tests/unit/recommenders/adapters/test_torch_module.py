"""Modules of several signatures behind one mapping; every answer is checked against the module called by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from robust.errors import InputError, ModelFault, UnknownName
from robust.log import SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.adapters import TorchModel, mapped, open_adapter
from robust.recommenders.adapters.base import TRUST
from robust.recommenders.fingerprint import fingerprint
from robust.recommenders.protocols import capabilities, lacks
from tests.unit.recommenders.adapters.drawn import drawn

N, D = 12, 5
LISTS = [[3, 1, 4], [5], [9, 2, 6, 5, 3, 8], [7, 7]]
ROWS = SequenceBatch.from_lists(LISTS)


class Gru(nn.Module):
    """Right-padded, items from 0, padding N, all steps."""

    def __init__(self, n: int = N, positions: bool = False) -> None:
        super().__init__()
        self.places = nn.Embedding(50, D) if positions else None
        self.items = nn.Embedding(n + 1, D)
        self.gru = nn.GRU(D, D, batch_first=True)
        self.out = nn.Linear(D, n)
        self.drop = nn.Dropout(0.5)
        drawn(self, 0)

    def forward(self, seq: Tensor) -> Tensor:
        # looked up before the items, and not to be taken for them
        place = 0 if self.places is None else self.places(torch.arange(seq.shape[1]).expand(seq.shape))
        embedded = self.items(seq) + place
        return self.out(self.drop(self.gru(embedded)[0]))  # type: ignore[no-any-return]


class Pooled(nn.Module):
    """A mask by keyword, a nested output of the last step only, a time-major inside, ids shifted inside."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(N + 4, D)
        drawn(self, 1)

    def forward(self, *, temperature: float, attention_mask: Tensor, input_ids: Tensor) -> dict[str, Any]:
        embedded = self.table(input_ids.t() + 2) * attention_mask.t().unsqueeze(-1)  # [W, B, D]
        weight = torch.arange(1, 1 + len(embedded)).view(-1, 1, 1)
        state = (embedded * weight).sum(0).tanh() / temperature
        return {"aux": 0, "scores": (state, state @ self.table.weight[2:].T)}


def _gru(**changed: Any) -> TorchModel:
    keys: dict[str, Any] = {"padding": {"side": "right", "id": N}, "ids": {"first": 0}}
    return TorchModel(Gru(), **(keys | changed))


def _pooled(**changed: Any) -> TorchModel:
    keys: dict[str, Any] = {
        "sequence": "input_ids",
        "extra": {"attention_mask": "integer-mask", "temperature": 2.0},
        "output": {"path": "scores.1"},
        "n_items": N,
    }
    return TorchModel(Pooled(), **(keys | changed))


def test_right_padding_and_ids_from_0_by_hand() -> None:
    model, module = _gru(), Gru().eval()
    scores = model.score(ROWS)
    assert model.n_items == N
    assert scores.shape == (4, N + 1)
    for items, row in zip(LISTS, scores, strict=True):
        with torch.no_grad():
            expected = module(torch.tensor([[i - 1 for i in items]]))[0, -1]
        np.testing.assert_allclose(row[1:], expected.numpy(), atol=1e-6)
        assert row[0] == -np.inf


def test_keywords_a_mask_a_constant_and_a_nested_output_by_hand() -> None:
    model, module = _pooled(), Pooled().eval()
    width = ROWS.width
    for items, row in zip(LISTS, model.score(ROWS), strict=True):
        padded = torch.tensor([[0] * (width - len(items)) + items])
        mask = (padded > 0).long()
        with torch.no_grad():
            _, expected = module(input_ids=padded, attention_mask=mask, temperature=2.0)["scores"]
        np.testing.assert_allclose(row[1:], expected[0, 1 : N + 1].numpy(), atol=1e-6)


@pytest.mark.parametrize("make", [_gru, _pooled])
def test_gradients_are_those_of_finite_differences(make: Callable[[], TorchModel]) -> None:
    model = make()
    model.module.double()
    embedded = model.embed(ROWS).detach().requires_grad_(True)
    weights = torch.randn(4, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def objective(values: Tensor) -> Tensor:
        # the answer's float32 would drown a difference
        arranged = model._arrange(ROWS)
        columns = torch.from_numpy(arranged.columns).unsqueeze(-1).expand(-1, -1, D)
        assert model._lookup is not None
        with model._lookup.replaced(values.gather(1, columns), arranged):
            scores = model._scores(model._call(arranged), arranged)
        weighted: Tensor = (scores[:, torch.from_numpy(model._columns)] * weights).sum()
        return weighted

    (gradient,) = torch.autograd.grad((model.score_embeddings(embedded, ROWS)[:, 1:] * weights).sum(), embedded)
    rng = np.random.default_rng(0)
    filled = np.argwhere(ROWS.items > 0)
    for row, column in filled[rng.choice(len(filled), 6, replace=False)]:
        for axis in range(D):
            step = torch.zeros_like(embedded)
            step[row, column, axis] = 1e-5
            with torch.no_grad():
                slope = (objective(embedded + step) - objective(embedded - step)) / 2e-5
            assert gradient[row, column, axis].item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-6)
    assert torch.equal(gradient[torch.from_numpy(ROWS.items == 0)], torch.zeros(int((ROWS.items == 0).sum()), D))


@pytest.mark.parametrize("make", [_gru, _pooled])
def test_scores_from_embeddings_are_the_scores(make: Callable[[], TorchModel]) -> None:
    model = make()
    with torch.no_grad():
        again = model.score_embeddings(model.embed(ROWS), ROWS)
        np.testing.assert_allclose(again.numpy(), model.score(ROWS), atol=1e-6)
        table = model.item_embeddings
        assert torch.equal(model.embed(ROWS), table[torch.from_numpy(ROWS.items.astype(np.int64))])
    assert table.shape == (N + 1, D)
    assert not table[0].any()
    assert "gradients" in capabilities(adapt(model))


def test_a_perturbed_embedding_is_what_the_module_computes_with() -> None:
    model = _gru()
    swapped = ROWS.with_items(np.where(ROWS.items == 5, 10, ROWS.items))
    with torch.no_grad():
        np.testing.assert_allclose(
            model.score_embeddings(model.embed(swapped), ROWS).numpy(), model.score(swapped), atol=1e-6
        )


class Masked(nn.Module):
    """Knows both paddings: an order-aware sum of the items where the ids are not the padding."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(N + 1, D, padding_idx=0)
        self.out = nn.Linear(D, N + 1)
        drawn(self, 2)

    def forward(self, seq: Tensor) -> Tensor:
        place = (seq > 0).cumsum(1).unsqueeze(-1)
        return self.out((self.items(seq) * place).cumsum(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("length", [None, 4, 9])
def test_left_and_right_padding_give_the_same_lists(length: int | None) -> None:
    left = adapt(TorchModel(Masked(), padding={"side": "left", "length": length}))
    right = adapt(TorchModel(Masked(), padding={"side": "right", "length": length}))
    assert left.n_items == right.n_items == N
    np.testing.assert_array_equal(left.recommend(ROWS, 5), right.recommend(ROWS, 5))
    wider = ROWS.with_items(np.pad(ROWS.items, ((0, 0), (4, 0))))
    np.testing.assert_array_equal(left.recommend(wider, 5), right.recommend(ROWS, 5))


def test_a_large_catalogue_is_asked_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    model = _gru()
    whole = model.score(ROWS)
    model.module.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    monkeypatch.setattr(mapped, "CELLS", 3 * ROWS.width * N)
    np.testing.assert_allclose(model.score(ROWS), whole, atol=1e-6)
    assert sizes == [3, 1]


def test_a_length_keeps_the_newest_items() -> None:
    model = _gru(padding={"side": "right", "id": N, "length": 3})
    newest = SequenceBatch.from_lists([items[-3:] for items in LISTS])
    np.testing.assert_allclose(model.score(ROWS), _gru().score(newest), atol=1e-6)
    assert model.context == 3


@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_relabelled_model_gives_the_same_lists(first: int, tmp_path: Path) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Gru()

        def forward(self, seq: Tensor) -> Tensor:
            shifted: Tensor = nn.functional.pad(self.inner(seq - first), (first, 0))
            return shifted

    keys: dict[str, Any] = {"padding": {"side": "right", "id": N + first}}
    plain = _gru().score(ROWS)
    for ids in ({"first": first}, {"shift": first - 1}):
        model = TorchModel(Shifted(), ids=ids, **keys)
        assert model.n_items == N
        np.testing.assert_allclose(model.score(ROWS), plain, atol=1e-6)
    order = np.random.default_rng(0).permutation(N)
    (tmp_path / "numbers.txt").write_text("\n".join(str(number + first) for number in order))
    model = TorchModel(Shifted(), ids={"vocabulary": "numbers.txt"}, folder=tmp_path, **keys)
    renumbered = ROWS.with_items(np.concatenate([[0], np.argsort(order) + 1])[ROWS.items])
    np.testing.assert_allclose(model.score(renumbered)[:, 1:], plain[:, 1:][:, order], atol=1e-6)


def test_an_empty_row_never_reads_the_end_and_disturbs_nobody() -> None:
    class Newest(nn.Module):
        """Says how long the row is, and NaN for nobody."""

        def forward(self, seq: Tensor, lengths: Tensor, last: Tensor) -> Tensor:
            assert bool((lengths >= 1).all())
            assert bool((last == lengths - 1).all())
            known = (seq > 0).any(1, keepdim=True)
            nobody = torch.full((1, N + 1), torch.nan)
            return torch.where(known, nn.functional.one_hot(lengths, N + 1).float(), nobody)

    model = TorchModel(Newest(), extra={"lengths": "lengths", "last": "last"}, padding={"side": "right"})
    scores = model.score(SequenceBatch.from_lists([[1, 2], [], [3]]))
    assert scores[:, 1:].argmax(1).tolist() == [1, 0, 0]
    assert not scores[1, 1:].any()
    steps = TorchModel(Gru(), padding={"side": "right", "id": N, "length": 6}, ids={"first": 0})
    with torch.no_grad():
        first = Gru().eval()(torch.full((1, 6), N))[0, 0]
    np.testing.assert_allclose(steps.score(SequenceBatch.from_lists([[]]))[0, 1:], first.numpy(), atol=1e-6)


class States(nn.Module):
    """Returns states, as many do that rank by the item table; another method than forward, sequence second."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(N + 1, D, padding_idx=0)
        drawn(self, 4)

    def encode(self, user: int, seq: Tensor) -> Tensor:
        return (self.items(seq) * (seq > 0).unsqueeze(-1)).cumsum(1).tanh() + user  # type: ignore[no-any-return]

    def forward(self) -> None:
        raise AssertionError("the mapping names another method")


def test_states_are_ranked_by_a_table() -> None:
    keys: dict[str, Any] = {"method": "encode", "sequence": 1, "extra": {"0": 1}}
    model, module = TorchModel(States(), table="items", **keys), States()
    with torch.no_grad():
        for items, row in zip(LISTS, model.score(ROWS), strict=True):
            expected = module.items.weight @ (module.items(torch.tensor(items)).sum(0).tanh() + 1)
            np.testing.assert_allclose(row[1:], expected[1:].numpy(), atol=1e-5)
        again = model.score_embeddings(model.embed(ROWS), ROWS)
    np.testing.assert_allclose(again.numpy(), model.score(ROWS), atol=1e-6)
    assert "gradients" in capabilities(adapt(model))
    with pytest.raises(UnknownName, match=r"Known: items\.weight"):
        TorchModel(States(), table="item", **keys)


class Attention(nn.Module):
    """torch's own encoder with a mask of the padding, whose fast path drops columns in which there is only padding."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.items, self.encoder, self.out = nn.Embedding(N + 1, 8), nn.TransformerEncoder(layer, 2), nn.Linear(8, N)
        drawn(self, 5, 0.3)

    def forward(self, src: Tensor, src_key_padding_mask: Tensor) -> Tensor:
        causal = torch.ones(src.shape[1], src.shape[1], dtype=torch.bool).triu(1)
        encoded = self.encoder(self.items(src), mask=causal, src_key_padding_mask=src_key_padding_mask)
        return self.out(encoded)  # type: ignore[no-any-return]


@pytest.mark.parametrize("length", [None, 10])
def test_torchs_transformer_with_a_padding_mask(length: int | None) -> None:
    keys: dict[str, Any] = {"extra": {"src_key_padding_mask": "padding-mask"}, "ids": {"first": 0}}
    model = TorchModel(Attention(), padding={"side": "right", "id": N, "length": length}, **keys)
    module = Attention().eval()
    for items, row in zip(LISTS, model.score(ROWS), strict=True):
        seq = torch.tensor([[item - 1 for item in items]])
        with torch.no_grad():
            expected = module(seq, torch.zeros(seq.shape, dtype=torch.bool))[0, -1]
        np.testing.assert_allclose(row[1:], expected.numpy(), atol=1e-5)
    with torch.no_grad():
        again = model.score_embeddings(model.embed(ROWS), ROWS)
    np.testing.assert_allclose(again.numpy(), model.score(ROWS), atol=1e-5)
    with_nobody = model.score(SequenceBatch.from_lists([LISTS[0], []]))
    np.testing.assert_allclose(with_nobody[0], model.score(ROWS)[0], atol=1e-5)
    assert np.isfinite(with_nobody[1, 1:]).all()


def test_padding_keeps_the_embedding_that_the_module_gives_it() -> None:
    """Padded on the left and without a mask, it is read: the model's own padding, not the harness's zeros."""
    model = _gru(padding={"side": "left", "id": N})
    with torch.no_grad():
        again = model.score_embeddings(model.embed(ROWS), ROWS)
    np.testing.assert_allclose(again.numpy(), model.score(ROWS), atol=1e-6)
    assert np.abs(model.score(ROWS)[1, 1:] - _gru().score(ROWS)[1, 1:]).max() > 0.01


def test_the_paddings_own_column_is_no_item() -> None:
    class Wider(Gru):
        def forward(self, seq: Tensor) -> Tensor:
            return nn.functional.pad(super().forward(seq), (0, 1))

    model = TorchModel(Wider(), padding={"side": "right", "id": N}, ids={"first": 0})
    assert model.n_items == N
    np.testing.assert_allclose(model.score(ROWS), _gru().score(ROWS), atol=1e-6)


def test_columns_may_start_elsewhere_than_the_numbers() -> None:
    class FromOne(Gru):
        """Items from 1, padding 0, and a column for each item only; what pads is another row of the table."""

        def forward(self, seq: Tensor) -> Tensor:
            return super().forward(torch.where(seq > 0, seq - 1, N))

    model = TorchModel(FromOne(), padding={"side": "right"}, output={"first": 0})
    assert model.n_items == N
    np.testing.assert_allclose(model.score(ROWS), _gru().score(ROWS), atol=1e-6)
    assert model.gradients == "through items"
    with torch.no_grad():
        again = model.score_embeddings(model.embed(ROWS), ROWS)
    np.testing.assert_allclose(again.numpy(), model.score(ROWS), atol=1e-6)


def test_positions_are_not_taken_for_items() -> None:
    model = TorchModel(Gru(positions=True), padding={"side": "right", "id": N}, ids={"first": 0})
    assert model.gradients == "through items"


class Functional(nn.Module):
    """Looks its items up in a parameter, without a layer; the same table ranks."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.table = how, nn.Parameter(torch.zeros(N + 1, D))
        self.order: Tensor
        self.register_buffer("order", torch.arange(N + 1))  # looked up too, and no embedding
        drawn(self, 6)

    def forward(self, seq: Tensor) -> Tensor:
        numbers = self.order[seq]
        found = self.table[numbers] if self.how == "index" else nn.functional.embedding(weight=self.table, input=seq)
        place = (seq > 0).cumsum(1).unsqueeze(-1)
        return (found * place).sum(1).tanh() @ self.table.T


@pytest.mark.parametrize("how", ["index", "embedding"])
def test_a_parameter_may_be_looked_up_without_a_layer(how: str) -> None:
    model, module = TorchModel(Functional(how)), Functional(how)
    assert model.gradients == "through table"
    assert "gradients" in capabilities(adapt(model))
    embedded = model.embed(ROWS).detach().requires_grad_(True)
    scores = model.score_embeddings(embedded, ROWS)
    np.testing.assert_allclose(scores.detach().numpy(), model.score(ROWS), atol=1e-6)
    (gradient,) = torch.autograd.grad(scores[2, 4], embedded)
    # the table ranks as well, so the way through the sequence alone is done by hand
    items = torch.tensor(LISTS[2])
    by_hand = module.table[items].detach().requires_grad_(True)
    state = (by_hand * torch.arange(1, 7).unsqueeze(-1)).sum(0).tanh()
    (expected,) = torch.autograd.grad((state @ module.table.detach().T)[4], by_hand)
    np.testing.assert_allclose(gradient[2], expected, atol=1e-5)
    assert not gradient[:2].any()
    assert TorchModel(Functional(how), embedding="table").gradients == "through table"
    with pytest.raises(UnknownName, match="Known: "):
        TorchModel(Functional(how), embedding="tabel")


class Bag(nn.Module):
    """Sums while it looks up."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(N + 1, D, padding_idx=0, mode="sum")
        drawn(self, 7)

    def forward(self, seq: Tensor) -> Tensor:
        return self.bag(seq).tanh() @ self.bag.weight.T  # type: ignore[no-any-return]


class OneHot(nn.Module):
    """Multiplies by ones and zeros, and has an embedding of something else."""

    def __init__(self, other: bool) -> None:
        super().__init__()
        self.inner = nn.Linear(N + 1, N + 1)
        self.day = nn.Embedding(7, N + 1) if other else None
        drawn(self, 8)

    def forward(self, seq: Tensor) -> Tensor:
        state = nn.functional.one_hot(seq, N + 1).float().sum(1)
        return self.inner(state if self.day is None else state + self.day(torch.zeros(len(seq), dtype=torch.long)))  # type: ignore[no-any-return]


class Detached(Gru):
    """Has the layer, and lets no gradient through."""

    def forward(self, seq: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(seq)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TorchModel(Bag()), "bag is an nn.EmbeddingBag, which sums"),
        (lambda: TorchModel(OneHot(other=False)), r"no nn\.Embedding receives .* \(there is none\)"),
        (lambda: TorchModel(OneHot(other=True)), r"no nn\.Embedding \(day\) receives"),
        (lambda: _gru(embedding="none"), "the mapping says 'embedding: none'"),
    ],
)
def test_without_an_embedding_there_are_no_gradients_and_it_says_why(make: Callable[[], TorchModel], said: str) -> None:
    model = make()
    assert capabilities(adapt(model)) == {"lists", "scores"}
    assert re.search(said, lacks(adapt(model))["gradients"])
    assert re.search(f"none: .*{said}", repr(model))
    with pytest.raises(ModelFault, match=said):
        model.embed(ROWS)


def test_a_gradient_that_does_not_arrive_is_told_apart_from_one_without_a_way() -> None:
    model = TorchModel(Detached(), padding={"side": "right", "id": N}, ids={"first": 0})
    assert model.gradients == "through items"
    said = lacks(adapt(model))
    assert "probe failed" in said["gradients"]
    assert "does not require grad" in said["gradients"]
    assert "adapter: command" in said["fit"]
    assert set(lacks(adapt(_gru()))) == {"fit"}


def test_evaluation_mode_is_kept_and_the_same_bits_come_twice() -> None:
    model = _gru()
    model.module.train()
    np.testing.assert_array_equal(model.score(ROWS), model.score(ROWS))


def test_a_fingerprint_sees_the_weights_and_the_mapping() -> None:
    model, other = _gru(), _gru()
    assert fingerprint("a", model) == fingerprint("a", other)
    with torch.no_grad():
        next(other.module.parameters())[0, 0] += 1e-3
    assert fingerprint("a", model) != fingerprint("a", other)
    assert fingerprint("a", model) != fingerprint("a", _gru(padding={"side": "right", "id": N, "length": 3}))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"ids": {}, "n_items": N}, r"12 columns.*column 12"),
    ({"ids": {"first": 0, "shift": -1}}, "keep one"),
    ({"padding": {"side": "right"}}, "say what pads"),
    ({"ids": {"shift": -3}}, "start at 0"),
    ({"output": {"step": "none"}}, r"\[B, V\] with B"),
    ({"output": {"path": "logits"}}, "there is no 'logits' in a Tensor"),
    ({"sequence": "sequences"}, "could not be asked.*unexpected keyword"),
    ({"sequence": 1}, r"must fill 0, 1"),
    ({"padding": {"side": "middle"}}, "padding.side"),
    ({"embedding": "item"}, "Did you mean 'items'"),
    ({"embedding": "gru"}, "doesn't receive"),
    ({"method": "predict"}, "has no 'predict'"),
]


@pytest.mark.parametrize(("keys", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_mapping_says_what_to_mend(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _gru(**keys)


# --- from a file

DESCRIPTION = """\
adapter: torch
model: stranger_net:Net
arguments: {n: 12}
weights: WEIGHTS
padding: {side: right, id: 12}
ids: {first: 0}
"""
NET = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, n=3):
        super().__init__()
        self.items, self.out = nn.Embedding(n + 1, 5), nn.Linear(5, n)
    def forward(self, seq):
        return self.out(self.items(seq).cumsum(1))

net = Net(12)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(TRUST, "0")
    (tmp_path / "stranger_net.py").write_text(NET)
    items, out = drawn(nn.Embedding(13, 5), 3), drawn(nn.Linear(5, 12), 4)
    state = {"items.weight": items.weight.data, "out.weight": out.weight.data, "out.bias": out.bias.data}
    save_file(state, tmp_path / "net.safetensors")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "net.pt")
    (tmp_path / "disguised.safetensors").write_bytes((tmp_path / "net.pt").read_bytes())
    torch.save({"state_dict": state, "path": Path("x")}, tmp_path / "more.pt")  # more than tensors
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    return tmp_path


def _describe(folder: Path, weights: str, text: str = DESCRIPTION) -> Path:
    path = folder / "model.yaml"
    path.write_text(text.replace("WEIGHTS", weights))
    return path


def _by_hand(folder: Path) -> NDArray[np.float32]:
    from safetensors.numpy import load_file

    w = load_file(folder / "net.safetensors")
    states = np.stack([w["items.weight"][np.array(items) - 1].sum(0) for items in LISTS])
    scores: NDArray[np.float32] = states @ w["out.weight"].T + w["out.bias"]
    return scores


def test_a_description_with_safetensors(folder: Path) -> None:
    model = open_adapter(_describe(folder, "net.safetensors"))
    np.testing.assert_allclose(model.score(ROWS)[:, 1:], _by_hand(folder), atol=1e-5)


@pytest.mark.parametrize("name", ["net.pt", "disguised.safetensors", "more.pt", "broken.pt"])
def test_a_pickle_is_refused_whatever_its_suffix(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match="--trust-pickle"):
        open_adapter(_describe(folder, name))


@pytest.mark.parametrize("name", ["net.pt", "disguised.safetensors", "more.pt"])
def test_a_trusted_pickle_is_read(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUST, "1")
    np.testing.assert_allclose(open_adapter(_describe(folder, name)).score(ROWS)[:, 1:], _by_hand(folder), atol=1e-5)


def test_what_cannot_be_opened_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUST, "1")
    with pytest.raises(InputError, match=r"neither safetensors nor a file of torch\.save"):
        open_adapter(_describe(folder, "broken.pt"))
    with pytest.raises(InputError, match="size mismatch"):
        open_adapter(_describe(folder, "net.pt", DESCRIPTION.replace("n: 12", "n: 11")))
    with pytest.raises(InputError, match="no such file"):
        open_adapter(_describe(folder, "absent.safetensors"))
    with pytest.raises(UnknownName, match="Did you mean 'Net'"):
        open_adapter(_describe(folder, "net.pt", DESCRIPTION.replace(":Net", ":Nett")))
    with pytest.raises(InputError, match="is an instance"):
        open_adapter(_describe(folder, "net.pt", DESCRIPTION.replace(":Net", ":net")))
    with pytest.raises(InputError, match="gave a PosixPath"):
        open_adapter(_describe(folder, "net.pt", "adapter: torch\nmodel: pathlib:Path\n"))
