"""The example review with every free text made hostile."""

from __future__ import annotations

from typing import Any

from robust.runner.results import Results
from tests.unit.report.example import example

PAYLOAD = (
    "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\"'>--></style></svg>"
    "{{ 7*7 }}{% raw %}| a | b |\n\n# h\n- [x](javascript:alert(1)) ![i](http://evil.example/i.png) "
    "@everyone #1 `` ``` [red]markup[/red] www.evil.example \x1b[31m\x00\u202e\ud800 &amp; ~~s~~ **b** _e_ $x$"
    "\nPASS  all is well\r\n::error::forged\n ::add-mask::a ##[error]b ##vso[task.setvariable]c ]]> GH-2 a@evil.example"
)
FIXED = {"verdict", "kind", "metric", "planned_on", "measured_on", "retrain", "seen"}


def hostile(value: Any, key: str = "") -> Any:
    """The same structure with the payload before every text that is not one of a few fixed words."""
    if isinstance(value, str):
        return value if key in FIXED else PAYLOAD + value
    if isinstance(value, dict):
        return {name: hostile(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner, key) for inner in value]
    return value


def hostile_example() -> Results:
    """Ids and references to them stay consistent, since all are prefixed alike."""
    body = hostile(example().model_dump(by_alias=True))
    for victim in body["victims"]:
        victim["baselines"] = {PAYLOAD + name: values for name, values in victim["baselines"].items()}
    body["environment"] = {PAYLOAD + name: value for name, value in body["environment"].items()}
    for cell in body["cells"]:
        cell["attack_parameters"] = {PAYLOAD: PAYLOAD}
        cell["knowledge"] = {PAYLOAD: PAYLOAD}
        cell["metrics"][PAYLOAD + "@10"] = {"clean": 0.5, "attacked": 0.4, "change": 0.2}
    return Results.model_validate(body)
