"""A robustness card: Markdown under YAML front matter in Hugging Face's style, to be pasted into a model card.

The front matter holds a `model-index` that their hub reads (clean quality, and the worst case under each threat); the
body says what was attacked and how hard, what held, what did not, and what was not tested.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from robust.metrics.registry import metric_name
from robust.report.findings import Finding, found, one_line
from robust.report.markdown import escape, fenced, table
from robust.report.rows import Group, groups
from robust.report.text import VERDICT_WORDS, knowledge, listed, plural, presentable
from robust.runner.results import Results
from robust.runner.standing import standings

TAGS = ["sequential-recommendation", "robustness", "adversarial-robustness"]
MOST = 20  # findings and lines that a card shows; results.json holds all


def render_card(results: Results) -> str:
    """The card; the section that starts at `## Robustness` stands on its own."""
    shown = presentable(results)
    arranged = groups(shown)
    findings = [one for one in found(shown, arranged) if one.verdict == "FAIL"]
    parts = [
        _front_matter(shown),
        "## Robustness",
        f"**{escape(one_line(shown.headline))}.** {escape(one_line(shown.explanation, 800))}",
        _threats(arranged),
        _broken(findings),
        _remedies(findings),
        _tested(shown, arranged),
        _bullets("### What was not tested", shown.not_tested),
        "### How to reproduce\n\n" + fenced(one_line(shown.command, 4_000)) + "\n\n" + escape(_made(shown)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(results: Results) -> str:
    from ruamel.yaml import YAML

    body: dict[str, Any] = {"tags": TAGS, "datasets": [one_line(results.dataset.name)]}
    body["model-index"] = [
        {"name": one_line(victim.victim), "results": [_measured(results, victim.victim)]} for victim in results.victims
    ]
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 100_000
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # typed as None, its default
    stream = io.StringIO()
    yaml.dump(body, stream)
    return f"---\n{stream.getvalue()}---"


def _measured(results: Results, victim: str) -> dict[str, Any]:
    """One entry of the model index: the quality on clean data, and the worst case of each threat without a defence."""
    clean = next(one.metrics for one in results.victims if one.victim == victim)
    metrics = [
        {"type": one_line(name), "name": one_line(f"{metric_name(name)}, clean"), "value": round(value, 6)}
        for name, value in clean.items()
        if math.isfinite(value)
    ]
    for standing in standings(results):
        if standing.victim == victim and standing.defense == "none":
            metrics.append(
                {
                    "type": one_line(standing.worst.metric),
                    "name": one_line(f"{metric_name(standing.worst.metric)}, worst case of {standing.threat}"),
                    "value": round(standing.worst.mean, 6),
                    "args": {
                        "threat": one_line(standing.threat),
                        "attack": one_line(standing.cell.attack),
                        "budget": one_line(standing.cell.budget),
                        "verdict": standing.verdict,
                    },
                }
            )
    name = one_line(results.dataset.name)
    return {
        "task": {"type": "sequential-recommendation", "name": "Next-item recommendation"},
        "dataset": {"type": name, "name": name},
        "metrics": metrics,
    }


def _threats(arranged: Sequence[Group]) -> str:
    lines = []
    for group in arranged:
        worst = group.worst
        interval = f" ({worst.figures.interval})" if worst and worst.figures.interval else ""
        budgets = listed(list(dict.fromkeys(row.budget for row in group.rows)))
        lines.append(
            [
                escape(one_line(group.threat.title)),
                escape(one_line(f"{group.goal}; knows {group.knowledge or 'nothing'}; {budgets}", 400)),
                escape(group.bound),
                f"{worst.figures.change}{interval}" if worst else "–",
                escape(one_line(worst.attempt)) if worst else "not measured",
                f"**{VERDICT_WORDS[group.threat.verdict]}**",
            ]
        )
    heads = ["Threat", "The attacker", "What must hold", "Worst measured", "By", "Verdict"]
    return table(heads, lines, right=[3])


def _broken(findings: Sequence[Finding]) -> str:
    lines = [
        f"- **{one.severity.level if one.severity else 'undecided'}**: "
        f"{escape(one_line(f'{one.threat.title}: {one.sentence}', 600))}"
        f" {escape(', '.join(str(entry) for entry in (*one.techniques, *one.classes)))}."
        + (f" Accepted: {escape(one_line(one.accepted))}." if one.accepted else "")
        for one in findings[:MOST]
    ]
    left = len(findings) - len(lines)
    lines += [f"- {plural(left, 'more finding')} in results.json."] if left else []
    return "\n".join(["### What broke", "", *lines]) if lines else ""


def _remedies(findings: Sequence[Finding]) -> str:
    said = dict.fromkeys(
        f"{one_line(one.threat.title)}, {one_line(one.cell.victim)}: {one_line(one.remedy, 600)}" for one in findings
    )
    return _bullets("### What to do", list(said))


def _tested(results: Results, arranged: Sequence[Group]) -> str:
    """The log, the attackers and the statistics, as far as the results tell."""
    data = results.dataset
    rows = [row for group in arranged for row in group.rows]
    attacks: dict[str, dict[str, None]] = {}
    for row in rows:
        attacks.setdefault(row.attack, {})[row.planning or "no defence"] = None
    defenses = list(dict.fromkeys(row.cell.defense for row in rows if row.cell.defense != "none"))
    seeds = sorted({seed for row in rows for seed in row.cell.seeds})
    knew = list(dict.fromkeys(part for row in rows for part in knowledge(row.cell)))
    size = f"{plural(data.users, 'user')}, {plural(data.items, 'item')}, {plural(data.rows, 'row')}"
    mark = str(results.environment.get("data", "")) or "not kept"
    tried = listed([f"{one_line(name)} ({listed(list(how), 'or')})" for name, how in attacks.items()])
    lines = [
        f"Data: {one_line(data.name)}, {size}; {data.split}; hash of the split: {one_line(mark)}.",
        f"Measured on {plural(data.evaluated_users, 'user')}, seeds {listed(list(map(str, seeds))) or '–'}.",
        f"Attacks: {tried or 'none'}.",
        f"Attackers knew: {one_line('; '.join(knew), 400) or 'nothing'}.",
        f"Defences: {listed([one_line(name) for name in defenses]) or 'none'}.",
        "A verdict follows from the interval of the change against the bound; FAIL after correction for all attacks.",
        "Certificate: none was computed. A PASS speaks of the attacks that were run, not of those that were not.",
    ]
    return _bullets("### What was tested", lines)


def _made(results: Results) -> str:
    environment = results.environment
    kept = environment.get("scenario")
    scenario = kept if isinstance(kept, dict) else {}
    versions = environment.get("versions")
    parts = [f"seqrobust {environment.get('seqrobust', '?')}", f"Python {environment.get('python', '?')}"]
    parts += [f"{name} {version}" for name, version in versions.items()] if isinstance(versions, dict) else []
    parts += [f"scenario {scenario['path']} (sha256 {scenario.get('sha256')})"] if scenario.get("path") else []
    parts += [f"finished {results.finished}"] if results.finished else []
    return one_line(", ".join(parts), 800) + "."


def _bullets(heading: str, lines: Sequence[str]) -> str:
    return "\n".join([heading, "", *(f"- {escape(line)}" for line in lines)]) if lines else ""
