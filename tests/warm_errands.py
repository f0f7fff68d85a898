"""What the tests have the warm server run: small functions, and the way to call them from a process of their own."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path


def tell(file: str, code: int = 0) -> int:
    """Writes down what the process sees, and answers on both streams."""
    import numpy as np

    line = sys.stdin.readline().strip()
    print(f"out: {line}")
    print("err", file=sys.stderr)
    umask = os.umask(0)
    seen = {
        "pid": os.getpid(),
        "folder": os.getcwd(),
        "argv": sys.argv,
        "environment": dict(os.environ),
        "umask": umask,
        "random": [random.random(), float(np.random.random())],
        "descriptors": sorted(os.listdir("/proc/self/fd")),
    }
    Path(file).write_text(json.dumps(seen), encoding="utf-8")
    return code


def fault() -> int:
    raise ValueError("a fault")


def crash() -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def wait(folder: str, deaf: bool = False) -> int:
    """Has a child, which leaves its session, and a grandchild; waits, and ends well on SIGTERM unless it is deaf."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else lambda *_: sys.exit(143))
    ticks = "import time, sys; print('up', flush=True); time.sleep(600)"
    nest = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ticks!r}])"
    process = subprocess.Popen([sys.executable, "-c", nest], start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    import psutil

    family = [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]
    aside = Path(folder, "family.partial")
    aside.write_text(json.dumps(family), encoding="utf-8")
    aside.rename(Path(folder, "family"))
    time.sleep(600)
    return 0


def leave_one_behind(file: str) -> int:
    """Ends, while a process that it started lives on, with its streams."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    Path(file).write_text(str(process.pid), encoding="utf-8")
    return 0


if __name__ == "__main__":
    from pipeline.warm.client import run_warm

    given = json.loads(sys.argv[1])
    given["log"] = Path(given["log"])
    try:
        sys.exit(run_warm(**given))
    except Exception as error:
        sys.exit(f"error: {error}")
