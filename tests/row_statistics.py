"""Statistics of rows of a CSV as StatisticsGen has them after CsvExampleGen, made by TFDV without Beam."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_data_validation.statistics.stats_options import StatsOptions
from tensorflow_metadata.proto.v0 import statistics_pb2


def statistics_of_rows(rows: Sequence[Mapping[str, str]]) -> statistics_pb2.DatasetFeatureStatisticsList:
    """An empty cell is a missing value; a column of whole numbers, or of numbers, is one of those, else text."""
    columns = {name: _column([row[name] for row in rows]) for name in rows[0]}
    return generate_statistics_in_memory(
        pa.RecordBatch.from_arrays(list(columns.values()), list(columns)), StatsOptions()
    )


def _column(cells: Sequence[str]) -> pa.Array:
    for convert, kind in ((int, pa.int64()), (float, pa.float32()), (str.encode, pa.binary())):
        try:
            return pa.array([[convert(cell)] if cell else None for cell in cells], type=pa.list_(kind))
        except ValueError:
            continue
    raise AssertionError(cells)
