"""The statistics that a run's data are compared with."""

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from modules.passed_statistics import last_passed


class LastPassedStatistics(ResolverStrategy):
    """Resolves the text statistics, other than the run's own, that DataGate last let pass to be trained on.

    Not simply the newest: after a run that was stopped for its drift, or after a look at the data alone, the same data
    would be compared with themselves.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """Picks from `baseline`, leaving out `statistics`; an empty list where there is none yet."""
        own = {artifact.id for artifact in input_dict["statistics"]}
        passed = [(last_passed(store, each.id), each) for each in input_dict["baseline"] if each.id not in own]
        newest = max((pair for pair in passed if pair[0]), key=lambda pair: pair[0], default=None)
        return {**input_dict, "baseline": [] if newest is None else [newest[1]]}
