"""What the warm server imports: all that a node of the pipeline may need, so that no child imports it again."""

import pkgutil
from importlib import import_module

import modules

# Each imported by TFX, TensorFlow or Beam when it is first needed, as tests/pipeline/test_warm_nodes.py finds them.
LATE = (
    "setuptools",
    "grpc._server",
    "tensorboard.compat",
    "tensorboard.plugins.scalar.summary_v2",
    "tensorflow.python.data.ops.flat_map_op",
    "tensorflow.python.data.ops.group_by_window_op",
    "tensorflow.python.data.ops.padded_batch_op",
    "tensorflow.python.data.ops.take_op",
    "tensorflow.python.data.ops.unbatch_op",
)

for name in (
    "pipeline.execute",
    *(module.name for module in pkgutil.walk_packages(modules.__path__, "modules.")),
    *LATE,
):
    import_module(name)
