"""What ExampleValidator found, in words: the column, what was expected, what came, in which split, for example."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from data.csv_records import show
from modules.schema_words import (
    bounds_of,
    change_in_words,
    domain_in_words,
    labels_of,
    listed,
    presence_in_words,
    type_in_words,
    values_of,
)
from modules.staged_rows import Found, StagedRows, cells_in_words
from modules.tasks.task import Task

_Type = anomalies_pb2.AnomalyInfo
Reason: TypeAlias = anomalies_pb2.AnomalyInfo.Reason
_NUMBER = {schema_pb2.INT: re.compile(r"[+-]?\d+"), schema_pb2.FLOAT: re.compile(r"[+-]?[\d.]+([eE][+-]?\d+)?")}
# What TFDV says that the data are.
_CAME = {"STRING": schema_pb2.BYTES, "BYTES": schema_pb2.BYTES, "INT": schema_pb2.INT, "FLOAT": schema_pb2.FLOAT}
_OUT_OF_RANGE = (_Type.INT_TYPE_BIG_INT, _Type.INT_TYPE_SMALL_INT, _Type.BOOL_TYPE_BIG_INT, _Type.BOOL_TYPE_SMALL_INT)


def anomalies_in_words(
    found: anomalies_pb2.Anomalies, split: str, rows: StagedRows, told: Collection[str] = ()
) -> list[str]:
    """The anomalies of a split, one or two lines each.

    Args:
      found: with the schema that the data were held against, its `baseline`.
      rows: where examples come from.
      told: columns of labels that are known to have changed; that indices are out of range need not be said, too.
    """
    lines = []
    for column, info in sorted(found.anomaly_info.items()):
        sentences: list[str] = []
        for reason in info.reason or [Reason(short_description=info.short_description, description=info.description)]:
            if column in told and reason.type in _OUT_OF_RANGE:
                continue
            sentence = _WORDS.get(reason.type, _as_it_stands)(column, reason, found.baseline, rows)
            sentences += [] if sentence in sentences else [sentence]
        lines += [f"{split}: column {column!r}: {sentence}" for sentence in sentences]
    if found.HasField("dataset_anomaly_info"):
        lines.append(f"{split}: {_number_of_rows(found)}")
    return lines


def changed_labels(
    schema: schema_pb2.Schema, task: Task, counts: Mapping[str, Mapping[str, int]], splits: Mapping[str, StagedRows]
) -> str | None:
    """How the data's labels differ from those that a frozen schema keeps; None where they don't, or it keeps none.

    Args:
      task: with the labels of the data, in the order of their indices.
      counts: for each split, how many rows hold each label.
    """
    expected, labels = labels_of(schema), task.labels or ()
    if expected is None or expected == labels:
        return None
    column, noun = task.columns[task.label_role], f"{task.classes}s"
    line = f"column {column!r}: expected the {noun} {listed(expected)}; came {listed(labels)}"
    line += f" ({change_in_words(expected, labels)})"
    for label in [label for label in labels if label not in expected][:1]:
        in_splits = {split: count for split, of_label in counts.items() if (count := of_label.get(label, 0))}
        where = " and ".join(f"{count:,} row{'s' * (count > 1)} of {split}" for split, count in in_splits.items())
        first = next((rows.with_label(label) for split, rows in splits.items() if split in in_splits), {})
        line += f"\n    {show(label)} is in {where or 'no row'}"
        line += f", such as: {cells_in_words(first)}" if first else ""
    return line


def _missing_column(column: str, reason: Reason, schema: schema_pb2.Schema, rows: StagedRows) -> str:
    expected = _feature(schema, column)
    there = f" (there are {listed(rows.columns())})" if rows.columns() else ""
    nothing = f"there is no such column{there}" if column not in rows.columns() else "it is empty in all rows"
    return f"expected {type_in_words(expected.type)}, {presence_in_words(expected)}; {nothing}"


def _new_column(column: str, reason: Reason, schema: schema_pb2.Schema, rows: StagedRows) -> str:
    known = listed([feature.name for feature in schema.feature])
    return f"expected no such column, the schema has {known} alone; {_came(rows.find(column, bool), reason, rows)}"


def _other_type(column: str, reason: Reason, schema: schema_pb2.Schema, rows: StagedRows) -> str:
    expected, got = _feature(schema, column).type, re.search(r"got (\w+)", reason.description)
    if got is None or got[1] not in _CAME:
        return _as_it_stands(column, reason, schema, rows)
    fits = _NUMBER[expected].fullmatch if expected in _NUMBER else (lambda cell: None)
    found = rows.find(column, lambda cell: bool(cell) and not fits(cell))
    shown = f": {_cells(found, rows)} {found.how_many()}" if found.count else ""
    return f"expected {type_in_words(expected)}; came {type_in_words(_CAME[got[1]])}{shown}{found.example()}"


def _out_of_range(column: str, reason: Reason, schema: schema_pb2.Schema, rows: StagedRows) -> str:
    feature = _feature(schema, column)
    least, most = bounds_of(feature)

    def outside(cell: str) -> bool:
        if not _NUMBER[schema_pb2.INT].fullmatch(cell):
            return False
        return (least is not None and int(cell) < least) or (most is not None and int(cell) > most)

    return _outside_of_domain(feature, outside, reason, schema, rows)


def _new_text(column: str, reason: Reason, schema: schema_pb2.Schema, rows: StagedRows) -> str:
    feature = _feature(schema, column)
    known = set(values_of(feature, schema) or ())
    return _outside_of_domain(feature, lambda cell: bool(cell) and cell not in known, reason, schema, rows)


def _outside_of_domain(
    feature: schema_pb2.Feature,
    outside: Callable[[str], bool],
    reason: Reason,
    schema: schema_pb2.Schema,
    rows: StagedRows,
) -> str:
    expected = domain_in_words(feature, schema)
    if expected is None:
        return _as_it_stands(feature.name, reason, schema, rows)
    return f"expected {expected}; {_came(rows.find(feature.name, outside), reason, rows)}"


def _too_few_values(column: str, reason: Reason, schema: schema_pb2.Schema, rows: StagedRows) -> str:
    feature, found = _feature(schema, column), rows.find(column, lambda cell: not cell)
    asked = "in every row" if feature.HasField("shape") else presence_in_words(feature)
    came = f"it is empty {found.how_many()}{found.example()}" if found.count else _essence(reason)
    return f"expected a value {asked}; {came}"


def _as_it_stands(column: str, reason: Reason, schema: schema_pb2.Schema, rows: StagedRows) -> str:
    """What TFDV says of it."""
    return ": ".join(part for part in (reason.short_description, reason.description.strip()) if part)


def _number_of_rows(found: anomalies_pb2.Anomalies) -> str:
    asked, came = found.baseline.dataset_constraints, found.dataset_anomaly_info.description
    number = re.search(r"\d+", came)
    limits = [("at least", asked.min_examples_count), ("at most", asked.max_examples_count)]
    expected = " and ".join(f"{word} {limit:,}" for word, limit in limits if limit)
    return f"expected {expected} rows; came {int(number[0]):,}" if number and expected else came


_Words = Callable[[str, Reason, schema_pb2.Schema, StagedRows], str]
_WORDS: dict[int, _Words] = {
    _Type.SCHEMA_MISSING_COLUMN: _missing_column,
    _Type.FEATURE_TYPE_NOT_PRESENT: _missing_column,
    _Type.SCHEMA_NEW_COLUMN: _new_column,
    _Type.UNEXPECTED_DATA_TYPE: _other_type,
    **dict.fromkeys(_OUT_OF_RANGE, _out_of_range),
    _Type.ENUM_TYPE_UNEXPECTED_STRING_VALUES: _new_text,
    _Type.INVALID_FEATURE_SHAPE: _too_few_values,
    _Type.FEATURE_TYPE_LOW_FRACTION_PRESENT: _too_few_values,
    _Type.FEATURE_TYPE_LOW_NUMBER_PRESENT: _too_few_values,
}


def _feature(schema: schema_pb2.Schema, column: str) -> schema_pb2.Feature:
    return next((feature for feature in schema.feature if feature.name == column), schema_pb2.Feature(name=column))


def _came(found: Found, reason: Reason, rows: StagedRows) -> str:
    return f"came {_cells(found, rows)} {found.how_many()}{found.example()}" if found.count else _essence(reason)


def _cells(found: Found, rows: StagedRows) -> str:
    """The different cells that were found, the first of them: numbers bare, of labels also what they stand for."""
    task, column = rows.task, found.column
    shown = []
    for cell, row in found.values.items():
        text = cell if _NUMBER[schema_pb2.FLOAT].fullmatch(cell) else show(cell)
        is_index = column == task.columns[task.label_role] and column in task.bounds()
        shown.append(f"{text} ({listed(task.classes_of(row))})" if is_index and cell.isdigit() else text)
    return ", ".join(shown)


def _essence(reason: Reason) -> str:
    return reason.description.strip().removesuffix(".") or reason.short_description
