"""A frozen schema as a file: read with its faults told, written whole; and what differs between two."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from pipeline.schema_diff import differences
from pipeline.schema_file import SchemaError, keep_schema, read_schema, without_span, write_schema

SCHEMA = """
feature { name: "label" type: INT int_domain { min: 0 max: 1 } presence { min_fraction: 1 min_count: 1 } }
feature { name: "text" type: BYTES presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } } }
string_domain { name: "data.labels" value: "no" value: "yes" }
"""


def parsed(text: str = SCHEMA) -> schema_pb2.Schema:
    return text_format.Parse(text, schema_pb2.Schema())


def compared(frozen: str, now: str) -> list[str]:
    return [change.in_words() for change in differences(parsed(frozen), parsed(now))]


def test_what_is_written_is_read_back_with_its_header_as_comments(tmp_path: Path) -> None:
    file = tmp_path / "data" / "schemas" / "mine.pbtxt"
    schema = parsed(SCHEMA.replace("yes", "ja, größer"))
    write_schema(schema, file, "Who: me.\n\nWhen: now.")
    assert read_schema(file) == schema
    assert file.read_text(encoding="utf-8").splitlines()[:3] == ["# Who: me.", "#", "# When: now."]
    assert "größer" in file.read_text(encoding="utf-8")
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('feature {\n  name: "text"\n  tipe: BYTES\n}', ':3:3: this is no schema: .*"tipe"'),
        ('feature {\n  name: "text"', r":\d+.*this is no schema"),
        ("text,label\nfine,1", ":1:1: this is no schema: .*no field named .text.: mend"),
        ("", "describes no column"),
        ('feature { name: "text" }', "'text' needs a name and a type"),
        ('feature { name: "a" type: INT } feature { name: "a" type: INT }', "the column 'a' is there 2 times"),
        ('feature { name: "a" type: BYTES domain: "langs" }', "'a' has the domain 'langs', which no string_domain is"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(content: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.pbtxt"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SchemaError, match=told) as raised:
        read_schema(file)
    assert str(raised.value).startswith(str(file))
    assert str(raised.value).endswith("mend it, or write it anew: tfx-bert schema freeze CONFIG --force")


def test_a_file_in_another_encoding_and_none_at_all_are_clear_errors_too(tmp_path: Path) -> None:
    (tmp_path / "latin.pbtxt").write_bytes('feature { name: "größe" }'.encode("latin-1"))
    with pytest.raises(SchemaError, match=r"latin\.pbtxt: this is no schema, it is not UTF-8 \(byte 19\)"):
        read_schema(tmp_path / "latin.pbtxt")
    with pytest.raises(SchemaError, match=r"data\.schema_file: .*gone\.pbtxt cannot be read \(No such file"):
        read_schema(tmp_path / "gone.pbtxt")


def test_a_schema_is_kept_under_a_name_that_changes_with_what_it_says_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.pbtxt"
    names = []
    for text in (SCHEMA, f"# a comment\n{SCHEMA}", SCHEMA.replace("max: 1", "max: 2")):
        file.write_text(text, encoding="utf-8")
        kept = keep_schema(str(file), tmp_path / "output")
        assert kept is not None
        assert read_schema(Path(kept)) == parsed(text)
        names.append(kept)
    assert names[0] == names[1] != names[2]
    assert keep_schema(None, tmp_path) is None


def test_a_write_that_fails_leaves_the_file_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.pbtxt"
    write_schema(parsed(), file)
    before = file.read_bytes()

    def dying(*_: object, **__: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", dying)
    with pytest.raises(OSError, match="disk full"):
        write_schema(parsed(SCHEMA.replace("max: 1", "max: 2")), file)
    assert file.read_bytes() == before


def test_equal_schemas_differ_in_nothing_whatever_their_order() -> None:
    lines = SCHEMA.strip().split("\n")
    assert compared(SCHEMA, "\n".join(reversed(lines))) == []


def test_each_change_is_told_with_both_sides() -> None:
    assert compared(SCHEMA, SCHEMA.replace("max: 1", "max: 2").replace('value: "yes"', 'value: "ja" value: "yes"')) == [
        "label, values: frozen whole numbers from 0 to 1; now whole numbers from 0 to 2",
        "data.labels, labels: frozen 'no', 'yes'; now 'no', 'ja', 'yes' (new: 'ja')",
    ]
    assert compared(SCHEMA, SCHEMA.replace("BYTES", "INT")) == [
        "text, type: frozen text (BYTES); now whole numbers (INT)"
    ]
    assert compared(SCHEMA, SCHEMA.replace('"text"', '"body"')) == [
        "body, column: frozen not there; now text (BYTES), in every row",
        "text, column: frozen text (BYTES), in every row; now not there",
    ]
    optional = SCHEMA.replace("min_fraction: 1 min_count: 1 } shape { dim { size: 1 } }", "min_count: 1 }")
    assert compared(SCHEMA, optional) == [
        "text, rows: frozen in every row; now not in every row",
        "text, shape: frozen shape { dim { size: 1 } }; now not there",
    ]


def test_what_a_reviewer_wrote_by_hand_is_told_too() -> None:
    by_hand = SCHEMA.replace('name: "text" type: BYTES', 'name: "text" type: BYTES domain: "texts"')
    by_hand += 'string_domain { name: "texts" value: "a" } string_domain { name: "spare" value: "b" }'
    assert compared(by_hand + "dataset_constraints { min_examples_count: 9 }", SCHEMA) == [
        "text, values: frozen one of 'a'; now not there",
        "string_domain spare, values: frozen one of 'b'; now not there",
        "the whole, dataset_constraints: frozen dataset_constraints { min_examples_count: 9 }; now not there",
    ]


def test_labels_in_another_order_and_labels_on_one_side_alone_are_told() -> None:
    swapped = SCHEMA.replace('value: "no" value: "yes"', 'value: "yes" value: "no"')
    assert compared(SCHEMA, swapped) == [
        "data.labels, labels: frozen 'no', 'yes'; now 'yes', 'no' (in another order: 'yes', 'no')"
    ]
    without = "\n".join(SCHEMA.strip().split("\n")[:2])
    assert compared(without, SCHEMA) == ["data.labels, labels: frozen not there; now 'no', 'yes'"]


def test_of_many_labels_the_changed_ones_are_named() -> None:
    many = [f"intent {number:02}" for number in range(77)]
    frozen, now = ("".join(f' value: "{label}"' for label in labels) for labels in (many, [*many[:50], *many[51:]]))
    base = SCHEMA.replace(' value: "no" value: "yes"', "{}")
    [told] = differences(parsed(base.replace("{}", frozen)), parsed(base.replace("{}", now)))
    assert told.frozen.endswith("'intent 09' and 67 more")
    assert told.now.endswith("'intent 09' and 66 more (gone: 'intent 50')")


def test_beside_new_data_the_frozen_schema_also_has_their_column_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "frozen.pbtxt"
    file.write_text(SCHEMA, encoding="utf-8")
    kept = keep_schema(str(file), tmp_path, by_span=True)
    assert kept is not None
    schema = read_schema(Path(kept))
    added = [feature for feature in schema.feature if feature.name == "span"]
    assert [list(feature.string_domain.value) for feature in added] == [["old", "new"]]
    assert differences(parsed(SCHEMA), without_span(schema)) == []
    assert keep_schema(str(file), tmp_path) != kept
    assert file.read_text(encoding="utf-8") == SCHEMA
