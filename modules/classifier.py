"""The classifier: a BERT encoder's pooled output, dropout, one sigmoid unit."""

import tensorflow as tf
import tf_keras


def build_classifier(encoder: tf_keras.layers.Layer, *, dropout: float) -> tf_keras.Model:
    """Puts a binary head on an encoder.

    Args:
      encoder: layer of (input_word_ids, input_mask, input_type_ids) <int32>[batch, tokens] that gives
        (pooled <float32>[batch, hidden], sequence <float32>[batch, tokens, hidden]).
      dropout: rate between the pooled output and the head.

    Returns:
      Model of a dict with the three inputs to the probability of the positive class <float32>[batch, 1].
    """
    inputs = {
        name: tf_keras.Input((None,), dtype=tf.int32, name=name)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    pooled, _ = encoder(inputs["input_word_ids"], inputs["input_mask"], inputs["input_type_ids"])
    dropped = tf_keras.layers.Dropout(dropout)(pooled)
    probability = tf_keras.layers.Dense(1, activation="sigmoid", dtype=tf.float32, name="probability")(dropped)
    return tf_keras.Model(inputs, probability)


def training_metrics() -> list[tf_keras.metrics.Metric]:
    """What is watched while training: the reference recipe's metrics, ROC AUC and PR AUC."""
    return [
        tf_keras.metrics.BinaryAccuracy(name="accuracy"),
        tf_keras.metrics.PrecisionAtRecall(0.5, name="precision_at_recall_0.5"),
        tf_keras.metrics.Precision(name="precision"),
        tf_keras.metrics.Recall(name="recall"),
        tf_keras.metrics.AUC(name="roc_auc"),
        tf_keras.metrics.AUC(curve="PR", name="pr_auc"),
    ]
