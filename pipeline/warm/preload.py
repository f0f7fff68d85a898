"""What the warm server imports: all that a node of the pipeline may need, so that no child imports it again."""

import pkgutil
from importlib import import_module

import modules

# What TFX, TensorFlow and Beam import when they first need it: half a second in most nodes.
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
    "pipeline.node",
    "pipeline.scheduled",
    "pipeline.launch",
    "pipeline.execute",
    *(module.name for module in pkgutil.walk_packages(modules.__path__, "modules.")),
    *LATE,
):
    import_module(name)
