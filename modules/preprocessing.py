"""Raw columns to features, inside the Transform graph, so that training and serving cannot drift apart."""

from importlib import import_module
from typing import Any

import tensorflow as tf

from modules.raw_features import dense
from modules.wordpiece import Tokenizer


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Turns raw features into model inputs as the task asks; TFX Transform calls it.

    Args:
      inputs: the columns, <string or int64>[batch, 1] each, dense or sparse.
      custom_config: module (the task's preprocessing module), columns (the column of each role), labels, vocab_file
        (one token a line), lower_case, max_seq_length.

    Returns:
      What the module's `preprocess(columns, tokenizer, labels)` makes of the columns by role, [batch] each.
      Features of every task: num_tokens <int64>[batch], and holdout_bucket <int64>[batch], a stable hash in [0, 1000).
    """
    columns = {
        role: dense(inputs[column], "" if inputs[column].dtype == tf.string else tf.constant(-1, tf.int64))
        for role, column in custom_config["columns"].items()
        if column in inputs
    }
    tokenizer = Tokenizer.from_file(
        custom_config["vocab_file"],
        lower_case=custom_config["lower_case"],
        max_seq_length=custom_config["max_seq_length"],
    )
    preprocess = import_module(custom_config["module"]).preprocess
    return preprocess(columns, tokenizer, custom_config["labels"])
