"""What requests to the API may carry, as pydantic models; the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from backend.exports.names import ConsensusAs, DataSetName, ExportFormat
from backend.insights.tasks import MOST_OFFSET, MOST_ROWS, TaskQuery, TaskSort
from backend.store.review import ReviewPolicy

_LARGEST_ID = 2**63 - 1

MOST_TASKS = 200
"""Tasks that one request may change in Label Studio, which takes some seconds."""

Id = Annotated[int, Field(ge=1, le=_LARGEST_ID)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[
    str | SkipJsonSchema[None], Field(json_schema_extra=lambda schema: schema.pop("default"))
]
"""A name that may be left out: text, and nothing else, as the document says."""


class Parameters(BaseModel):
    """Parameters of a request; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Body(Parameters):
    """JSON object of a request; values must have the type that is documented."""

    model_config = ConfigDict(strict=True)


class ProjectPath(Parameters):
    """Which project."""

    project: Id
    """Number of the project in Label Studio's address."""


class AnnotatorPath(ProjectPath):
    """Which annotator of a project."""

    annotator: Id
    """Id of the user in Label Studio."""


class TaskPath(ProjectPath):
    """Which task of a project."""

    task: Id
    """Id of the task in Label Studio."""


class ExportPath(ProjectPath):
    """Which data set in which format."""

    what: DataSetName
    """consensus: one row per labelled task; labels: one row per label; leaderboard: one row per
    question and annotator; report: a page for people."""
    export_format: ExportFormat
    """csv, json, jsonl, parquet; label-studio (consensus only): tasks to import; html (report
    only)."""


class AnnotatorQuery(Parameters):
    """How much of an annotator."""

    doubtful: Annotated[int, Field(ge=0, le=MOST_ROWS)] = 20
    """Most doubtful labels to give per question."""


class PageQuery(Parameters):
    """Which part of a list."""

    offset: Annotated[int, Field(ge=0, le=MOST_OFFSET)] = 0
    """Entries to pass over."""
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 100
    """Entries to give."""


class QuestionQuery(PageQuery):
    """Which question, and which part of a list."""

    question: Name = None
    """Name of the question; all without it."""


class AuditQuery(Parameters):
    """How much of the audit trail."""

    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 100
    """Most entries to give."""


class TasksQuery(PageQuery):
    """Which tasks, in which order."""

    question: Name = None
    """Name of the question; the first without it."""
    sort: TaskSort = TaskSort.QUALITY
    """What to sort by; the smallest first."""
    descending: bool = False
    """The largest first."""
    consensus: Name = None
    """Only tasks whose consensus is this class."""
    min_quality: Share = 0.0
    """Only tasks of at least this consensus quality."""
    max_quality: Share = 1.0
    """Only tasks of at most this consensus quality."""
    disputed: bool = False
    """Only tasks on which not all annotators agree with the consensus."""
    min_annotations: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """Only tasks with at least this many labels."""
    text: Annotated[str, Field(max_length=19, pattern=r"^[0-9]*$")] = ""
    """Only tasks in whose id these digits occur."""

    def to_query(self) -> TaskQuery:
        """The same for `backend.insights.tasks`."""
        return TaskQuery(
            question=self.question,
            sort=self.sort,
            is_descending=self.descending,
            consensus=self.consensus,
            min_quality=self.min_quality,
            max_quality=self.max_quality,
            is_disputed=self.disputed,
            min_annotations=self.min_annotations,
            text=self.text,
            offset=self.offset,
            limit=self.limit,
        )


class ExportQuery(Parameters):
    """How to export."""

    consensus_as: ConsensusAs = ConsensusAs.PREDICTION
    """For label-studio: whether the consensus becomes a prediction or an annotation."""


TaskIds = Annotated[list[Id], Field(max_length=MOST_TASKS)]


class PolicyBody(Body):
    """Which tasks to ask one more label of."""

    budget: Annotated[int, Field(ge=1, le=MOST_TASKS)] | None = None
    """Most tasks to choose; as many as are allowed without it."""
    threshold: Share | None = None
    """Choose tasks whose ActiveLab score is below this; all without it."""
    most_extra: Annotated[int, Field(ge=1, le=1_000_000)] = 2
    """Most labels to ask of one task beyond what Label Studio collects by itself."""
    min_hours: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """Leave tasks alone that somebody labelled, or that were asked for, less long ago."""
    exclude_below: Share | None = None
    """Labels of annotators below this quality do not count as given."""
    tasks: TaskIds = []
    """Choose among these tasks only; empty for all."""
    only_labeled: bool = False
    """Leave out tasks that nobody has labelled."""
    blind: bool = True
    """Show no predictions to those who label."""

    @property
    def is_bounded(self) -> bool:
        """Whether it names how much to ask for."""
        return self.budget is not None or self.threshold is not None or bool(self.tasks)

    def to_policy(self) -> ReviewPolicy:
        """The same for `backend.jobs.review_plan`, never beyond what one request may do."""
        return ReviewPolicy(
            budget=self.budget or MOST_TASKS,
            threshold=self.threshold,
            most_extra=self.most_extra,
            min_hours=self.min_hours,
            exclude_below=self.exclude_below,
            tasks=tuple(self.tasks),
            only_labeled=self.only_labeled,
            blind=self.blind,
        )


class UndoBody(Body):
    """Which requests to take back."""

    tasks: TaskIds = []
    """Those of these tasks; of the newest requests without it."""


Label = Annotated[str, Field(max_length=200)]
"""A name that can be empty."""


class UploadQuery(Parameters):
    """What the file in the body is."""

    file: Annotated[str, Field(min_length=1, max_length=200)]
    """Name of the file, whose end tells its form: .csv, .parquet or .npz."""
    question: Name = None
    """Question that the predictions are for; needed if there are several."""
    key: Label = ""
    """Column of the file, and key of the tasks' data, that says which task a row is about; the
    column `task` with the tasks' ids without it."""
    name: Label = ""
    """What to call the predictions, after the file without it; one of the name is replaced."""


class SourcePath(ProjectPath):
    """Which predictions of a project."""

    source: Annotated[str, Field(min_length=1, max_length=200)]
    """Their name."""


class BorrowBody(Body):
    """Which model version to borrow from."""

    version: Annotated[str, Field(min_length=1, max_length=200)]
    """Model version in Label Studio."""
    question: Name = None
    """Question that the predictions are for; all that they answer without it."""
    name: Label = ""
    """What to call the predictions, after the version without it; one of the name is replaced."""


class RefreshQuery(Parameters):
    """What to refresh."""

    full: bool = False
    """Pull everything from Label Studio anew, not only what has changed."""
