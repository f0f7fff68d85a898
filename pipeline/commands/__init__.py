"""The subcommands of `tfx-bert`, a module each. TensorFlow and TFX are imported inside those that need them."""
