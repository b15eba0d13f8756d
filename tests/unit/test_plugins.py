"""Discovery: nothing is imported by listing, a broken plugin warns and the rest work, a typo gets a suggestion."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from robust import plugins
from robust.errors import InputError, UnknownName


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    points = [
        EntryPoint("working", "robust.threat:Degrade", "robust.attacks"),
        EntryPoint("broken", "no_such_package.module:Attack", "robust.attacks"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: [p for p in points if p.group == group])
    plugins._registered.cache_clear()
    yield
    monkeypatch.undo()
    plugins._registered.cache_clear()


def test_what_this_package_ships_is_registered() -> None:
    assert {"random", "bandwagon", "substitution", "random-substitution", "pgd", "noise", "art"} <= set(
        plugins.names("attacks")
    )
    assert {"pca", "surprise", "adversarial-embeddings"} <= set(plugins.names("defenses"))


def test_a_typo_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match=r"There is no attack 'bandwagn'\. Did you mean 'bandwagon'\?") as caught:
        plugins.load("attacks", "bandwagn")
    assert caught.value.suggestion == "bandwagon"


@pytest.mark.usefixtures("third_party")
def test_a_broken_plugin_warns_and_the_rest_load() -> None:
    with pytest.warns(plugins.BrokenPlugin, match=r"'broken' \(no_such_package.module:Attack\)"):
        assert list(plugins.load_all("attacks")) == ["working"]
    with pytest.raises(InputError, match="cannot be imported: ModuleNotFoundError"):
        plugins.load("attacks", "broken")
    assert plugins.load_all("defenses") == {}


def test_listing_imports_neither_torch_nor_the_plugins() -> None:
    code = (
        "import sys; from robust import plugins; plugins.names('attacks'); "
        "sys.exit(bool({'torch', 'art', 'pandas', 'scipy', 'robust.attacks'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_art_is_not_imported_before_it_is_used() -> None:
    code = (
        "import sys; from robust import plugins; plugins.load_all('attacks')['art'](attack='DeepFool'); "
        "sys.exit('art' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0
