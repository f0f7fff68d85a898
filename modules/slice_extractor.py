"""TFMA's extractors, with the slices of modules.slices among the features. TFX loads this module anew for each run."""

from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.extractors import extractor

from modules.example_rows import row_of
from modules.slices import OTHER, FoldedSlicing, folded_slicing


def custom_extractors(**arguments: Any) -> list[extractor.Extractor]:
    """TFMA's own, and one more after all else has read the columns: a slice may have the name of one."""
    extractors = tfma.default_extractors(**arguments)
    at = next(at for at, each in enumerate(extractors) if each.stage_name == "ExtractUnbatchedInputs")
    mine = extractor.Extractor(stage_name="ExtractSlices", ptransform=beam.Map(add_slices, folded_slicing.get()))
    return [*extractors[:at], mine, *extractors[at:]]


def add_slices(extracts: dict[str, Any], folded: FoldedSlicing) -> dict[str, Any]:
    """A batch of TFMA's extracts with the slices among its features, <string>[batch, 1] each."""
    features = dict(extracts[tfma.FEATURES_KEY])
    # Not from the features: those of columns with empty cells are of many kinds.
    values = folded.slicing.values(row_of(example) for example in np.ravel(extracts[tfma.INPUT_KEY]))
    for name in folded.slicing.names:
        in_slice = [row[name] if row[name] in folded.kept[name] else OTHER for row in values]
        features[name] = np.array([[value.encode()] for value in in_slice], object)
    return {**extracts, tfma.FEATURES_KEY: features}
