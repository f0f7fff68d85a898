"""The sections of the typed configuration, pipeline/config.py."""
