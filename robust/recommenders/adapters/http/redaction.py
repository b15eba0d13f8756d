"""Secrets stay in the environment: what is shown, logged or raised holds neither a token nor a password nor a query."""

from __future__ import annotations

import base64
import logging
import os
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx

from robust.errors import InputError

SHOWN = 160
"""How many characters of a server's own words a message repeats."""


def shown_url(url: str) -> str:
    """An address without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))


def bare_url(url: str) -> str:
    """An address without user and password, which travel in a header instead."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


@dataclass(frozen=True)
class Credentials:
    """What proves who asks. Its values are never part of `repr`.

    Attributes:
        headers: to send with each request.
        secrets: strings that no message may hold.
    """

    headers: dict[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def clean(self, text: str) -> str:
        """A server's words on one short printable line; a server may repeat what it was sent, so secrets are cut."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "[secret]")
        line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * SHOWN]).split())
        return line if len(line) <= SHOWN else line[:SHOWN] + "…"


def credentials(url: str, token_env: str | None, header: str, prefix: str) -> Credentials:
    """The token from the environment, or the user and password of the address.

    Raises:
        InputError: the variable is not set, or what it holds cannot stand in a header.
    """
    parts = urlsplit(url)
    queried = tuple(value for _, _, value in (pair.partition("=") for pair in parts.query.split("&")) if len(value) > 3)
    if token_env is None:
        if parts.username is None:
            return Credentials({}, queried)
        user, password = unquote(parts.username), unquote(parts.password or "")
        encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
        return Credentials({"Authorization": f"Basic {encoded}"}, (encoded, *filter(None, [password]), *queried))
    token = os.environ.get(token_env, "").strip()
    if not token:
        raise InputError(f"The environment variable {token_env}, which token_env names, is not set or is empty.")
    if not (token.isascii() and token.isprintable()):
        raise InputError(f"What the environment variable {token_env} holds is not printable ASCII on one line.")
    return Credentials({header: f"{prefix}{token}"}, (token, *queried))


class _Redact(logging.Filter):
    """httpx logs each address at INFO; a query may hold a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(shown_url(str(a)) if isinstance(a, httpx.URL) else a for a in record.args)
        return True


def quieten() -> None:
    """Redact what httpx logs; calling it again changes nothing."""
    logger = logging.getLogger("httpx")
    if not any(isinstance(one, _Redact) for one in logger.filters):
        logger.addFilter(_Redact())
