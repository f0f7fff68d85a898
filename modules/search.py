"""A search for settings by KerasTuner: trials that are never lost, the first one with the settings as they are.

KerasTuner keeps a search as JSON files in a project folder and goes on from them. It sits on Keras 3: nothing of it
gets to see a model, which is whoever's that runs the trials.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from keras_tuner import HyperParameters, Objective
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.errors import FailedTrialError, FatalError
from keras_tuner.oracles import BayesianOptimizationOracle

from data.errors import UserError
from data.whole_file import put_file
from modules.heads.head import Watch
from modules.progress import LOGGER, tell

SECONDS = "seconds"
# Of a value that is drawn from a range, so that it can be written down.
DIGITS = 3


class Scored(NamedTuple):
    """What became of a trial: the goal's value, and the seconds of its training."""

    score: float
    seconds: float


class Budget(NamedTuple):
    """How much is tried in all, also by earlier processes. minutes: of training; None for any number."""

    trials: int
    minutes: float | None


def space_of(ranges: Mapping[str, Any], start: Mapping[str, Any]) -> HyperParameters:
    """The search space.

    Args:
      ranges: by setting, a list of values, or `min` and `max` of a range, with `log` where its logarithm is searched.
      start: the settings as they are, which are in the space whatever the ranges say.
    """
    space = HyperParameters()
    for name, given in ranges.items():
        own = start[name]
        if isinstance(given, Mapping):
            low, high = min(own, given["min"]), max(own, given["max"])
            sampling = "log" if given.get("log") else "linear"
            if low < high:
                space.Float(name, low, high, sampling=sampling, default=own)
        elif len(values := sorted({own, *given})) > 1:
            space.Choice(name, values, default=own)
        if name not in space.values:
            space.Fixed(name, own)
    return space


class SearchOracle(BayesianOptimizationOracle):
    """Says what to try next: first what is, then some at random, then what a Gaussian process expects most of."""

    def __init__(self, goal: Watch, space: HyperParameters, budget: Budget, seed: int):
        super().__init__(
            objective=Objective(goal.log, goal.mode),
            max_trials=budget.trials,
            num_initial_points=len(space.space),  # KerasTuner's three times as many are more than a small budget has
            hyperparameters=space,
            allow_new_entries=False,
            tune_new_entries=False,
            seed=seed,
            max_consecutive_failed_trials=budget.trials + 1,  # the first one has been through: others may well fail
        )
        self.verbose = 0
        self._budget = budget

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if not self.trials:
            return _running({hp.name: hp.default for hp in self.hyperparameters.space})
        if self.is_out_of_time():
            return {"status": TrialStatus.STOPPED, "values": None}
        found = super().populate_space(trial_id)
        if found["values"] and self._duplicate(_rounded(found["values"])):
            found = self._random_populate_space()
        return _running(_rounded(found["values"])) if found["values"] else found

    def is_out_of_time(self) -> bool:
        """Whether the trials have taken the minutes that there are."""
        spent = sum(trial.metrics.get_last_value(SECONDS) for trial in self.trials.values() if _is_done(trial))
        return self._budget.minutes is not None and spent >= 60 * self._budget.minutes

    def reload(self) -> None:
        """Takes up the trials from their files; those that are not through, for whatever reason, are run again."""
        super().reload()
        left = [id_ for id_, trial in sorted(self.trials.items()) if trial.status == TrialStatus.RUNNING]
        self._retry_queue = left
        self.start_order += [id_ for id_ in left if id_ not in self.start_order]

    def save(self) -> None:
        put_file(Path(self._get_oracle_fname()), _json(self.get_state()))

    def _save_trial(self, trial: Trial) -> None:
        put_file(Path(self._get_trial_dir(trial.trial_id), "trial.json"), _json(trial.get_state()))


class Search(BaseTuner):
    """Runs the trials and tells of them: `trials` in the progress record has all that there are."""

    def __init__(self, oracle: SearchOracle, folder: Path, run: Callable[[str, dict[str, Any]], Scored], seed: int):
        """
        Args:
          folder: KerasTuner's project; what is there is gone on with.
          run: trains with a trial's id and values. A UserError of any trial but the first fails that trial alone.
        """
        self._run, self._seed = run, seed
        self._fault = ""
        super().__init__(oracle, directory=str(folder.parent), project_name=folder.name)

    def search(self, *_: Any, **__: Any) -> None:
        """Raises what a trial raised, where that ends the search."""
        try:
            super().search()
        except FatalError as fatal:
            raise (fatal.__cause__ or fatal) from None

    def run_trial(self, trial: Trial, *_: Any, **__: Any) -> dict[str, float]:
        number = self.oracle.start_order.index(trial.trial_id) + 1
        values = dict(trial.hyperparameters.values)
        tell(f"trial {number} of {self.oracle.max_trials}: " + ", ".join(f"{n} {v:g}" for n, v in values.items()))
        try:
            scored = self._run(trial.trial_id, values)
        except UserError as error:
            if number == 1:
                raise FatalError from error
            self._fault = str(error)
            raise FailedTrialError(self._fault) from error
        except Exception as error:
            raise FatalError from error
        return {self.oracle.objective.name: scored.score, SECONDS: scored.seconds}

    def on_search_begin(self) -> None:
        self.save()
        self._tell_trials()

    def on_trial_end(self, trial: Trial) -> None:
        if trial.status != TrialStatus.COMPLETED:
            trial.message = self._fault
            tell(f"this trial failed: {self._fault}")
        super().on_trial_end(trial)
        self._tell_trials()

    def on_search_end(self) -> None:
        if len(self.oracle.trials) >= self.oracle.max_trials:
            why = f"{len(self.oracle.trials)} trials are done"
        elif self.oracle.is_out_of_time():
            why = f"the minutes of training are spent, after {len(self.oracle.trials)} trials"
        else:
            why = f"all {len(self.oracle.trials)} combinations of the search space are tried"
        tell(f"the search ends: {why}")

    def save(self) -> None:
        self.oracle.save()
        put_file(Path(self._get_tuner_fname()), _json(self.get_state()))

    def _tell_trials(self) -> None:
        trials = [self.oracle.trials[id_] for id_ in self.oracle.start_order]
        goal = self.oracle.objective
        found = {"goal": goal.name, "mode": goal.direction, "seed": self._seed, "trials": list(map(_told, trials))}
        LOGGER.info("tuning: %s", found, extra={"progress": found})


def _told(trial: Trial) -> dict[str, Any]:
    done = _is_done(trial)
    return {
        "values": dict(trial.hyperparameters.values),
        "state": {TrialStatus.COMPLETED: "done", TrialStatus.RUNNING: "begun"}.get(trial.status, "failed"),
        "score": float(trial.score) if done else None,
        "seconds": float(trial.metrics.get_last_value(SECONDS)) if done else None,
        "fault": trial.message,
    }


def _is_done(trial: Trial) -> bool:
    return trial.status == TrialStatus.COMPLETED


def _running(values: dict[str, Any]) -> dict[str, Any]:
    return {"status": TrialStatus.RUNNING, "values": values}


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: float(f"{v:.{DIGITS}g}") if isinstance(v, float) else v for name, v in values.items()}


def _json(state: dict[str, Any]) -> bytes:
    return json.dumps(state).encode()
