"""How well a classifier tells each class from all others, the rarest as much as the most frequent."""

from typing import Any

import tensorflow as tf

from modules.fine_auc import FineAuc


class MacroPrAuc(FineAuc):
    """The mean of the classes' areas under precision over recall, one against the rest.

    Targets <int>[batch, 1] are class indices, scores <float32>[batch, classes] probabilities. A class that no row has
    counts as 0.
    """

    def __init__(self, classes: int, name: str = "macro_pr_auc"):
        super().__init__(curve="PR", multi_label=True, num_labels=classes, name=name)

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Any = None) -> None:
        truth = tf.one_hot(tf.cast(y_true[:, 0], tf.int32), self.num_labels)
        super().update_state(truth, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {"classes": self.num_labels, "name": self.name}
