"""A column that is not found: the message gives the mapping to type, and typing it reads the file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from robust.datasets import open_log
from robust.datasets.columns import parse_columns
from robust.errors import InputError, UnknownName

PROPOSED = {
    "visitor,sku,at\n7,8,9\n": "user=visitor,item=sku,timestamp=at",
    "accountId,rating,contentId,createdAt\n7,5,8,9\n": "user=accountId,item=contentId,timestamp=createdAt",
    "SKU,WHO,AT\n8,7,9\n": "user=WHO,item=SKU,timestamp=AT",
    "a,b,c\n7,8,9\n": "user=a,item=b,timestamp=c",
    "7,8,9\n": "user=1,item=2,timestamp=3",
    "user,thing,ts\n7,8,9\n": "item=thing",
    "the visitor,sku\n7,8\n": "user=the visitor,item=sku",
}


@pytest.mark.parametrize(("content", "mapping"), PROPOSED.items(), ids=PROPOSED.values())
def test_the_mapping_that_is_proposed_reads_the_file(tmp_path: Path, content: str, mapping: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(InputError, match="no column for") as refused:
        open_log(path)
    said = re.search(r"such as (--columns .*)\.$", str(refused.value))
    assert said is not None, refused.value
    option, typed = shlex.split(said[1])
    assert (option, typed) == ("--columns", mapping)
    log = open_log(path, columns=parse_columns(typed))
    assert log.user_ids is not None
    assert log.item_ids is not None
    assert (log.user_ids.tolist(), log.item_ids.tolist()) == ([7], [8])
    assert log.timestamp.tolist() == ([9] if "9" in content else [0])


def test_what_was_given_is_proposed_again(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("who,what,what,sku,at\n1,2,3,4,5\n")
    with pytest.raises(InputError, match="such as --columns user=who,item=sku,timestamp=at"):
        open_log(path, columns={"timestamp": "at"})


def test_too_few_columns_are_no_log(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("Summary\n=======\n")
    with pytest.raises(InputError, match=r"Its columns: Summary\. Expected a table with a row per interaction"):
        open_log(path)


def test_names_where_there_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "u.data"
    path.write_text("196\t242\t3\t881250949\n")
    with pytest.raises(UnknownName, match=r"no header, so that its columns are called by place\) 'user'.*1, 2, 3, 4"):
        open_log(path, columns={"user": "user"})
