"""`candor contact import`: files as spreadsheets and mail systems write them, and every way they can be wrong."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.commands import Installation, Result
from support.tracking import dump, say

from tracker.contactfile import ContactFile, Refused
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.importing import Import
from tracker.store.register import MOST_CHANGES, Effect, Source

NOTHING = {"changed": 0, "unchanged": 0, "not_effective": 0, "refused": 0, "refusals": []}


@pytest.fixture
def candor(store_url: str, tmp_path: Path) -> Installation:
    return Installation(tmp_path, store_url)


def imported(candor: Installation, content: bytes | str, *options: str) -> Result:
    file = candor.folder / "people.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return candor.call("contact", "import", file, *options)


def held(candor: Installation, address: str) -> dict[str, object]:
    found: dict[str, object] = candor.call("contact", "show", address, "--json").json
    return found


def test_a_plain_file_is_taken_over(candor: Installation) -> None:
    said = imported(
        candor,
        "email,tracking_consent,do_not_track,country,group,as_of,evidence,shoe size\r\n"
        "Joe@People.Example,granted,false,fr,sales,2026-05-01T12:00:00+02:00,https://shop.example/form,43\r\n"
        'ann@people.example,denied,true,,"North, and South",,,\r\n',
    )
    assert (said.code, said.err) == (0, "")
    for line in ("│ read          │ 2", "│ changed       │ 2", "│ refused       │ 0"):
        assert line in said.out
    joe, ann = held(candor, "joe@people.example"), held(candor, "ann@people.example")
    assert (joe["tracking_consent"], joe["do_not_track"], joe["country"]) == ("granted", "false", "FR")
    assert (joe["consent_as_of"], joe["consent_source"]) == ("2026-05-01T10:00:00.000Z", "import")
    assert (joe["group"], joe["attributes"]) == ("sales", {"shoe size": "43"})
    assert (ann["tracking_consent"], ann["do_not_track"]) == ("denied", "true")
    assert (ann["group"], ann["country"], ann["attributes"]) == ("North, and South", None, {})
    ledger = str(candor.prepare(dump)["consent_ledger"])
    assert '"evidence":{"reference":"https://shop.example/form"}' in ledger


SPELLINGS = {
    "comma": b"address,tracking_consent\njoe@x.example,granted\n",
    "semicolon": b"address;tracking_consent\njoe@x.example;granted\n",
    "tab": b"address\ttracking_consent\njoe@x.example\tgranted\n",
    "BOM": b"\xef\xbb\xbfaddress;tracking_consent\r\njoe@x.example;granted\r\n",
    "no line end at the end": b"address,tracking_consent\njoe@x.example,granted",
    "line ends of old": b"address,tracking_consent\rjoe@x.example,granted\r",
    "everything quoted": b'"address","tracking_consent"\n"joe@x.example","granted"\n',
    "blanks and capitals": b" Address , TRACKING_consent \n joe@x.example , granted \n",
    "blank lines": b"address,tracking_consent\n\n\n,\njoe@x.example,granted\n\n",
    "called email": b"tracking_consent,E-Mail\ngranted,joe@x.example\n",
    "columns without a name": b"address;tracking_consent;;\njoe@x.example;granted;;\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_every_spelling_of_a_table_is_read(spelling: str, candor: Installation) -> None:
    said = imported(candor, SPELLINGS[spelling], "--json")
    assert (said.code, said.json) == (0, NOTHING | {"read": 1, "changed": 1})
    assert held(candor, "joe@x.example")["tracking_consent"] == "granted"


def test_an_empty_do_not_track_means_false_and_a_missing_column_leaves_alone(candor: Installation) -> None:
    imported(candor, "address,do_not_track,group\na@x.example,true,sales\nb@x.example,true,sales\n")
    imported(candor, "address,do_not_track\na@x.example,\n")
    imported(candor, "address,group\nb@x.example,\n")
    a, b = held(candor, "a@x.example"), held(candor, "b@x.example")
    assert (a["do_not_track"], a["group"]) == ("false", "sales")
    assert (b["do_not_track"], b["group"]) == ("true", "sales")


def test_refused_rows_are_named_by_their_line_and_cost_only_themselves(candor: Installation) -> None:
    said = imported(
        candor,
        "address,tracking_consent,note\n"
        "a@x.example,granted,fine\n"  # 2
        "b@x.example,yes,\n"  # 3
        "no-address,granted,\n"  # 4
        "\n"
        'c@x.example,granted,"over\n'  # 6
        'three\nlines"\n'
        "d@x.example,granted\n"  # 9
        'e@x.example,"granted"!,\n'  # 10
        "f@x.example,granted,nul \0\n"  # 11
        ",granted,\n"  # 12
        "g@x.example,denied,\n",
    )
    assert said.code == 1
    lines = {int(line.split(":")[1]): line for line in said.err.splitlines()}
    assert list(lines) == [3, 4, 9, 10, 11, 12]
    assert "'yes' is not one of granted, denied, withdrawn, unknown" in lines[3]
    assert "'no-address'" in lines[4]
    assert "2 cells under 3 columns" in lines[9]
    assert "not CSV" in lines[10]
    assert "NUL" in lines[11]
    assert all(line.startswith(f"{candor.folder / 'people.csv'}:") for line in lines.values())
    assert held(candor, "c@x.example")["attributes"] == {"note": "over\nthree\nlines"}
    assert held(candor, "g@x.example")["tracking_consent"] == "denied"
    again = imported(candor, (candor.folder / "people.csv").read_bytes(), "--json")
    assert [one["line"] for one in again.json["refusals"]] == [3, 4, 9, 10, 11, 12]
    assert (again.json["read"], again.json["unchanged"], again.json["refused"]) == (9, 3, 6)


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_quote_that_is_never_closed_is_named_where_it_opens(candor: Installation) -> None:
    said = imported(candor, 'address,note\na@x.example,x\nb@x.example,"y\nc@x.example,z\n', "--json")
    assert said.code == 1
    (refusal,) = said.json["refusals"]
    assert refusal["line"] == 3
    assert "line 4" in refusal["reason"]
    assert said.json["changed"] == 1


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_only_the_first_refusals_are_printed(candor: Installation) -> None:
    said = imported(candor, "address\n" + "nobody\n" * 60)
    assert len(said.err.splitlines()) == 51
    assert "and 10 more" in said.err


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_refused_rows_are_written_with_line_reason_and_cells_for_their_owner_only(
    candor: Installation,
) -> None:
    candor.prepare(lambda domain: say(domain, "joe@x.example", "denied", source=Source.PREFERENCE_PAGE))
    file = candor.folder / "refused.csv"
    content = 'address,tracking_consent,note\njoe@x.example,granted,"a, b"\nnobody,granted,\nann@x.example,granted,\n'
    said = imported(candor, content, "--refused", str(file))
    assert said.code == 1
    assert file.stat().st_mode & 0o777 == 0o600
    header, *rows = list(csv.reader(io.StringIO(file.read_text("utf-8"), newline="")))
    assert header == ["candor_line", "candor_reason", "address", "tracking_consent", "note"]
    by_line = {row[0]: row for row in rows}
    assert sorted(by_line) == ["2", "3"]
    assert by_line["2"][2:] == ["joe@x.example", "granted", "a, b"]
    assert "not effective" in by_line["2"][1]
    assert "'nobody'" in by_line["3"][1]


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_list_of_refused_rows_is_corrected_and_imported(candor: Installation) -> None:
    file = candor.folder / "refused.csv"
    imported(
        candor,
        "address,tracking_consent,note\njoe@x.example,yes,a\nann@x.example,no,b\n",
        "--refused",
        str(file),
    )
    imported(candor, file.read_text("utf-8").replace(",yes,", ",granted,"), "--refused", str(file))
    joe = held(candor, "joe@x.example")
    assert (joe["tracking_consent"], joe["attributes"]) == ("granted", {"note": "a"})
    header, *rows = list(csv.reader(io.StringIO(file.read_text("utf-8"), newline="")))
    assert header == ["candor_line", "candor_reason", "address", "tracking_consent", "note"]
    assert [row[2:] for row in rows] == [["ann@x.example", "no", "b"]]
    assert imported(candor, file.read_text("utf-8").replace(",no,", ",denied,")).code == 0
    assert held(candor, "ann@x.example")["attributes"] == {"note": "b"}


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_refused_rows_that_cannot_be_written_are_known_before_anything_is_changed(
    candor: Installation,
) -> None:
    before = candor.prepare(dump)
    said = imported(candor, "address\na@x.example\n", "--refused", str(candor.folder / "no" / "folder.csv"))
    assert (said.code, said.out) == (1, "")
    assert "cannot be written" in said.err
    assert candor.prepare(dump) == before


def test_an_interrupted_import_goes_on_where_it_stopped(candor: Installation) -> None:
    rows = [f"p{number}@x.example,granted,form {number}\n" for number in range(1000)]
    rows[10] = "nobody,granted,\n"
    content = "address,tracking_consent,evidence\n" + "".join(rows)
    file = candor.folder / "people.csv"
    file.write_text(content)

    async def interrupted(domain: Domain) -> None:
        class Cut(Exception):
            pass

        def advance(_octets: int) -> None:
            if task.counted.effects[Effect.CHANGED]:
                raise Cut

        task = Import(domain, ContactFile(file), actor="test", refused=lambda one: None, advance=advance)
        with pytest.raises(Cut):
            await task.run()

    candor.prepare(interrupted)
    once = len(candor.prepare(dump)["consent_ledger"])
    assert 0 < once < 999
    said = candor.call("contact", "import", file, "--resume", "--json")
    assert (said.code, said.json["taken_before"], said.json["changed"]) == (1, once, 999 - once)
    assert (said.json["read"], said.json["unchanged"], said.json["refused"]) == (1000, 0, 1)
    before = candor.prepare(dump)
    assert len(before["consent_ledger"]) == 999
    again = candor.call("contact", "import", file, "--resume", "--json")
    assert (again.json["taken_before"], again.json["changed"], again.json["refused"]) == (999, 0, 1)
    assert candor.prepare(dump) == before
    file.write_text(content.replace("form 7\n", "form seven\n"))  # another file, then
    assert candor.call("contact", "import", file, "--resume", "--json").json["taken_before"] == 0


def test_a_dry_run_reads_everything_and_changes_nothing(candor: Installation) -> None:
    content = "address,tracking_consent\na@x.example,granted\nb@x.example,maybe\n"
    before = candor.prepare(dump)
    said = imported(candor, content, "--dry-run", "--json")
    assert said.code == 1
    assert said.json["refusals"][0]["line"] == 3
    assert {key: said.json[key] for key in ("read", "refused", "changed")} == {
        "read": 2,
        "refused": 1,
        "changed": 0,
    }
    assert "Nothing was changed (dry run)" in imported(candor, content, "--dry-run").out
    assert candor.prepare(dump) == before


def test_what_does_not_take_effect_is_reported(candor: Installation) -> None:
    candor.prepare(lambda domain: say(domain, "joe@x.example", "denied", source=Source.PREFERENCE_PAGE))
    said = imported(candor, "address,tracking_consent\njoe@x.example,granted\n", "--json")
    assert (said.code, said.json["not_effective"], said.json["changed"]) == (1, 1, 0)
    assert held(candor, "joe@x.example")["tracking_consent"] == "denied"


LIFTING = {
    # columns, cells: consent and do_not_track afterwards, where the person chose "withdrawn" and "true" on their page
    "evidence of no time": ("tracking_consent,evidence", "granted,form 1", "withdrawn", "true"),
    "an empty cell": ("do_not_track", "", "withdrawn", "true"),
    "an empty cell beside evidence": ("do_not_track,evidence", ",form 1", "withdrawn", "true"),
    "an empty cell beside later evidence": (
        "tracking_consent,do_not_track,evidence,as_of",
        "granted,,form 1,{later}",
        "granted",
        "true",
    ),
    "a word with evidence of no time": ("do_not_track,evidence", "false,form 1", "withdrawn", "true"),
    "a word with later evidence": (
        "do_not_track,evidence,as_of",
        "false,form 1,{later}",
        "withdrawn",
        "false",
    ),
    "a word with evidence that is later for it only": (
        "tracking_consent,do_not_track,evidence,do_not_track_as_of",
        "granted,false,form 1,{later}",
        "withdrawn",
        "false",
    ),
    "a word with earlier evidence": (
        "tracking_consent,do_not_track,evidence,as_of",
        "granted,false,form 1,2020-01-01T00:00:00Z",
        "withdrawn",
        "true",
    ),
}


@pytest.mark.parametrize("case", LIFTING)
@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_file_lifts_a_person_s_own_choice_only_by_name_and_with_later_evidence(
    candor: Installation, case: str
) -> None:
    columns, cells, consent, do_not_track = LIFTING[case]
    candor.prepare(
        lambda domain: say(domain, "joe@x.example", "withdrawn", "true", source=Source.PREFERENCE_PAGE)
    )
    cells = cells.format(later=datetime.now(UTC).isoformat())
    said = imported(candor, f"address,{columns}\njoe@x.example,{cells}\n", "--json")
    joe = held(candor, "joe@x.example")
    assert (joe["tracking_consent"], joe["do_not_track"]) == (consent, do_not_track)
    whole = case == "a word with later evidence"  # it says nothing of consent
    assert (said.json["changed"], said.json["not_effective"]) == (whole, not whole)


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_the_same_file_again_changes_nothing(candor: Installation) -> None:
    content = "address,tracking_consent,do_not_track\njoe@x.example,granted,\n"
    imported(candor, content)
    before = candor.prepare(dump)
    assert imported(candor, content, "--json").json == NOTHING | {"read": 1, "unchanged": 1}
    after = candor.prepare(dump)
    assert {**after, "imports": before["imports"]} == before


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_file_larger_than_a_batch_is_imported_whole(candor: Installation) -> None:
    number = MOST_CHANGES + 3
    rows = "".join(f"p{n}@x.example,granted\n" for n in range(number))
    said = imported(candor, "address,tracking_consent\n" + rows, "--json")
    assert said.json == NOTHING | {"read": number, "changed": number}
    assert held(candor, f"p{number - 1}@x.example")["tracking_consent"] == "granted"


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_columns_that_only_look_like_ours_are_attributes(candor: Installation) -> None:
    said = imported(candor, "line,reason,email,address\n7,gift,joe@y.example,joe@x.example\n")
    assert said.err == "candor: addresses are read from the column address; email becomes an attribute\n"
    attributes = {"line": "7", "reason": "gift", "email": "joe@y.example"}
    assert held(candor, "joe@x.example")["attributes"] == attributes


def test_a_dry_run_needs_no_store_and_makes_none(tmp_path: Path) -> None:
    candor = Installation(tmp_path, f"sqlite:///{tmp_path}/none.db")
    said = imported(candor, "address,tracking_consent\nann@x.example,granted\n", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "│ read    │ 1" in said.out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["candor.toml", "people.csv"]


REFUSED_FILES = {
    "empty": (b"", "no column named address or email; found: none"),
    "without an address": (b"name,country\nx,y\n", "no column named address or email; found: name, country"),
    "a column twice": (b"address,group,Group\na@x.example,a,b\n", "stands there twice: group"),
    "Latin-1": ("address,name\na@x.example,Björn\n".encode("latin-1"), ":2: not UTF-8"),
    "UTF-16": ("address\na@x.example\n".encode("utf-16"), ":1: not UTF-8 but UTF-16; save it as"),
    "UTF-16 without its mark": (
        "address\na@x.example\n".encode("utf-16-be"),
        ":1: not UTF-8 but UTF-16; save it as",
    ),
    "the other way round": (
        "address\na@x.example\n".encode("utf-16-le"),
        ":1: not UTF-8 but UTF-16; save it as",
    ),
    "Windows-1252": (
        "address,name\na@x.example,“Jö”\n".encode("cp1252"),
        ":2: not UTF-8 (invalid start byte)",
    ),
    "UTF-8 that ends too soon": ("address\na@x.example\nü".encode()[:-1], ":3: not UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", ":1: not UTF-8"),
    "zeros": (bytes(1000), "no column named address"),
    "one line without end": (b"address" + b"x" * (1 << 20), "a first line of more than"),
    "a header that is no CSV": (b'"address"x,y\n', ":1: not CSV"),
    "a header that steers": (b"\x1b[2J,y\n", "no column named address or email; found: ·[2j, y"),
}


@pytest.mark.parametrize("what", REFUSED_FILES)
@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_file_that_is_no_table_is_refused_as_a_whole(what: str, candor: Installation) -> None:
    content, reason = REFUSED_FILES[what]
    said = imported(candor, content)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"candor: {candor.folder / 'people.csv'}:")
    assert reason in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_wrong_encoding_late_in_a_file_is_found_before_anything_is_changed(candor: Installation) -> None:
    rows = b"".join(b"p%d@x.example,sales\n" % number for number in range(MOST_CHANGES + 10))
    before = candor.prepare(dump)
    said = imported(candor, b"address,group\n" + rows + b"q@x.example,caf\xe9\n")
    assert said.code == 2
    assert f":{MOST_CHANGES + 12}: not UTF-8" in said.err
    assert candor.prepare(dump) == before


def test_who_is_listed_as_csv_is_read_back_and_nothing_changes(candor: Installation) -> None:
    candor.prepare(lambda domain: say(domain, "eve@x.example", "withdrawn", source=Source.PREFERENCE_PAGE))
    imported(
        candor,
        "address,tracking_consent,as_of,do_not_track,do_not_track_as_of,country,group,shoe size\n"
        'joe@x.example,granted,2026-05-01T12:00:00.123456Z,true,2026-04-01T12:00:00Z,fr,"a ""b"", c",43\n'
        "ann@x.example,unknown,,unset,,,,\n"
        "jörg@x.example,,,unset,,IT,,\n",
    )
    candor.prepare(lambda domain: domain.erasure.erase("gone@x.example", actor="test", now=datetime.now(UTC)))
    file = candor.folder / "all.csv"
    said = candor.call("contact", "list", "-o", file)
    assert (said.code, said.out, said.err) == (0, "", f"4 people in {file}\n")
    assert file.stat().st_mode & 0o777 == 0o600
    listed = {row["address"]: row for row in csv.DictReader(io.StringIO(file.read_text("utf-8"), newline=""))}
    assert listed["joe@x.example"]["do_not_track_as_of"] == "2026-04-01T12:00:00+00:00"
    assert (listed["jörg@x.example"]["tracking_consent"], listed["jörg@x.example"]["do_not_track"]) == (
        "",
        "unset",
    )
    assert candor.call("contact", "list", "--csv").out == file.read_text("utf-8")
    before = candor.prepare(dump)
    again = candor.call("contact", "import", file, "--json")
    assert (again.code, again.json["changed"], again.json["unchanged"]) == (0, 0, 4)
    assert {**candor.prepare(dump), "imports": before["imports"]} == before
    assert "joe@x.example" in candor.call("contact", "list").out


# --- any file at all ---

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    notes=st.lists(st.tuples(CELL, st.booleans()), max_size=8),
    delimiter=st.sampled_from(",;\t"),
    bom=st.booleans(),
)
def test_what_a_spreadsheet_wrote_is_read_back_with_the_right_lines(
    notes: list[tuple[str, bool]], delimiter: str, bom: bool, tmp_path: Path
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["address", "note"])
    lines = []
    for note, right in notes:
        lines.append(len(list(io.StringIO(out.getvalue(), newline=""))) + 1)
        writer.writerow(["a@x.example" if right else "nobody", note])
    file = tmp_path / "people.csv"
    file.write_bytes((b"\xef\xbb\xbf" if bom else b"") + out.getvalue().encode())
    rows = [row for _, _, row in ContactFile(file).rows(datetime.now(UTC))]
    expected: list[object] = [
        (note.strip() if right else line) for (note, right), line in zip(notes, lines, strict=True)
    ]
    found = [row.line if isinstance(row, Refused) else row.attributes.get("note", "") for row in rows]
    assert found == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=200), st.binary(max_size=200).map(lambda rest: b"address,a\n" + rest)
    )
)
def test_any_file_is_read_or_refused_and_nothing_worse(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(content)
    try:
        for _, _, row in ContactFile(file).rows(datetime.now(UTC)):
            assert not isinstance(row, Refused) or row.line >= 2
    except InvalidValue as error:
        if not str(error).startswith(f"{file}:"):
            raise
