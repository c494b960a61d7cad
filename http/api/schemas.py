"""The shapes of requests and answers: what validates is what the OpenAPI document shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from limner.sql.generations import LONGEST_PROMPT, MOST_PICTURES

Scalar = str | int | float | bool | None
ASKED = "As asked for; left out where that was left to the painter, who does not tell."
MOST_UNFINISHED = 3
LISTED = "One of the values that the model lists under `options`; `auto` leaves it to the painter."


class Asked(BaseModel):
    """What both kinds of order have. Beyond these fields, whatever the chosen model lists among its options is taken."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    prompt: Annotated[str, Field(min_length=1, max_length=LONGEST_PROMPT, description="What to paint.")]
    model: Annotated[
        str | None,
        Field(max_length=80, description="An id or an alias of `GET /v1/models`; left out: the first one there."),
    ] = None
    n: Annotated[
        int | None, Field(ge=1, le=MOST_PICTURES, description="How many pictures; each is charged on delivery.")
    ] = None
    size: Annotated[
        str | None, Field(max_length=20, description="Such as `1024x1024`, one of the model's sizes, or `auto`.")
    ] = None
    aspect_ratio: Annotated[
        str | None,
        Field(max_length=10, description="Such as `16:9`: instead of `size`, the model's nearest size of this shape."),
    ] = None
    image_size: Annotated[
        Literal["1K", "2K", "4K"] | None, Field(description="With `aspect_ratio`: about how large.")
    ] = None
    response_format: Annotated[
        Literal["b64_json", "url"] | None, Field(description="The bytes in the answer, or links that hold for an hour.")
    ] = None
    stream: Annotated[bool | None, Field(description="Server-sent events instead of one answer.")] = None
    partial_images: Annotated[
        int | None,
        Field(
            ge=0,
            le=MOST_UNFINISHED,
            description="How many unfinished pictures to send on the way, with `stream`; of models that list it.",
        ),
    ] = None
    quality: Annotated[Scalar, Field(description=LISTED)] = None
    background: Annotated[Scalar, Field(description=LISTED)] = None
    output_format: Annotated[Scalar, Field(description=LISTED)] = None
    output_compression: Annotated[Scalar, Field(description=LISTED)] = None
    moderation: Annotated[Scalar, Field(description=LISTED)] = None
    style: Annotated[Scalar, Field(description=LISTED)] = None
    user: Annotated[
        str | None, Field(max_length=512, description="Your own name for the person who asks; not passed on.")
    ] = None
    safety_identifier: Annotated[str | None, Field(max_length=512, description="The same, by its newer name.")] = None

    @property
    def count(self) -> int:
        return self.n or 1

    @property
    def options(self) -> dict[str, Any]:
        """What is for the model to say: the fields of ours that only some models have, and those we do not know."""
        ours = {name: getattr(self, name) for name in OF_MODELS}
        return {name: value for name, value in {**ours, **(self.model_extra or {})}.items() if value is not None}


OF_MODELS = ("quality", "background", "output_format", "output_compression", "moderation", "style")


class Generation(Asked):
    """`POST /v1/images/generations`."""


class Edit(Asked):
    """`POST /v1/images/edits`, as multipart/form-data, with the pictures as files."""

    input_fidelity: Annotated[Scalar, Field(description=LISTED)] = None

    @property
    def options(self) -> dict[str, Any]:
        fidelity = {} if self.input_fidelity is None else {"input_fidelity": self.input_fidelity}
        return {**super().options, **fidelity}


class Answered(BaseModel):
    model_config = ConfigDict(frozen=True)


class Tokens(Answered):
    """What is not told apart of what went in counts as text."""

    text_tokens: int
    image_tokens: int


class Usage(Answered):
    """The tokens that the painters say they took, in OpenAI's form. What was charged is in `metadata.credits`."""

    input_tokens: int
    input_tokens_details: Tokens
    output_tokens: int
    total_tokens: int
    output_tokens_details: Annotated[
        Tokens | None, Field(description="Left out where a painter does not tell them apart.")
    ] = None


class Picture(Answered):
    """One of the two, as `response_format` said."""

    b64_json: Annotated[str | None, Field(json_schema_extra={"contentEncoding": "base64"})] = None
    url: str | None = None


class JobOutcome(Answered):
    """One picture: charged when, and only when, its state is `delivered`."""

    id: str
    state: Literal["queued", "running", "delivered", "failed", "canceled"]
    size: str | None = None
    output_format: str | None = None
    reason: str | None = None


class Metadata(Answered):
    """What was asked for and what came of it."""

    generation: str
    requested: dict[str, Any]
    jobs: list[JobOutcome]
    credits: int
    partial: Annotated[bool, Field(description="Some pictures did not come; only those that did were charged.")]
    reasons: list[str]


class Images(Answered):
    """The pictures, with what was really used."""

    created: int
    data: list[Picture]
    model: str
    size: str
    quality: Annotated[str | None, Field(description=ASKED)] = None
    background: Annotated[str | None, Field(description=ASKED)] = None
    output_format: str
    usage: Annotated[
        Usage | None,
        Field(description="Of all pictures whose painters told it, together; left out where none did."),
    ] = None
    metadata: Metadata


class Fault(Answered):
    message: str
    type: str
    param: str | None
    code: str | None


class Failure(Answered):
    """Every error has this form. `code` is what programs should look at."""

    error: Fault


class OfStream(Answered):
    """What a picture of a stream is told with."""

    size: str
    quality: str
    background: str
    output_format: str
    created_at: int


class PartialOf(Answered):
    generation: str
    job: str


class UnfinishedPicture(OfStream):
    """An unfinished picture, while it is painted."""

    type: Literal["image_generation.partial_image", "image_edit.partial_image"]
    b64_json: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
    partial_image_index: Annotated[int, Field(description="Counts from 0, for each picture of the order.")]
    metadata: PartialOf


class CompletedOf(Metadata):
    """How the order stands."""

    job: str
    charged: Annotated[int, Field(description="Credits for this picture.")]


class FinishedPicture(OfStream, Picture):
    """A picture that is delivered, as soon as it is."""

    type: Literal["image_generation.completed", "image_edit.completed"]
    usage: Annotated[Usage, Field(description="Of this picture; all zero where its painter told nothing.")]
    metadata: CompletedOf


class StreamFailure(Failure):
    """The last event, when something did not come: all that did came before."""

    type: Literal["error"]


EVENTS = (UnfinishedPicture, FinishedPicture, StreamFailure)
"""What the data of a stream's events are; each event has the name that its ``type`` says."""


class Task(Answered):
    """An order that nobody waits for. `result` is there when it is done, `error` when it failed.

    `waits_until`: all painters rest, and it is tried again then (Unix time).
    """

    id: str
    task_id: str
    object: Literal["image.generation.task"]
    status: Literal["queued", "processing", "completed", "failed", "canceled"]
    created_at: int
    expires_at: int
    poll_url: str
    waits_until: int | None = None
    completed_at: int | None = None
    http_status: int | None = None
    result: Images | None = None
    error: Fault | None = None


class OfferedModel(Answered):
    """A model with what it can do: `options` maps a parameter to its allowed values, its bounds, or `text`."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    aliases: list[str]
    abilities: list[str]
    sizes: list[str]
    options: dict[str, Any]
    credits: int


class ModelList(Answered):
    object: Literal["list"]
    data: list[OfferedModel]
