"""What Beam installs on remote workers (`--setup_file=./setup.py`); the metadata is in pyproject.toml."""

from setuptools import setup

setup()
