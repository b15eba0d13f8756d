"""The report as Markdown, short enough for a comment on a pull request.

Every text is escaped so that it stays text: no link, image, mention, raw HTML, emphasis or extra table cell can come
out of a name. Commands stand in fences longer than any run of backticks in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from robust.report.clean import clean_table
from robust.report.detection import sights
from robust.report.findings import broken
from robust.report.price import choices
from robust.report.rows import Group, Row, commands, findings, groups
from robust.report.targets import target_facts
from robust.report.text import VERDICT_WORDS, listed, plural, presentable
from robust.runner.results import Results

MAX_CHARACTERS = 65_000  # GitHub refuses comments above 65,536
COMMANDS = 5  # that a shortened report shows
GRAVITY = ("FAIL", "ERROR", "INCONCLUSIVE", "PASS", "NOT_APPLICABLE")
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&!$#])")
_AUTOLINK = re.compile(r"(?i)(https?|ftp|mailto|xmpp)(:)|(www)(\.)")
# GitHub looks for these after it has read the Markdown, so that a backslash does not keep them apart
_MENTION = re.compile(r"(?<![\w`])@(?=\w)|@(?=[\w-]+\.\w)")  # the second: a mail address
_REFERENCE = re.compile(r"#(?=\w)|\bgh-(?=\d)|%(?=\w)", re.IGNORECASE)
_BLOCK = re.compile(r"^(\s*(?:\d+)?)([-+=.):])")
WORD_JOINER = "\u2060"


def escape(text: str) -> str:
    """Text that renders as itself, on one line, in a paragraph, a list or a table cell."""
    line = " ".join(text.split())
    line = _SPECIAL.sub(r"\\\1", line)
    line = _AUTOLINK.sub(lambda m: f"{m[1] or m[3]}\\{m[2] or m[4]}", line)
    line = _MENTION.sub(f"@{WORD_JOINER}", line)
    line = _REFERENCE.sub(lambda m: m[0] + WORD_JOINER, line)
    return _BLOCK.sub(r"\1\\\2", line)


def fenced(text: str) -> str:
    """A code block that its content cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{text}\n{fence}"


def code(text: str) -> str:
    """Text as inline code that its content cannot close, fit for a table cell."""
    line = " ".join(text.split()).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}" if line else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A pipe table of cells that are escaped already; `right` are the columns of numbers."""
    rule = ["---:" if column in right else "---" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def render_markdown(results: Results) -> str:
    """The report, in the richest detail that a comment holds; what is left out is said in it."""
    shown = presentable(results)
    arranged = groups(shown)
    text = ""
    for rows, reproduce in ((None, True), (None, False), (25, False), (5, False), (0, False)):
        text = _document(shown, arranged, rows, reproduce)
        if len(text) <= MAX_CHARACTERS:
            return text
    notice = "\n\n(shortened to fit a comment; results.json holds everything)\n"
    return text[: MAX_CHARACTERS - len(notice)].rpartition("\n")[0] + notice


def _document(results: Results, arranged: list[Group], rows: int | None, reproduce: bool) -> str:
    parts = [
        f"## {VERDICT_WORDS[results.verdict]}: {escape(results.title)}",
        f"**{escape(results.headline)}**",
        escape(results.explanation),
        _overview(results, arranged),
        _broken(results, arranged, rows),
        _defenses(results, arranged, rows),
        *(_cells(group, rows) for group in arranged if group.rows and rows != 0),
        _flags(results, arranged),
        _accepted(arranged),
        _clean(results),
        _protocol(results),
        _bullets("### Items of the goals", [f"{goal}: {items}" for goal, items in target_facts(results)]),
        _reproduce(results, arranged, ids=reproduce),
        _bullets("### What was not tested", results.not_tested),
        _environment(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _overview(results: Results, arranged: list[Group]) -> str:
    gravest = {one.number: one.findings[0].severity for one in broken(results, arranged)}
    lines = []
    for group in arranged:
        worst = group.worst
        figure = f"{worst.figures.change} {_limits(worst)}".strip() if worst else "–"
        by = worst.attempt if worst else "not measured"
        severity = gravest.get(group.number)
        lines.append(
            [
                escape(group.threat.title),
                f"**{VERDICT_WORDS[group.threat.verdict]}**" + (f", {severity.level}" if severity else ""),
                escape(group.bound),
                figure,
                escape(by),
            ]
        )
    return table(["Threat", "Verdict", "What must hold", "Worst measured", "By"], lines, right=[3])


def _broken(results: Results, arranged: list[Group], limit: int | None) -> str:
    """What breaks: severity, taxonomy, the budget at which it does, and what to do; `limit` findings of each threat."""
    parts = []
    for one in broken(results, arranged, limit)[:limit]:
        known = ", ".join(str(entry) for entry in (*one.techniques, *one.classes))
        advice = " ".join(f"{victim}: {sentence}" for victim, sentence in one.advice)
        parts.append(f"**{escape(one.threat.title)}** ({escape(known)}). What to do: {escape(advice)}")
        lines = [
            [
                f"**{finding.severity.level}**" if finding.severity else "–",
                escape(finding.series.attack),
                escape(finding.where) + (", accepted" if finding.accepted else ""),
                escape(finding.breaking),
                str(finding.breaks.number) if finding.breaks else "–",
            ]
            for finding in one.findings
        ]
        left = f"\n\n{plural(one.left, 'finding is', 'findings are')} left out here." if one.left else ""
        parts.append(table(["Severity", "Attack", "On", "Breaks", "Cell"], lines, right=[4]) + left)
    return "\n\n".join(["### Findings", *parts]) if parts else ""


def _defenses(results: Results, arranged: list[Group], limit: int | None) -> str:
    """What each defence is worth and costs, and what sanitisers saw; `limit` lines of each table."""
    heads = ["Defence", "Worst case", "Verdict", "By", "Clean NDCG@10 lost", "Clean HR@10 lost"]
    heads += ["Genuine users removed", "Training", "Serving"]
    parts = []
    for one in choices(results, arranged)[:limit]:
        lines = [
            [
                (f"**{escape(row.name)}**" if row.best else escape(row.name))
                + (" (did not meet every attack)" if row.missed else ""),
                row.worst,
                f"**{VERDICT_WORDS[row.verdict]}**",
                f"{row.row.number}: {escape(row.row.attack)}, {escape(row.row.budget)}",
                *row.lost,
                row.removed,
                *(f"{ratio} ({seconds})" if seconds else ratio for ratio, seconds in (row.training, row.serving)),
            ]
            for row in one.rows
        ]
        parts.append(f"**{escape(one.threat)}, {escape(one.victim)}.** {escape(one.sentence)}")
        parts.append(table(heads, lines[:limit], right=[1, 4, 5, 6, 7, 8]))
    seen = [
        [
            escape(sight.result.defense),
            escape(sight.attack),
            sight.auc,
            sight.low,
            sight.caught,
            sight.accused,
            escape(sight.left),
        ]
        for sight in sights(results)[:limit]
    ]
    if seen and parts:
        heads = ["Sanitiser", "Attack", "AUC", "Caught at 1% accused", "Caught", "Accused", "Effect left"]
        parts.append(table(heads, seen, right=[2, 3, 4, 5, 6]))
    return "\n\n".join(["### Defences", *parts]) if parts else ""


def _limits(row: Row) -> str:
    return f"({row.figures.interval})" if row.figures.interval else ""


def _cells(group: Group, limit: int | None) -> str:
    chosen = group.rows
    if limit is not None and len(chosen) > limit:
        chosen = sorted(chosen, key=lambda row: GRAVITY.index(row.cell.verdict))[:limit]
    left = f"\n\n{len(group.rows) - len(chosen)} cells are left out here." if len(chosen) < len(group.rows) else ""
    heads = ["Cell", "Victim", "Attack", "Defence", "Budget", "Planned → measured on", escape(group.measure)]
    heads += [escape(group.heading), "Noise floor", "Control", "Verdict"]
    lines = [
        [
            str(row.number),
            escape(row.cell.victim),
            escape(row.attack) + (" (worst case)" if row.cell.worst_case else ""),
            escape(row.cell.defense),
            escape(row.budget),
            f"{row.setting} ({row.planning})" if row.planning else row.setting,
            row.figures.level,
            f"{row.figures.change} {_limits(row)}".strip(),
            row.figures.null,
            row.figures.control,
            _verdict(row),
        ]
        for row in chosen
    ]
    title = f"### {escape(group.threat.title)}\n\n{escape(group.threat.summary)}".strip()
    return f"{title}\n\n{table(heads, lines, right=[0, 6, 7, 8, 9])}{left}"


def _verdict(row: Row) -> str:
    parts = [f"**{VERDICT_WORDS[row.cell.verdict]}**"]
    if row.cell.accepted:
        parts[0] += ", accepted"
    parts += [escape(row.reason)] if row.reason else []
    parts += [f"flagged: {escape(', '.join(flag.name for flag in row.cell.flags))}"] if row.cell.flags else []
    return ": ".join([parts[0], "; ".join(parts[1:])]) if len(parts) > 1 else parts[0]


def _bullets(heading: str, lines: Sequence[str]) -> str:
    return heading + "\n\n" + "\n".join(f"- {escape(line)}" for line in lines) if lines else ""


def _flags(results: Results, arranged: list[Group]) -> str:
    lines = []
    for finding in findings(results, arranged):
        causes = " ".join(f"{escape(cause)} ({escape(', '.join(places))})" for cause, places in finding.causes.items())
        remedies = " ".join(escape(remedy) for remedy in finding.remedies)
        lines.append(
            f"- **{escape(finding.name.replace('_', ' '))}**: {causes} *Remedy:* {remedies} See {code(finding.page)}."
        )
    return "### Flags\n\n" + "\n".join(lines) if lines else ""


def _accepted(arranged: list[Group]) -> str:
    rows = [row for group in arranged for row in group.rows if row.cell.accepted]
    return _bullets("### Accepted findings", [f"Cell {row.number}: {row.cell.accepted}" for row in rows])


def _clean(results: Results) -> str:
    clean = clean_table(results)
    remarks = " ".join(escape(remark) for remark in clean.remarks)
    lines = [[escape(row.name), escape(row.note), *row.values] for row in clean.rows]
    heads = ["Model", "Runs", *(escape(column) for column in clean.columns)]
    body = table(heads, lines, right=range(2, len(heads)))
    return "\n\n".join(part for part in ("### The victims on clean data", remarks, body) if part)


def _protocol(results: Results) -> str:
    data = results.dataset
    parts = [
        f"{data.name}: {plural(data.users, 'user')}, {plural(data.items, 'item')}, {plural(data.rows, 'row')}",
        f"split {data.split}",
        f"seen items {'kept' if data.seen == 'keep' else 'excluded'}",
        f"{plural(data.evaluated_users, 'evaluated user')}",
        f"{data.unseen_target_share:.1%} of test items unseen in training",
    ]
    notes = (note if note.endswith((".", "!", "?")) else f"{note}." for note in data.notes)
    return "**Data and protocol.** " + escape(" ".join(["; ".join(parts) + ".", *notes]))


def _reproduce(results: Results, arranged: list[Group], *, ids: bool) -> str:
    """The commands, and under each the cells that it gives, unless there is no room for these."""
    parts = ["### How to reproduce"]
    found = commands(arranged, results.command)
    if not ids:
        parts += [fenced(command) for command in list(found)[:COMMANDS] if command]
        left = len(found) - COMMANDS
        return "\n\n".join([*parts, f"{plural(left, 'more command')} in results.json."] if left > 0 else parts)
    for command, rows in found.items():
        seeds = listed([str(seed) for seed in dict.fromkeys(seed for row in rows for seed in row.cell.seeds)])
        listing = table(["Cell", "Id"], [[str(row.number), code(row.cell.id)] for row in rows], right=[0])
        parts.append(fenced(command) if command else "")
        parts.append(
            f"<details><summary>{plural(len(rows), 'cell')}, seeds {seeds or '–'}</summary>\n\n{listing}\n\n</details>"
        )
    return "\n\n".join(part for part in parts if part)


def _environment(results: Results) -> str:
    shown = [f"{key} {value}" for key, value in results.environment.items() if not isinstance(value, dict | list)]
    versions = results.environment.get("versions")
    shown += [f"{key} {value}" for key, value in versions.items()] if isinstance(versions, dict) else []
    return "**Environment.** " + escape(", ".join(shown)) + "." if shown else ""
