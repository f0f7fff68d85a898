"""In what two schemas differ, in words."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from modules.schema_words import (
    LABELS,
    change_in_words,
    domain_in_words,
    labels_of,
    listed,
    presence_in_words,
    type_in_words,
)

_IN_WORDS = ("name", "type", "presence", "domain", "int_domain", "bool_domain", "string_domain")
ABSENT = "not there"


class Difference(NamedTuple):
    """What one of the schemas says of a column and the other says otherwise, or not at all; "" is not at all."""

    column: str
    what: str
    frozen: str
    now: str

    def in_words(self) -> str:
        return f"{self.column}, {self.what}: frozen {self.frozen or ABSENT}; now {self.now or ABSENT}"


def differences(frozen: schema_pb2.Schema, now: schema_pb2.Schema) -> list[Difference]:
    """What differs, column by column, a column of one schema alone as a whole; comments and order are of no matter."""
    facts = facts_of(frozen), facts_of(now)
    columns = [{feature.name for feature in schema.feature} for schema in (frozen, now)]
    found: list[Difference] = []
    for column in sorted(columns[0] ^ columns[1]):
        cells = [", ".join(of_one.get((column, what), "") for what in ("type", "rows")) for of_one in facts]
        found.append(Difference(column, "column", *("" if cell == ", " else cell for cell in cells)))
    for column, what in dict.fromkeys([*facts[0], *facts[1]]):
        cells = [of_one.get((column, what), "") for of_one in facts]
        if column not in columns[0] ^ columns[1] and cells[0] != cells[1]:
            found.append(Difference(column, what, *cells))
    return [*found, *_label_differences(frozen, now)]


def facts_of(schema: schema_pb2.Schema) -> dict[tuple[str, str], str]:
    """All that a schema says, but for the labels: by column (or part of the schema) and what it is about."""
    facts: dict[tuple[str, str], str] = {}
    for feature in schema.feature:
        facts[feature.name, "type"] = type_in_words(feature.type)
        facts[feature.name, "rows"] = presence_in_words(feature)
        values = domain_in_words(feature, schema)
        if values is not None:
            facts[feature.name, "values"] = values
        for descriptor, _ in feature.ListFields():
            if descriptor.name not in _IN_WORDS:
                facts[feature.name, descriptor.name] = _one_field(feature, descriptor.name)
    referred_to = {LABELS, *(feature.domain for feature in schema.feature)}
    for domain in schema.string_domain:
        if domain.name not in referred_to:
            facts[f"string_domain {domain.name}", "values"] = f"one of {listed(domain.value)}"
    for descriptor, _ in schema.ListFields():
        if descriptor.name not in ("feature", "string_domain"):
            facts["the whole", descriptor.name] = _one_field(schema, descriptor.name)
    return facts


def _one_field(message: schema_pb2.Schema | schema_pb2.Feature, name: str) -> str:
    """A field in protobuf's own words, on a line."""
    alone = type(message)()
    alone.CopyFrom(message)
    for descriptor, _ in message.ListFields():
        if descriptor.name != name:
            alone.ClearField(descriptor.name)
    return text_format.MessageToString(alone, as_one_line=True, as_utf8=True)


def _label_differences(frozen: schema_pb2.Schema, now: schema_pb2.Schema) -> list[Difference]:
    before, after = labels_of(frozen), labels_of(now)
    if before == after:
        return []
    if before is None or after is None:
        return [Difference(LABELS, "labels", listed(before or ()), listed(after or ()))]
    return [Difference(LABELS, "labels", listed(before), f"{listed(after)} ({change_in_words(before, after)})")]
