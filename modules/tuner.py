"""Searches the settings of a training; TFX Tuner calls `tuner_fn`."""

import dataclasses
import gc
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attr
import tensorflow_transform as tft
import tf_keras
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from modules import devices
from modules.checkpoints import remove
from modules.custom_gradients import forgotten_afterwards
from modules.fitting import Settings, TrainingData, emphasis_of, fit, read_data
from modules.heads.head import Head, Watch
from modules.progress import tell
from modules.search import Budget, Scored, Search, SearchOracle, space_of
from modules.search_folders import LOGS, ORACLE
from modules.tasks import task_from

# Settings of a training that its score does not depend on.
OF_NO_SCORE = ("seeds", "checkpoint_minutes", "calibration")


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """The search with its trials: trainings on the training split, judged on its held-out part, of one seed.

    fn_args.custom_config is the Trainer's with `tuning`: `trials`, `minutes`, `train_share`, `space` (see
    modules.search.space_of), `folder`, in which each search has its own, and `about`, what else a search depends on.

    Raises:
      UserError: where the held-out part is not enough, or a setting does not fit the machine.
    """
    given = dict(fn_args.custom_config)
    tuning = given.pop("tuning")
    settings = Settings(**given)
    training = settings.training
    trials = _Trials(fn_args, settings, tuning)
    oracle = SearchOracle(
        trials.watch,
        space_of(tuning["space"], training),
        Budget(tuning["trials"], tuning["minutes"]),
        training["seed"],
    )
    search = Search(oracle, trials.folder, trials.run, training["seed"])
    if oracle.trials:
        tell(f"goes on with the search that was begun: {len(oracle.end_order)} trials are done")
    elif trials.others:
        tell("begins anew: data, encoder, settings or code are not those of an earlier search")
    return TunerFnResult(tuner=search, fit_kwargs={})


class _Trials:
    """What the trials of a search share."""

    def __init__(self, fn_args: FnArgs, settings: Settings, tuning: Mapping[str, Any]):
        self._fn_args = fn_args
        self._settings = dataclasses.replace(settings, training={**settings.training, "seeds": 1})
        self._precision = devices.training_precision(settings.training["mixed_precision"])
        task = task_from(settings.task)
        self.head: Head = task.head(max_seq_length=settings.max_seq_length, cls=settings.cls, sep=settings.sep)
        spec = tft.TFTransformOutput(fn_args.transform_graph_path).transformed_feature_spec()
        self._data: TrainingData = read_data(
            fn_args.train_files, spec, self.head, settings.training, share=tuning["train_share"]
        )
        self.watch: Watch = self.head.watched(self._data.surveyed)
        self._emphasis = emphasis_of(settings.training, task, self._data.surveyed)
        self._data.tell_of_chance("trials")
        root = Path(tuning["folder"])
        self.folder = root / _fingerprint(fn_args, settings, tuning)
        self._logs = root / LOGS
        self.others = [path for path in root.glob(f"*/{ORACLE}") if path.parent != self.folder]

    def run(self, trial_id: str, values: dict[str, Any]) -> Scored:
        """Trains with these values; goes on where an earlier process was interrupted in the same trial."""
        try:
            with forgotten_afterwards():
                return self._trained(trial_id, values)
        finally:  # nothing holds the model any more, but itself and Keras
            tf_keras.backend.clear_session()
            gc.collect()

    def _trained(self, trial_id: str, values: dict[str, Any]) -> Scored:
        settings = dataclasses.replace(self._settings, training={**self._settings.training, **values})
        fn_args = attr.evolve(
            self._fn_args,
            model_run_dir=str(self._logs / f"{self.folder.name}-{trial_id}"),
            custom_config=dataclasses.asdict(settings),
        )
        data, seed = self._data.in_batches_of(values["batch_size"]), settings.training["seed"]
        checkpoints = fit(
            fn_args, settings, self.head, data, self._emphasis, seed=seed, precision=self._precision
        ).checkpoints
        remove([checkpoints.folder])
        keeps_best = settings.training["early_stopping_patience"] is not None
        return Scored(score_of(checkpoints.history, self.watch, keeps_best), checkpoints.seconds)


def score_of(history: Mapping[str, list[float]], watch: Watch, keeps_best: bool) -> float:
    """The goal's value with the weights that a training keeps: of its best epoch, or of its last."""
    values = history[watch.log]
    if not keeps_best:
        return values[-1]
    return max(values) if watch.mode == "max" else min(values)


def _fingerprint(fn_args: FnArgs, settings: Settings, tuning: Mapping[str, Any]) -> str:
    """Of all that a trial's score depends on beside its values; not of how many trials there are."""
    training = {name: value for name, value in settings.training.items() if name not in OF_NO_SCORE}
    about = [
        settings.task,
        settings.tokens,
        settings.encoder_fingerprint,
        settings.max_seq_length,
        training,
        {name: tuning[name] for name in ("train_share", "space", "about")},
        fn_args.base_model,
    ]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
