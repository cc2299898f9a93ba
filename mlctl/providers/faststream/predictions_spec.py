"""What a `stream_predictions` block may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlctl.provider import Block, Provided, Spec
from mlctl.providers.faststream.spec import Broker, Name
from mlctl.types.jobs.used_model import check_name
from mlctl.types.units import Duration


class Output(Block):
    """Where predictions go: a topic of the same broker."""

    topic: Annotated[Name, Field(description="The Kafka topic, or the Redis stream")]


class Batching(Block):
    """How many messages go through the model at once."""

    max_records: Annotated[int, Field(ge=1, le=10_000)] = 256
    max_wait: Annotated[
        Duration, Field(ge=0, le=60, description="How long a batch that is not full waits for more messages")
    ] = 0.02


class StreamPredictionsSpec(Spec):
    """Predictions for the messages of a topic, as they come."""

    model: Annotated[
        str,
        Provided("model"),
        AfterValidator(check_name),
        Field(description="`name@alias` that an evaluation registers, or `${training.NAME.model}`"),
    ]
    broker: Broker
    topic: Annotated[
        Name, Field(description="Messages: JSON objects with the model's features, or with keys of its views")
    ]
    group: Annotated[
        Name | None,
        Field(description="The consumer group; without it one that is named by project, environment and block"),
    ] = None
    output: Output
    key: Annotated[
        str | None,
        Field(min_length=1, description="The field that names a message; without it its place in the topic does"),
    ] = None
    batch: Batching = Batching()
    on_bad: Annotated[
        Literal["dead_letter", "stop"], Field(description="What becomes of a message that gets no prediction")
    ] = "dead_letter"
    dead_letters: Annotated[Output | None, Field(description="A topic for such messages; without it a file")] = None

    @model_validator(mode="after")
    def _topics(self) -> StreamPredictionsSpec:
        named = [self.topic, self.output.topic, *([] if self.dead_letters is None else [self.dead_letters.topic])]
        for topic in named:
            if self.broker.type == "kafka" and not all(mark.isalnum() or mark in "._-" for mark in topic):
                raise ValueError(f"{topic!r} is not a Kafka topic; its name has letters, digits, `.`, `_` and `-`")
        if len(set(named)) < len(named):
            raise ValueError(
                "`topic`, `output.topic` and `dead_letters.topic` have to differ: predictions would be predicted again"
            )
        if self.dead_letters is not None and self.on_bad == "stop":
            raise ValueError("`dead_letters` has no effect with `on_bad: stop`")
        return self
