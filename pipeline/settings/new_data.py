"""`new_data`: training that goes on from the model in production when new labelled rows have come."""

from typing import Annotated

from pydantic import Field

from pipeline.settings.section import Section, Share
from pipeline.settings.texts import Action

Difference = Annotated[float, Field(ge=-1, le=1)]


class NewDataConfig(Section):
    """What `tfx-bert run CONFIG --new-data` learns from, and what its model must reach; other runs read none of it."""

    folder: str | None = Field(
        None, description="labelled files, of the same columns and format as data.path; each new file is a span"
    )
    settle_seconds: float = Field(60, ge=0, description="a file that has changed since waits: it may be half a file")
    old_share: Share = Field(
        0.3, description="of the old rows of the training split, the share that is trained on again, against forgetting"
    )
    min_eval_rows: int = Field(
        30, ge=1, description="with fewer new rows in the eval split, the files wait: chance would judge the model"
    )
    max_drop: dict[str, Share] = Field(
        {},
        description="by metric, the most it may lose on old rows against the model in production; as "
        "evaluation.max_drop, unless given",
    )
    min_gain: dict[str, Difference] = Field(
        {},
        description="by metric, the least it must gain on new rows against the model in production; 0, not to lose, "
        "for each metric that has a max_drop",
    )
    schedule: str | None = Field("@hourly", description="of the DAG that `compile --new-data` writes; null: none")
    drift_action: Action = Field(
        "warn", description="what drift does where data.drift says nothing of the feature: new rows may differ"
    )
