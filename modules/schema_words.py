"""A schema's rules in words, for anomalies and for `tfx-bert schema`. Imports no TensorFlow."""

from collections.abc import Sequence

from tensorflow_metadata.proto.v0 import schema_pb2

from data.csv_records import show

LABELS = "data.labels"
"""The string domain in which a frozen schema keeps the labels, named after the setting; no column refers to it."""
SHOWN = 10
_TYPES = {
    schema_pb2.BYTES: "text (BYTES)",
    schema_pb2.INT: "whole numbers (INT)",
    schema_pb2.FLOAT: "numbers (FLOAT)",
}


def type_in_words(type_: int) -> str:
    return _TYPES.get(type_) or schema_pb2.FeatureType.Name(type_)


def presence_in_words(feature: schema_pb2.Feature) -> str:
    """In how many rows the column must have a value."""
    asked = feature.presence
    if asked.min_fraction >= 1:
        return "in every row"
    if asked.min_fraction > 0:
        return f"in at least {100 * asked.min_fraction:.4g} % of the rows"
    if asked.min_count > 1:
        return f"in at least {asked.min_count:,} rows"
    return "not in every row" if asked.min_count else "perhaps in none"


def bounds_of(feature: schema_pb2.Feature) -> tuple[int | None, int | None]:
    """The least and the most of a column of whole numbers; None where there is no bound."""
    if feature.HasField("bool_domain"):
        return 0, 1
    domain = feature.int_domain
    return domain.min if domain.HasField("min") else None, domain.max if domain.HasField("max") else None


def values_of(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> list[str] | None:
    """The texts that a column may hold; None where it may hold any."""
    if feature.HasField("string_domain"):
        return list(feature.string_domain.value)
    named = [domain for domain in schema.string_domain if feature.domain and domain.name == feature.domain]
    return list(named[0].value) if named else None


def domain_in_words(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> str | None:
    """Which values a column may hold; None where its type says all."""
    least, most = bounds_of(feature)
    values = values_of(feature, schema)
    if values is not None:
        return f"one of {listed(values)}"
    if least is None and most is None:
        return None
    if most is None:
        return f"whole numbers from {least:,}"
    return f"whole numbers to {most:,}" if least is None else f"whole numbers from {least:,} to {most:,}"


def labels_of(schema: schema_pb2.Schema) -> tuple[str, ...] | None:
    """The labels that a frozen schema keeps, in order; None where it keeps none."""
    return next((tuple(domain.value) for domain in schema.string_domain if domain.name == LABELS), None)


def listed(values: Sequence[str]) -> str:
    """The first of the values, quoted, and how many more there are."""
    more = f" and {len(values) - SHOWN:,} more" if len(values) > SHOWN else ""
    return ", ".join(map(show, values[:SHOWN])) + more


def change_in_words(expected: Sequence[str], came: Sequence[str]) -> str:
    """How labels changed: which are new, which are gone, or that they have changed places."""
    new = [label for label in came if label not in expected]
    gone = [label for label in expected if label not in came]
    parts = [f"{what} {listed(labels)}" for what, labels in (("new:", new), ("gone:", gone)) if labels]
    return "; ".join(parts) or f"in another order: {listed(came)}"
