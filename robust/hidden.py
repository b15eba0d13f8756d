"""Secrets of the environment, taken out of text that others wrote and that a report will hold.

A training command may print its own settings, and a library's error the address that it could not reach. What an
environment variable holds whose name says that it is a secret is replaced, as CI servers do in their logs.
"""

from __future__ import annotations

import os
import re

HIDDEN = "(hidden)"
_SECRET = re.compile(
    r"TOKEN|PASSW|PASSPHRASE|SECRET|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|_DSN$|_KEY$", re.IGNORECASE
)
_SHORTEST = 6  # characters; shorter values are words such as `true`, whose replacement would tell them


def hidden(text: str) -> str:
    """The text without the values of variables that are named as secrets are."""
    values = {value for name, value in os.environ.items() if _SECRET.search(name) and len(value) >= _SHORTEST}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text
