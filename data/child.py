"""A Python program of ours as a child process that does not outlive this one, however this one ends."""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def command(module: str, *arguments: str) -> list[str]:
    """What subprocess.Popen takes to run a module; the thread that starts it should stay: the kernel watches that."""
    return [sys.executable, "-m", "data.child", str(os.getpid()), module, *arguments]


def main() -> None:
    """Runs the module named on the command line, to be killed by the kernel when the process of that id is gone.

    The child asks for it itself: to do so between fork and exec is not safe where there are threads.
    """
    parent, module = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel knew
        sys.exit(1)
    sys.argv[:] = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
