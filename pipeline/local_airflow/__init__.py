"""Airflow on this machine, for `make airflow-demo` and the tests: runs in TFX's environment, Airflow in its own."""
