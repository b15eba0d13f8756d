"""What all endpoints' descriptions have: where they are, how items are named, and how the server is treated."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from robust.errors import InputError, ModelFault
from robust.recommenders.adapters.base import Adapter, inside, require
from robust.recommenders.adapters.http.ledger import Ledger
from robust.recommenders.adapters.ids import Ids

OPERATION = frozenset(
    {"concurrency", "timeout", "retries", "backoff", "rate", "max_queries", "max_bytes", "cache_mb", "token_env",
     "token_header", "token_prefix", "ca"}
)  # fmt: skip
"""Keys that say how to ask, not what: no part of the fingerprint."""
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$"
"""A model's name or version, which becomes a part of a path."""
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})


class EndpointIds(Ids):
    """How the model names items; a vocabulary may hold text too (`kind: str`)."""

    kind: Literal["int", "str"] = "int"


class EndpointPadding(BaseModel):
    """How sequences are brought to one length; `none` sends them as long as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: Literal["left", "right", "none"] = "left"
    id: int | str = 0
    length: int = Field(default=0, ge=0, le=100_000)


class Endpoint(Adapter):
    """What all endpoints have: where they are, how their items are named, and how they are treated."""

    url: str = Field(repr=False)
    n_items: int | None = Field(default=None, ge=1, le=100_000_000)
    ids: EndpointIds = EndpointIds()
    padding: EndpointPadding = EndpointPadding()
    first_column: int | None = Field(default=None, ge=0)
    k: int = Field(default=0, ge=0)
    may_be_short: bool = False
    batch_size: int = Field(default=32, ge=1)
    concurrency: int = Field(default=4, ge=1, le=256)
    timeout: float = Field(default=30.0, gt=0)
    retries: int = Field(default=4, ge=0, le=20)
    backoff: float = Field(default=0.5, ge=0, le=60)
    rate: float | None = Field(default=None, gt=0)
    max_queries: int | None = Field(default=None, ge=1)
    max_bytes: int = Field(default=256 * 2**20, ge=1)
    cache_mb: int = Field(default=256, ge=0)
    headers: dict[str, str] = Field(default={}, repr=False)
    token_env: str | None = None
    token_header: str = "Authorization"
    token_prefix: str = "Bearer "
    ca: str | None = None

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            fine = False
        if not fine or not url.isprintable() or " " in url:
            raise ValueError("expected an address such as https://host:8080")
        return url

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.lower() in _SECRET_HEADERS:
                raise ValueError(f"'{name}' is a secret; keep it in an environment variable and name that: token_env")
        return headers

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.n_items is None) == (self.ids.vocabulary is None):
            raise ValueError("say either n_items or ids: {vocabulary: FILE}, which lists the model's ids in order")
        if self.ids.kind == "int" and isinstance(self.padding.id, str) and self.padding.side != "none":
            raise ValueError(f"padding: the id '{self.padding.id}' is text, but the ids are integers")
        if self.answers_lists and self.k < 1:
            raise ValueError("say k: how many items a list of this endpoint holds")
        if self.rectangular and (self.padding.length == 0 or self.padding.side == "none") and self.batch_size > 1:
            raise ValueError("a tensor has rows of one length: say padding: {length: …}, or batch_size: 1")
        return self

    @property
    @abstractmethod
    def answers_lists(self) -> bool:
        """Whether it names its best items, and does not score them all."""

    @property
    def rectangular(self) -> bool:
        """Whether the sequences of a request have to be of one length."""
        return True

    @property
    def asked_at_once(self) -> int:
        """Sequences a request."""
        return self.batch_size

    @abstractmethod
    def protocol(self, numbering: Any, metadata: Any) -> Any:
        """How this kind of server is asked; `metadata` is what it says of the model, or None."""

    def about(self) -> str | None:
        """Where a server describes the model, if it has to be asked for that."""
        return None

    def open(self, folder: Path) -> Any:
        """The endpoint as an object with `recommend` or `score`, after it has answered a few sequences.

        Raises:
            InputError: it does not answer as described; the token's variable, a file or an extra is missing.
        """
        remote = reopened(self, folder)
        remote.check()
        return remote


def reopened(adapter: Endpoint, folder: Path) -> Any:
    """The object without the check, as a worker makes it from a pickle."""
    for module in ("httpx", "jmespath"):
        require(module, "http")
    from robust.recommenders.adapters.http import loop, numbering, redaction, remote
    from robust.recommenders.adapters.http.client import Client, Manners

    ids, padding = adapter.ids, adapter.padding
    raw = _vocabulary(adapter, folder)
    text = ids.kind == "str"
    pad: int | str = str(padding.id) if text else padding.id
    if padding.side == "none" and "id" not in padding.model_fields_set:
        pad = "" if text else -1  # nothing is padded; this only has to be no item
    table = numbering.model_ids(adapter.n_items, raw, text, ids.offset, pad)
    first = adapter.first_column
    if first is None:
        first = 0 if raw is not None else 1 + ids.offset
    names = numbering.Numbering(table, first, padding.side, padding.length)
    digest = _digest(adapter, raw)
    proof = redaction.credentials(adapter.url, adapter.token_env, adapter.token_header, adapter.token_prefix)
    verify: Any = True if adapter.ca is None else _authority(inside(folder, adapter.ca))
    ledger = Ledger(digest, adapter.max_queries, adapter.rate)
    manners = Manners(adapter.timeout, adapter.retries, adapter.backoff, adapter.max_bytes)

    def connect() -> Client:
        rng = np.random.default_rng(os.getpid())  # waits differ from worker to worker, and change no answer
        url, headers = adapter.url, adapter.headers
        return Client(url, headers, proof, manners, ledger, adapter.concurrency, verify, rng)

    link = remote.Link(connect)
    metadata = None
    if (about := adapter.about()) is not None:

        async def ask() -> Any:
            return await (await link.client()).ask(about)

        try:
            metadata = loop.run(ask())
        except ModelFault as error:
            raise InputError(f"{error} It was asked for {about}, which describes the model.") from error
    kind = remote.RemoteLists if adapter.answers_lists else remote.RemoteScores
    protocol = adapter.protocol(names, metadata)
    return kind(digest, protocol, link, ledger, adapter.cache_mb * 2**20, (reopened, (adapter, folder)))


def account(adapter: Endpoint, folder: Path) -> Ledger:
    """What this run has asked of an endpoint so far."""
    return Ledger(_digest(adapter, _vocabulary(adapter, folder)), adapter.max_queries, adapter.rate)


def _vocabulary(adapter: Endpoint, folder: Path) -> list[str] | None:
    from robust.datasets.vocabulary import listed

    return None if adapter.ids.vocabulary is None else listed(inside(folder, adapter.ids.vocabulary))


def _digest(adapter: Endpoint, vocabulary: list[str] | None) -> str:
    """The same for descriptions that ask the same of the same endpoint."""
    from robust.recommenders.adapters.http.redaction import bare_url

    said = adapter.model_dump(mode="json", exclude=set(OPERATION) | {"url"})
    said |= {"url": bare_url(adapter.url), "vocabulary": vocabulary}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _authority(file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(file))
    except (ssl.SSLError, OSError) as error:
        raise InputError(f"'{file}' holds no certificate of an authority in PEM form: {error}.") from error
