"""For TFX's own command line: `tfx pipeline create --engine=local --pipeline-path=pipeline/local_runner.py`."""

from pathlib import Path

from pipeline.tfx_entry import run_for_tfx

# A built-in configuration or the path of your YAML file.
CONFIG = "reviews"

if __name__ == "__main__":
    run_for_tfx(CONFIG, "local", Path(__file__).parents[1])
