"""The pytest plugin: scenario files as tests, options, fixtures, a section in the terminal.

Nothing heavy is imported until a test needs it: a run that has nothing to do with recommenders pays for this file and
`options.py` only.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from robust.errors import UnknownName
from robust.testing.options import add_options, once_more, options

if TYPE_CHECKING:
    from robust.log import InteractionLog
    from robust.recommenders.protocols import Recommender
    from robust.runner.results import Results

MARKER = "robust"
MARKER_ARGUMENTS = ("strict",)
SUFFIX = ".robust.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--robust-…` and `robust_…`."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line(
        "markers",
        "robust(strict=False): a test of robustness, as cells of scenario files are; strict=True: what is not decided "
        "fails.",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """`*.robust.yaml` are scenarios, one item per cell."""
    if not file_path.name.endswith(SUFFIX):
        return None
    from robust.testing.collected import RobustFile

    return RobustFile.from_parent(parent, path=file_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A marker that says what we do not know is an error, not silence."""
    for item in items:
        for marker in item.iter_markers(MARKER):
            unknown = [*map(str, marker.args), *(name for name in marker.kwargs if name not in MARKER_ARGUMENTS)]
            if unknown:
                told = UnknownName("argument of the marker 'robust',", unknown[0], MARKER_ARGUMENTS)
                raise pytest.UsageError(f"{item.nodeid}: {told}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A broken bound in its own words, without our frames and `E` before each line: it holds a test to paste."""
    report = yield
    bounds, examples = sys.modules.get("robust.bounds"), sys.modules.get("robust.counterexamples")
    ours = tuple(
        kind for kind in (getattr(bounds, "BoundBroken", None), getattr(examples, "StillBroken", None)) if kind
    )
    if (
        call.excinfo is not None
        and report.failed
        and isinstance(call.excinfo.value, ours)
        and isinstance(item, pytest.Function)
    ):
        package = Path(__file__).parents[1]
        frames = [entry for entry in call.excinfo.traceback if package not in Path(entry.path).parents]
        own = [entry for entry in frames if Path(entry.path) == item.path] or frames[-1:]
        where = "".join(f"{item.nodeid.partition('::')[0]}:{entry.lineno + 1}\n\n" for entry in own[-1:])
        plain, whole = f'python -m pytest "{item.nodeid}"', once_more(item.config, item.nodeid)
        report.longrepr = f"{where}{call.excinfo.value}".replace(plain, whole)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The worst change per threat, once any cell was reported."""
    reports = [
        report
        for group in terminalreporter.stats.values()
        for report in group
        if any(name == "robust_threat" for name, _ in getattr(report, "user_properties", ()))
    ]
    if not reports:
        return
    from robust.testing.telling import worst_per_threat

    terminalreporter.section("robustness: worst change per threat")
    rows = worst_per_threat(reports)
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False))
        terminalreporter.write_line(f"{cells}  {row[3]}".rstrip())


Made = TypeVar("Made")


def _told(make: Callable[[], Made]) -> Made:
    """What a fixture makes; the user's mistake is one message, without frames."""
    from robust.errors import RobustError

    try:
        return make()
    except RobustError as error:
        said = str(error)
    pytest.fail(said, pytrace=False)


@pytest.fixture(scope="session")
def interaction_log(pytestconfig: pytest.Config) -> InteractionLog:
    """The log of `--robust-log` (`robust_log`), else the embedded one (`flights`): real, ordered, and small."""
    from robust.datasets import load_dataset, open_log

    given = options(pytestconfig)
    if given.log is None:
        return load_dataset("flights")
    source = given.log
    return _told(lambda: open_log(source, columns=given.columns, vocabulary=given.vocabulary))


@pytest.fixture(scope="session")
def recommender(pytestconfig: pytest.Config, interaction_log: InteractionLog) -> Recommender:
    """The recommender of `--robust-model` (`robust_model`), fitted to the log's train rows unless it is already."""
    from typing import cast

    from robust.datasets import leave_last_out
    from robust.recommenders.adapt import adapt
    from robust.recommenders.protocols import Fittable
    from robust.recommenders.resolve import is_fitted, resolve

    given = options(pytestconfig)
    if given.model is None:
        pytest.fail(
            "The fixture 'recommender' needs --robust-model SPEC (or robust_model in the ini file), "
            "such as mymodel:Model; or define a fixture of this name yourself.",
            pytrace=False,
        )
    spec = given.model

    def make() -> Recommender:
        model = resolve(spec)
        if is_fitted(model):
            return adapt(model)
        return adapt(cast(Fittable, adapt(model)).fit(leave_last_out(interaction_log).train, seed=given.seed))

    return _told(make)


@pytest.fixture
def assert_bounded_degradation(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`robust.bounds.assert_bounded_degradation`, with `strict`, `seed` and `corpus` as the options say."""
    from robust import bounds

    given = options(request.config)
    marker = request.node.get_closest_marker(MARKER)
    strict = given.strict or bool(marker and marker.kwargs.get("strict"))
    return functools.partial(bounds.assert_bounded_degradation, strict=strict, seed=given.seed, corpus=given.corpus)


@pytest.fixture
def robust_review(pytestconfig: pytest.Config) -> Callable[..., Results]:
    """`robust_review("quick", model=…, log=…)` runs a whole review and gives its results.

    Steps are kept in the store of `--robust-store`; what is not given comes from the options.
    """
    from robust.runner.prepare import Request
    from robust.runner.review import review

    given = options(pytestconfig)

    def run(scenario: str = "quick", *, model: str | None = None, log: str | None = None, **more: Any) -> Results:
        asked: dict[str, Any] = {
            "out": given.store,
            "columns": given.columns,
            "vocabulary": given.vocabulary,
            "seed": given.seed,
            "workers": given.workers,
            "engine": "shared" if hasattr(pytestconfig, "workerinput") else "processes",
        }
        return review(Request(scenario=str(scenario), model=model or given.model, log=log or given.log, **asked | more))

    return run
