#!/usr/bin/env bash
# Makes .bootstrap/airflow, Airflow's own environment, with what requirements.txt locks; does nothing when that is done.
# Airflow and TFX pin what the other cannot have: they never share an environment. Needs ./bootstrap.sh before it.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=.bootstrap/airflow
lock=pipeline/local_airflow/requirements.txt
uv=.bootstrap/tools/bin/uv
log=$PWD/.bootstrap/airflow.log
wanted=$(cat "$0" $lock | sha256sum | cut -d' ' -f1)
if [ "$(cat $venv/ready 2>/dev/null)" = "$wanted" ] && $venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi
[ -x $uv ] || { echo "set-up: $uv is missing: run make setup first" >&2; exit 1; }
echo "set-up: installing Airflow into $venv (about 300 MB, once)"
{
    rm -rf $venv
    $uv venv --no-python-downloads --python .bootstrap/tools/bin/python $venv
    env -u VIRTUAL_ENV $uv pip install --python $venv/bin/python --require-hashes --compile-bytecode -r $lock
} >"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "set-up: installing Airflow failed; the whole log is $log" >&2; exit 1; }
echo "$wanted" >$venv/ready
echo "set-up: Airflow is ready"
