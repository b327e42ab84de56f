"""What is asked of each region of an answer: controls with `perRegion="true"`.

Label Studio gives such an answer the id of its region. It is kept with the region, under
the control's name: a class by its name, any other answer as its form has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.answers.form import Answers, PartQuality
from backend.label_studio.questions import JSON, NO_LABEL, Question
from crowdlab_engine import Crowdlab, MultiannotatorLabels


def attached_in(question: Question, result: Sequence[object], region_id: object) -> JSON:
    """Answers that an annotation's result gives to what is asked of a region.

    Returns
    -------
    dict
        Name of the control to its answer, without those that are left open.
    """
    from backend.answers import forms  # which imports this module

    if region_id is None or not question.attached:
        return {}
    own = [one for one in result if isinstance(one, Mapping) and one.get("id") == region_id]
    found: JSON = {}
    for asked in question.attached:
        if not asked.values_in(own):
            continue
        if asked.type.is_class:
            code = forms.code_of(asked, own)
            answer: Any = None if code == NO_LABEL else asked.classes[code]
        else:
            answer = forms.structured_form(asked).answer_in(asked, own)
        if answer is not None:
            found[asked.name] = answer
    return found


def attached_consensus(
    question: Question,
    region: NDArray[np.int64],
    annotator: NDArray[np.int64],
    given: Sequence[JSON],
    num_regions: int,
) -> tuple[list[JSON], list[dict[str, float]]]:
    """Find the consensus on what is asked of each region.

    Parameters
    ----------
    region, annotator
        Region of the consensus that each annotator's region is of, and who that is, as codes;
        each pair at most once. Shape (R,).
    given
        Answers that belong to each annotator's region, see `attached_in`; length R.
    num_regions
        Number of regions of the consensus.

    Returns
    -------
    list of dict
        For each region, name of the control to the answer.
    list of dict
        And to the quality of the answer, 0 to 1, in the same order.
    """
    found: list[JSON] = [{} for _ in range(num_regions)]
    qualities: list[dict[str, float]] = [{} for _ in range(num_regions)]
    for asked in question.attached:
        rows = [row for row, answers in enumerate(given) if asked.name in answers]
        if not rows:
            continue
        answers = [given[row][asked.name] for row in rows]
        solved, quality = _solve(asked, region[rows], annotator[rows], answers, num_regions)
        for place, (answer, sure) in enumerate(zip(solved, quality.tolist(), strict=True)):
            if answer is not None:
                found[place][asked.name] = answer
                qualities[place][asked.name] = sure
    return found, qualities


def _solve(
    asked: Question,
    region: NDArray[np.int64],
    annotator: NDArray[np.int64],
    answers: Sequence[Any],
    num_regions: int,
) -> tuple[Sequence[Any], NDArray[np.float64]]:
    """Answer to one control for each region, None where nobody answered, and its quality."""
    from backend.answers import forms

    if asked.type.is_class:
        labels = MultiannotatorLabels.from_codes(
            region,
            annotator,
            [asked.classes.index(answer) for answer in answers],
            num_tasks=num_regions,
            num_classes=len(asked.classes),
        )
        fitted = Crowdlab().fit(labels)
        names = [
            None if code == NO_LABEL else asked.classes[code]
            for code in fitted.consensus_label_.tolist()
        ]
        return names, fitted.consensus_quality_score_
    order = np.lexsort((annotator, region))
    solution = forms.structured_form(asked).solve(
        asked,
        Answers(
            tasks=np.arange(num_regions),
            annotators=np.arange(annotator.max() + 1),
            task=region[order],
            annotator=annotator[order],
            values=[answers[place] for place in order.tolist()],
        ),
    )
    return solution.values, solution.quality


def attached_regions(
    question: Question,
    region: JSON,
    place: JSON,
    attached: JSON,
    quality: Mapping[str, float],
) -> list[JSON]:
    """Regions of a prediction's result that answer what is asked of a region.

    Parameters
    ----------
    region
        The region itself, whose id and image they share.
    place
        The part of its value that says where it is.
    attached
        Answers, see `attached_in`.
    quality
        Name of a control to the quality of its answer, which becomes the score of its region.
    """
    from backend.answers import forms

    shared = {key: value for key, value in region.items() if key not in {"type", "value", "score"}}
    found = []
    for asked in question.attached:
        if asked.name not in attached:
            continue
        answer = attached[asked.name]
        if asked.type.is_class:
            own = [forms.region_of(asked, asked.classes.index(answer))]
        else:
            own = forms.structured_form(asked).regions_of(asked, answer, PartQuality(), {})
        score = {"score": quality[asked.name]} if asked.name in quality else {}
        found += [{**shared, **one, **score, "value": {**place, **one["value"]}} for one in own]
    return found


def attached_words(question: Question, attached: JSON) -> dict[str, str]:
    """Answers to what is asked of a region, for people, by the control's name."""
    from backend.answers import forms

    return {
        asked.name: str(attached[asked.name])
        if asked.type.is_class
        else forms.structured_form(asked).words_of(asked, attached[asked.name], {})
        for asked in question.attached
        if asked.name in attached
    }


def attached_note(question: Question, attached: JSON) -> str:
    """The same in brackets, to follow the words of the region; empty if nothing is said."""
    told = attached_words(question, attached)
    return f" ({'; '.join(f'{name}: {words}' for name, words in told.items())})" if told else ""
