"""How TFX's command line enters: no arguments, any working directory, the exit code tells the verdict."""

import sys
from pathlib import Path

from data.errors import UserError
from modules.stop import Terminated
from pipeline import signals
from pipeline.config_file import load_config
from pipeline.run import EXIT_CODES, RunFailed, run


def run_for_tfx(config: str, engine: str, base: Path) -> None:
    """Runs a configuration whose relative paths start at `base`.

    `tfx pipeline create` replaces the runner's `run` to look at the pipeline alone; then nothing is run or recorded.
    """
    try:
        record = run(load_config(config, base=base), engine)
    except (UserError, RunFailed) as error:
        sys.exit(f"error: {error}")
    except Terminated as ended:
        print(ended, file=sys.stderr)
        sys.exit(signals.exit_code())
    code = EXIT_CODES[record.status]
    if code:
        sys.exit(code)
