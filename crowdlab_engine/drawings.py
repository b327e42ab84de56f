"""Objects that several annotators have drawn on images, in sparse long form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crowdlab_engine._typing import AnyArray, FloatArray, IntArray
from crowdlab_engine.labels import MultiannotatorLabels


@dataclass(frozen=True, eq=False, repr=False)
class Drawings:
    """Objects drawn on N tasks by M annotators, each of one of K classes.

    An answer is what an annotator says of a task: any number of drawings, and none is an
    answer too. Build it with `from_codes`, which checks its input. The arrays are read-only.

    Attributes
    ----------
    answer_task, answer_annotator : ndarray of int64, shape (A,)
        Task and annotator of each answer, as codes.
    answer : ndarray of int64, shape (D,)
        Which answer each drawing belongs to.
    label : ndarray of int64, shape (D,)
        Class of each drawing, as code.
    coordinates : ndarray of float64, shape (D, C)
        Where it is, see `crowdlab_engine.shapes`; undistorted units such as pixels.
    image_size : ndarray of float64, shape (N, 2)
        Width and height of each task's image, in the same units.
    task_ids, annotator_ids, classes : ndarray, shapes (N,), (M,) and (K,)
        What the caller calls them.

    Examples
    --------
    >>> drawings = Drawings.from_codes(
    ...     task=[0, 0, 1],
    ...     annotator=[0, 1, 0],
    ...     answer=[0, 1],
    ...     label=[0, 0],
    ...     coordinates=[[10, 10, 20, 20, 0], [11, 10, 20, 19, 0]],
    ... )
    >>> drawings
    Drawings(num_tasks=2, num_annotators=2, num_classes=1, num_answers=3, num_drawings=2)
    """

    answer_task: IntArray
    answer_annotator: IntArray
    answer: IntArray
    label: IntArray
    coordinates: FloatArray
    image_size: FloatArray
    task_ids: AnyArray
    annotator_ids: AnyArray
    classes: AnyArray

    @classmethod
    def from_codes(
        cls,
        task: ArrayLike,
        annotator: ArrayLike,
        answer: ArrayLike,
        label: ArrayLike,
        coordinates: ArrayLike,
        *,
        image_size: ArrayLike = (100.0, 100.0),
        num_tasks: int | None = None,
        num_annotators: int | None = None,
        num_classes: int | None = None,
        task_ids: ArrayLike | None = None,
        annotator_ids: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Drawings:
        """Build from integer codes, in any order.

        Parameters
        ----------
        task, annotator : array_like of int, shape (A,)
            Codes of each answer, from 0; each pair at most once.
        answer, label : array_like of int, shape (D,)
            Place of each drawing's answer in the former, and code of its class.
        coordinates : array_like of float, shape (D, C)
            See the class.
        image_size : array_like of float, shape (2,) or (N, 2), default (100, 100)
            Width and height of all images, or of each.
        num_tasks, num_annotators, num_classes, task_ids, annotator_ids, classes
            See `MultiannotatorLabels.from_codes`.

        Raises
        ------
        ValueError
            Lengths differ; a code is missing, not an integer or out of range; a (task,
            annotator) occurs twice; an image has no size.
        """
        answers = MultiannotatorLabels.from_codes(
            task,
            annotator,
            np.zeros(np.shape(task)),
            num_tasks=num_tasks,
            num_annotators=num_annotators,
            num_classes=1,
            task_ids=task_ids,
            annotator_ids=annotator_ids,
        )
        drawn = MultiannotatorLabels.from_codes(
            np.arange(np.size(answer)),
            answer,
            label,
            num_annotators=answers.num_labels,
            num_classes=num_classes,
            classes=classes,
        )
        places = np.array(coordinates, dtype=np.float64)
        if places.ndim == 1 and places.size == 0:
            places = places.reshape(0, 0)
        if places.ndim != 2 or len(places) != drawn.num_labels:
            raise ValueError(
                f"coordinates have shape {places.shape}: they need one row for each of the "
                f"{drawn.num_labels} drawings"
            )
        return cls(
            answer_task=_read_only(answers.in_callers_order(answers.task)),
            answer_annotator=_read_only(answers.in_callers_order(answers.annotator)),
            answer=drawn.annotator,
            label=drawn.label,
            coordinates=_read_only(places),
            image_size=_read_only(_image_size(image_size, answers.num_tasks)),
            task_ids=answers.task_ids,
            annotator_ids=answers.annotator_ids,
            classes=drawn.classes,
        )

    @property
    def num_tasks(self) -> int:
        """Number of tasks N, those without answers included."""
        return len(self.task_ids)

    @property
    def num_annotators(self) -> int:
        """Number of annotators M, those without answers included."""
        return len(self.annotator_ids)

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.classes)

    @property
    def num_answers(self) -> int:
        """Number of answers A."""
        return len(self.answer_task)

    @property
    def num_drawings(self) -> int:
        """Number of drawings D."""
        return len(self.answer)

    @property
    def task(self) -> IntArray:
        """Task of each drawing, shape (D,)."""
        return self.answer_task[self.answer]

    @property
    def annotator(self) -> IntArray:
        """Annotator of each drawing, shape (D,)."""
        return self.answer_annotator[self.answer]

    @property
    def diagonal(self) -> FloatArray:
        """Length of the diagonal of each task's image, shape (N,)."""
        diagonal: FloatArray = np.hypot(*self.image_size.T)
        return diagonal

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_tasks={self.num_tasks}, "
            f"num_annotators={self.num_annotators}, num_classes={self.num_classes}, "
            f"num_answers={self.num_answers}, num_drawings={self.num_drawings})"
        )


def _image_size(image_size: ArrayLike, num_tasks: int) -> FloatArray:
    size = np.asarray(image_size, dtype=np.float64)
    if size.shape not in ((2,), (num_tasks, 2)):
        raise ValueError(
            f"image_size has shape {size.shape}: it must be width and height of all images, or "
            f"of each of the {num_tasks} tasks"
        )
    size = np.broadcast_to(size, (num_tasks, 2)).copy()
    bad = np.flatnonzero(~(np.isfinite(size) & (size > 0)).all(axis=1))
    if bad.size:
        raise ValueError(
            f"the image of task {bad[0]} has the size {size[bad[0]].tolist()}: width and height "
            "must be above 0"
        )
    return size


def _read_only(array: AnyArray) -> AnyArray:
    array.flags.writeable = False
    return array
