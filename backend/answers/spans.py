"""Spans of a text: `<Labels>` on a `<Text>` tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from label_studio_sdk.label_interface.control_tags import ControlTag
from numpy.typing import NDArray

from backend.answers.attached import (
    attached_consensus,
    attached_in,
    attached_note,
    attached_regions,
)
from backend.answers.form import Answers, PartQuality, Solution, StructuredForm, Value
from backend.answers.matches import f1_of_matches
from backend.label_studio.questions import JSON, AnswerType, Question, Source
from crowdlab_engine.span_answers import SpanAnswers
from crowdlab_engine.spans import SpanConsensus, refined_tokens
from crowdlab_engine.token_classifier import token_features, token_pred_probs
from crowdlab_engine.tokens import Tokens, tokenize

_SAME_SPAN = 0.5
"""Least intersection over union of a span and that of the consensus that it is."""


class Spans(StructuredForm):
    """Any number of spans; an annotation without any says that the text has none.

    A part of an answer is `[start, end, class]`: the first code point of the span, and the
    one after its last. Label Studio counts code points, too, whatever JavaScript does. What
    else was asked of the span follows, if it was answered.
    """

    type = AnswerType.SPANS
    tag = "Labels"
    needs_contents = True

    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag that fits; empty if there is one."""
        target = next(iter(control.objects or ()))
        if target.tag != "Text":
            return (
                f"Labels of parts have a consensus on <Text> only, not on <{target.tag}>; show the "
                "same content by <Text>"
            )
        if not (target.value or "").startswith("$"):
            return f'its text "{target.value}" is the same in every task'
        if (target.attr or {}).get("valueType", "text").lower() == "url":
            return "its text is behind a URL, which is not fetched"
        if control.dynamic_value or not control.labels:
            return "its labels come from the task data, so there is no fixed set of classes"
        return ""

    def question_of(self, control: ControlTag, sources: tuple[Source, ...]) -> Question:
        """Question that a control tag asks; the text that it is about is its first source."""
        target = next(iter(control.objects or ()))
        own = Source("text", str(target.value).removeprefix("$"))
        return super().question_of(control, tuple(dict.fromkeys((own, *sources))))

    def answer_in(self, question: Question, result: Sequence[object]) -> Value:
        """Spans that an annotation's result gives, ascending.

        Spans that no text can have, or of a class that the config no longer has, are kept:
        `solve` leaves them out and says how many they were.
        """
        spans: dict[tuple[int, int, str], JSON] = {}
        for region in question.regions_in(result):
            value = region["value"]
            start, end = _offset(value.get("start")), _offset(value.get("end"))
            if start is None or end is None:
                continue
            attached = attached_in(question, result, region.get("id"))
            for label in _labels(value.get("labels")):
                span = (start, end, label)
                spans[span] = {**spans.get(span, {}), **attached}
        return [_part(*span, attached) for span, attached in sorted(spans.items(), key=_place)]

    def regions_of(
        self, question: Question, answer: Value, quality: PartQuality, contents: JSON
    ) -> list[JSON]:
        """One region for each span, with its quality as its score, and what was asked of it."""
        text = _shown(question, contents)
        found: list[JSON] = []
        for number, (start, end, label, *more) in enumerate(answer):
            place: JSON = {"start": start, "end": end}
            if text is not None:
                place["text"] = text[start:end]
            region: JSON = {
                "from_name": question.name,
                "to_name": question.to_name,
                "type": "labels",
                "value": {**place, "labels": [label]},
            }
            if quality.parts:
                region["score"] = quality.parts[number]
            if more:
                region["id"] = f"{question.name}-{number + 1}"
            found.append(region)
            sure = quality.attached[number] if quality.attached else {}
            for attached in more:
                found += attached_regions(question, region, place, attached, sure)
        return found

    def attached_to(self, part: Any) -> JSON:
        """Answers to what was asked of a span, by the control's name."""
        attached: JSON = part[3] if len(part) > 3 else {}
        return attached

    def likeness(
        self, question: Question, pairs: Sequence[tuple[Value, Value]]
    ) -> NDArray[np.float64]:
        """Return the F1 score of spans of the same class that overlap by half at least.

        What is no span of a class of the config is left out; an answer of nothing else is like
        no other.
        """
        found = np.zeros(len(pairs))
        for place, pair in enumerate(pairs):
            one, other = (
                [part for part in some if part[2] in question.classes and part[0] < part[1]]
                for some in pair
            )
            if (pair[0] and not one) or (pair[1] and not other):
                continue
            similarity = np.array(
                [[_overlap(a, b) if a[2] == b[2] else 0.0 for b in other] for a in one]
            )
            found[place] = f1_of_matches(similarity.reshape(len(one), len(other)), _SAME_SPAN)
        return found

    def words_of_part(self, question: Question, part: Any, contents: JSON) -> str:
        """Class, text and place of a span."""
        start, end, label, *_ = part
        text = _shown(question, contents)
        words = "" if text is None else " ".join(text[max(start, 0) : max(end, 0)].split())
        told = f"{label} “{words}”" if words else label
        return f"{told} {start}–{end}" + attached_note(question, self.attached_to(part))

    def solve(self, question: Question, answers: Answers) -> Solution:
        """Find the consensus spans, with a classifier of tokens where one can be trained."""
        return _Problem(question, answers).solve()


class _Problem:
    """A question's answers in the form of the engine."""

    def __init__(self, question: Question, answers: Answers) -> None:
        self._question = question
        self._answers = answers
        self._left_out: Counter[str] = Counter()
        shown = [
            _shown(question, answers.contents.get(task, {})) for task in answers.tasks.tolist()
        ]
        self._has_text = np.array([text is not None for text in shown], dtype=np.bool_)
        self._texts = [text or "" for text in shown]
        self._usable = np.flatnonzero(self._has_text[answers.task])

    def solve(self) -> Solution:
        """Find the consensus of all tasks whose text is known."""
        answers = self._answers
        given = self._span_answers()
        num_answers = len(answers.task)
        if not given.num_answers:
            return self._without_texts()
        tokens = refined_tokens(tokenize(self._texts), given)
        fitted, classifier = _fit(self._texts, given, tokens)

        spans = fitted.spans_
        first = np.searchsorted(spans["task"], np.arange(len(answers.tasks) + 1))
        places = list(zip(spans["start"].tolist(), spans["end"].tolist(), strict=True))
        names = [self._question.classes[code] for code in spans["label"]]
        attached, sure = self._attached(places, first)
        rows = [
            _part(start, end, name, one)
            for (start, end), name, one in zip(places, names, attached, strict=True)
        ]
        has_consensus = fitted.num_annotations_ > 0
        values: list[Value | None] = [
            rows[first[task] : first[task + 1]] if known else None
            for task, known in enumerate(has_consensus.tolist())
        ]
        quality = spans["quality"].tolist()
        answer_quality = np.full(num_answers, np.nan)
        answer_quality[self._usable] = fitted.answer_quality_
        stats = fitted.annotator_stats_
        return Solution(
            values=values,
            quality=fitted.task_quality_,
            agreement=self._agreement(values),
            answer_quality=answer_quality,
            part_quality=[
                PartQuality(quality[low:high], sure[low:high]).row()
                for low, high in zip(first[:-1].tolist(), first[1:].tolist(), strict=True)
            ],
            annotator_stats=stats[stats["num_examples_labeled"] > 0],
            model_weight=None if classifier else 0.0,
            classifier=classifier or "none: tokens do not tell their class, or labels are too few",
            not_counted=self._message(),
        )

    def _attached(
        self, places: Sequence[tuple[int, int]], first: NDArray[np.int64]
    ) -> tuple[list[JSON], list[dict[str, float]]]:
        """What was asked of each span of the consensus, by those who marked about the same."""
        answers = self._answers
        region: list[int] = []
        annotator: list[int] = []
        given: list[JSON] = []
        for number in self._usable.tolist():
            told = [(part[:2], part[3]) for part in answers.values[number] if len(part) > 3]
            task = answers.task[number]
            for place in range(first[task], first[task + 1]) if told else ():
                own, attached = max(told, key=lambda one: _overlap(one[0], places[place]))
                if _overlap(own, places[place]) >= _SAME_SPAN:
                    region.append(place)
                    annotator.append(int(answers.annotator[number]))
                    given.append(attached)
        return attached_consensus(
            self._question, np.array(region, int), np.array(annotator, int), given, len(places)
        )

    def _span_answers(self) -> SpanAnswers:
        """Answers to tasks whose text is known, without the spans that cannot be."""
        answers = self._answers
        code = {name: number for number, name in enumerate(self._question.classes)}
        spans: list[tuple[int, int, int, int]] = []
        for place, number in enumerate(self._usable.tolist()):
            length = len(self._texts[answers.task[number]])
            for start, end, label, *_ in answers.values[number]:
                if label not in code:
                    self._left_out["of a class that the config does not have"] += 1
                elif end <= start:
                    self._left_out["that end before they begin"] += 1
                elif not 0 <= start < end <= length:
                    self._left_out["outside their text"] += 1
                else:
                    spans.append((place, start, end, code[label]))
        answer, start, end, label = np.array(spans, dtype=np.int64).reshape(-1, 4).T
        return SpanAnswers.from_codes(
            answers.task[self._usable],
            answers.annotator[self._usable],
            answer,
            start,
            end,
            label,
            num_tasks=len(answers.tasks),
            annotator_ids=answers.annotators,
            classes=self._question.classes,
        )

    def _agreement(self, values: Sequence[Value | None]) -> NDArray[np.float64]:
        """Share of the answers to each task that equal the consensus."""
        answers = self._answers
        plain = [None if value is None else [part[:3] for part in value] for value in values]
        equal = [
            [part[:3] for part in given] == plain[task]
            for task, given in zip(answers.task.tolist(), answers.values, strict=True)
        ]
        num_tasks = len(answers.tasks)
        size = np.bincount(answers.task, minlength=num_tasks)
        agreement = np.full(num_tasks, np.nan)
        num_equal = np.bincount(answers.task, equal, num_tasks)
        np.divide(num_equal, size, out=agreement, where=self._has_text & (size > 0))
        return agreement

    def _without_texts(self) -> Solution:
        """Nothing, as the text of no task with answers is known."""
        num_tasks = len(self._answers.tasks)
        unknown = np.full(num_tasks, np.nan)
        return Solution(
            values=[None] * num_tasks,
            quality=unknown,
            agreement=unknown,
            answer_quality=np.full(len(self._answers.task), np.nan),
            part_quality=[np.empty(0)] * num_tasks,
            annotator_stats=pd.DataFrame(columns=_NO_STATS),
            classifier="none: no text is known",
            not_counted=self._message(),
        )

    def _message(self) -> str:
        """What could not be used, and why; empty if all could."""
        why = [f"{number} {reason}" for reason, number in sorted(self._left_out.items())]
        parts = [f"spans ({', '.join(why)})"] if why else []
        missing = len(self._answers.task) - len(self._usable)
        if missing:
            key = self._question.sources[0].key
            parts.append(f'{missing} answers to tasks without a text under "{key}" in their data')
        return "; ".join(parts)


_NO_STATS = [
    "annotator_quality",
    "agreement_with_consensus",
    "worst_class",
    "num_examples_labeled",
    "enough_data",
]


def _fit(texts: Sequence[str], answers: SpanAnswers, tokens: Tokens) -> tuple[SpanConsensus, str]:
    """Find the consensus, and what classifier helped, if any."""
    fitted = SpanConsensus().fit(answers, tokens)
    pred_probs = token_pred_probs(
        token_features(texts, tokens),
        fitted.token_label_,
        tokens,
        num_classes=answers.num_classes + 1,
        sample_weight=np.nan_to_num(fitted.token_quality_),
    )
    if pred_probs is None:
        return fitted, ""
    return (
        SpanConsensus().fit(answers, tokens, pred_probs),
        "linear classifier on words and their neighbours",
    )


def _part(start: int, end: int, label: str, attached: JSON) -> list[Any]:
    return [start, end, label, attached] if attached else [start, end, label]


def _place(item: tuple[tuple[int, int, str], JSON]) -> tuple[int, int, str]:
    return item[0]


def _overlap(first: Sequence[int], second: Sequence[int]) -> float:
    """Intersection over union of two spans."""
    shared = min(first[1], second[1]) - max(first[0], second[0])
    union = max(first[1], second[1]) - min(first[0], second[0])
    return max(shared, 0) / union if union > 0 else 0.0


def _shown(question: Question, contents: JSON) -> str | None:
    """Text that the annotators of a task saw; None if it is not known."""
    return _text_of(contents.get(question.sources[0].key)) if question.sources else None


def _text_of(value: object) -> str | None:
    """Text that Label Studio shows; None if the task has none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _offset(value: object) -> int | None:
    """Whole number, in whatever form Label Studio holds it; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else None


def _labels(value: object) -> list[str]:
    return [label for label in value if isinstance(label, str)] if isinstance(value, list) else []
