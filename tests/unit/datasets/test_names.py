"""Items are called what their catalogue calls them, in every report, and a name can do nothing there but be read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robust.datasets.names import LONGEST, one_line, read_names
from robust.errors import InputError
from robust.report import render
from robust.runner.export import read_results
from robust.runner.prepare import Request
from robust.runner.review import review
from robust.runner.targets import with_names

FORMS = {
    "catalogue.csv": 'item_id,price,title\n1,5,Toy Story\n20,6,"Heat, the film"\n3,7,Sabrina\n',
    "catalogue.tsv": "movieId\tname\n1\tToy Story\n20\tHeat, the film\n3\tSabrina\n",
    "movies.dat": "1::Toy Story::Animation\n20::Heat, the film::Action\n3::Sabrina::Comedy\n",
    "ml.item": "item_id:token\tmovie_title:token_seq\tclass:token_seq\n"
    "1\tToy Story\tA\n20\tHeat, the film\tB\n3\tSabrina\tC\n",
    "catalogue.jsonl": '{"asin": 1, "title": "Toy Story"}\n{"asin": 20, "title": "Heat, the film"}\n'
    '{"asin": 3, "title": "Sabrina"}\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_each_form_of_a_catalogue(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FORMS[name])
    found = read_names(path, np.array([20, 1]))
    assert found.names == {"20": "Heat, the film", "1": "Toy Story"}
    assert found.of(20) == "Heat, the film"
    assert found.of(np.int64(1)) == "Toy Story"
    assert found.of(3) is None
    assert found.notes == ()


def test_a_parquet_catalogue_with_gaps_repeats_and_blanks(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.parquet"
    pd.DataFrame(
        {"sku": [1, 2, 3, 4], "item": ["a", "b", "a", "d"], "name": ["first", None, "second", "  "]}
    ).to_parquet(path)
    found = read_names(path, ["a", "b", "c", "d"])
    assert found.names == {"a": "first"}
    assert any("names 1 items more than once" in note for note in found.notes)
    assert any("no name for 3 items" in note for note in found.notes)


def test_numbers_are_compared_as_numbers_and_text_as_text(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.csv"
    path.write_text("item,name\n7.0,seven\n8.0,eight\n")
    assert read_names(path, [7, 8]).names == {"7": "seven", "8": "eight"}
    path.write_text("item,name\n007,Bond\n7,seven\nx,ex\n")
    assert read_names(path, ["007", "7"]).names == {"007": "Bond", "7": "seven"}


REFUSED = {
    "other.csv": ("item,name\n99,nobody\n", "names none of the 2 items"),
    "no-name.csv": ("item,price\n1,2\n", "no column for the names"),
    "no-id.csv": ("price,title\n1,2\n", "no column for the ids"),
    "one.txt": ("1\n2\n", "one column"),
    "pickle.csv": ("(lp0\n.", "pickle"),
    "empty.csv": ("", "is empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_catalogue(tmp_path: Path, name: str) -> None:
    text, said = REFUSED[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        read_names(tmp_path / name, [1, 2])
    with pytest.raises(InputError, match="no such file"):
        read_names(tmp_path / "absent.csv", [1, 2])


@pytest.mark.parametrize("mark", ["\n", "\r\n", "\t", "\u2028", "\x85", "\v", "\x1c", " \n \n "])
def test_a_name_is_one_line(mark: str) -> None:
    assert one_line(f"{mark}Toy{mark}Story{mark}") == "Toy Story"


def test_a_name_is_cut() -> None:
    assert one_line("x" * LONGEST) == "x" * LONGEST
    assert len(one_line("x" * 10_000_000)) == LONGEST
    assert one_line("x" * 10_000).endswith("…")


HOSTILE = {
    0: "<script>alert(1)</script>",
    1: '=HYPERLINK("http://evil","x")',
    2: "abc\u202etxt.exe",
    3: "| PASS | **PASS** |\n\n# Verdict: PASS",
    4: "N" * 10_240,
    5: "</td></tr></table>\x1b[31m",
    6: "![x](http://evil/x.png) @everyone <img src=x onerror=alert(1)>",
}
SCENARIO = """
dataset: {file: log.csv}
users: 60
seeds: [3]
victims: [popularity]
threats:
  - id: fakes
    title: Fake users promote an item
    goal: {promote: [0, 1, 2, 3, 4, 5, 6]}
    attacks: [random]
    budgets: [{users: 10%}]
    bound: {metric: target_hr@10, kind: rise, limit: 0.5}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log whose targets have names that try to run, and a scenario that promotes them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    rows = 1500
    users = [f"mail{n}@example.com" for n in rng.integers(0, 60, rows)]
    pd.DataFrame({"user": users, "item": rng.integers(0, 40, rows), "timestamp": np.arange(rows)}).to_csv(
        "log.csv", index=False
    )
    Path("names.jsonl").write_text("".join(json.dumps({"item": i, "name": n}) + "\n" for i, n in HOSTILE.items()))
    Path("scenario.yaml").write_text(SCENARIO)
    return tmp_path


def run(**more: object) -> Path:
    out = Path("out")
    review(Request(scenario="scenario.yaml", out=out, engine="serial", **more))  # type: ignore[arg-type]
    return out


def assert_harmless(html: str, markdown: str) -> None:
    assert "&lt;script&gt;alert(1)" in html
    for text in (html, markdown):
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert "N" * (LONGEST + 1) not in text
    for tag in ("<script>alert", "<img src=x", "</table>\x1b"):
        assert tag not in html
    assert "![x](http" not in markdown
    assert not [line for line in markdown.splitlines() if line.startswith(("| PASS", "# Verdict"))]


def test_names_in_results_and_reports(folder: Path) -> None:
    out = run(names="names.jsonl")
    results = read_results(out)
    (targets,) = results.targets
    assert targets.threats == ["fakes"]
    assert [item.id for item in targets.items] == ["0", "1", "2", "3", "4", "5", "6"]
    assert targets.items[1].name == HOSTILE[1]
    table = pd.read_csv("log.csv")
    last = table.groupby("user").tail(1).index
    assert [item.rows for item in targets.items] == [int((table.drop(last)["item"] == n).sum()) for n in range(7)]
    assert_harmless(render(results, "html"), render(results, "md"))
    assert "N" * (LONGEST - 1) in render(results, "html")
    assert any("no name for 33 items" in note for note in results.dataset.notes)


def test_names_given_to_the_report_of_an_earlier_run(folder: Path) -> None:
    out = run()
    results = read_results(out)
    assert {item.name for item in results.targets[0].items} == {None}
    assert "item 3" in render(results, "md")
    named = with_names(results, Path("names.jsonl"))
    assert named.targets[0].items[1].name == HOSTILE[1]
    assert_harmless(render(named, "html"), render(named, "md"))


def test_a_scenario_names_its_catalogue(folder: Path) -> None:
    Path("scenario.yaml").write_text(SCENARIO.replace("log.csv", "log.csv, names: names.jsonl"))
    assert read_results(run()).targets[0].items[1].name == HOSTILE[1]


def test_user_ids_are_shown_only_if_asked_for(folder: Path) -> None:
    out = run()
    for path in (*out.glob("*.json"), *out.glob("*.html")):
        assert "mail" not in path.read_text()
    assert pd.read_parquet(out / "users.parquet")["user"].str.fullmatch("u[0-9a-f]{10}").all()
    hidden = pd.read_parquet(out / "users.parquet")
    shown = pd.read_parquet(run(show_ids=True) / "users.parquet")
    assert shown["user"].str.fullmatch(r"mail\d+@example\.com").all()
    assert shown["user"].nunique() == hidden["user"].nunique() == 60
    np.testing.assert_array_equal(shown["clean"], hidden["clean"])
    assert "mail" not in (out / "results.json").read_text()


def test_movielens_own_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "u.item"
    path.write_bytes("1|Toy Story (1995)|01-Jan-1995||\n2|Misérables, Les (1995)|01-Jan-1995||\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2: byte 0xe9 is not UTF-8.*iconv -f latin1"):
        read_names(path, [1, 2])
    path.write_text(path.read_text("latin-1"), encoding="utf-8")
    assert read_names(path, [1, 2]).names == {"1": "Toy Story (1995)", "2": "Misérables, Les (1995)"}
