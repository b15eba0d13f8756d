"""A hash of what a recommender's answers depend on, so that stored answers are not reused for another model."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import EndpointFault, InputError, RobustError
from robust.log import SequenceBatch
from robust.recommenders.adapters.http.ledger import QueriesSpent
from robust.recommenders.protocols import Recommender

PROBES, PROBE_LENGTH = 64, 10


def fingerprint(spec: str, model: Any) -> str:
    """16 hexadecimal digits: the SPEC, the source that the model was made from, its weights and plain attributes.

    The source is the model's own module and whatever else was imported from the same folder; for a built-in that is
    the training loop too. Weights are seen in `state()`, in a torch `state_dict()`, and in arrays or torch modules that
    are attributes of the object; what hides deeper shows in `answers_digest`.
    """
    digest = hashlib.sha256(spec.encode())
    for path in _sources(model):
        digest.update(path.name.encode() + path.read_bytes())
    if is_fitted(model):
        for name, array in sorted(_weights(model).items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    for name, value in sorted(getattr(model, "__dict__", {}).items()):
        if isinstance(value, (bool, int, float, str)):
            digest.update(f"{name}={value!r}".encode())
    return digest.hexdigest()[:16]


def answers_digest(recommender: Recommender) -> str:
    """16 hexadecimal digits of its answers to `PROBES` random sequences: what no look at its attributes can see.

    A model whose weights lie deep inside it, in a module's globals, or behind an address changes this when they change.
    One that answers differently each time is never the same twice, and nothing stored of it is reused. A model at hand
    that fails on the probes fails again, and is told so, where it is measured.

    Raises:
        InputError: an endpoint did not answer, or may not be asked. It is the same endpoint still: a mark made of its
            failure would hide what is stored of it.
    """
    n_items = int(recommender.n_items)
    rng = np.random.default_rng(0)
    items = rng.integers(1, n_items + 1, size=(PROBES, PROBE_LENGTH))
    items[np.arange(PROBE_LENGTH) < (PROBE_LENGTH - 1 - np.arange(PROBES) % PROBE_LENGTH)[:, None]] = 0
    try:
        lists = np.asarray(recommender.recommend(SequenceBatch(items), min(n_items, 50)))
    except (EndpointFault, QueriesSpent) as error:
        raise InputError(
            f"{error} It was asked {PROBES} sequences by which a model is known again. Nothing was measured, and what "
            "an earlier run left is untouched: run the same command again."
        ) from error
    except RobustError as error:
        return hashlib.sha256(str(error).encode()).hexdigest()[:16]
    return hashlib.sha256(np.ascontiguousarray(lists).tobytes()).hexdigest()[:16]


def is_fitted(model: Any) -> bool:
    """Whether it can rank as it stands: it knows a catalogue."""
    n_items = getattr(model, "n_items", 0)
    return isinstance(n_items, (int, np.integer)) and not isinstance(n_items, bool) and bool(n_items > 0)


def _sources(model: Any) -> list[Path]:
    """The file of the model's module, and the loaded modules beside it, sorted."""
    own = getattr(sys.modules.get(type(model).__module__), "__file__", None)
    if own is None or not Path(own).is_file():
        return []
    folder = Path(own).parent
    if folder == Path(__file__).parent:  # built-in: any of its files may matter, loaded yet or not
        return sorted(folder.glob("*.py"))
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    beside = {Path(file) for file in files if file and file.endswith(".py") and Path(file).parent == folder}
    return sorted(beside | {Path(own)})


def _weights(model: Any) -> dict[str, NDArray[Any]]:
    if callable(getattr(model, "state", None)):
        arrays: dict[str, NDArray[Any]] = model.state()[0]
        return arrays
    if callable(getattr(model, "state_dict", None)):
        return {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    found: dict[str, NDArray[Any]] = {}
    for name, value in getattr(model, "__dict__", {}).items():
        if isinstance(value, np.ndarray) and value.dtype != object:
            found[name] = value
        elif callable(getattr(value, "state_dict", None)):
            inner = value.state_dict().items()
            found.update({f"{name}.{key}": tensor.detach().cpu().numpy() for key, tensor in inner})
    return found
