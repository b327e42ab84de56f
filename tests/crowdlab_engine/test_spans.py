from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from crowdlab_engine import Crowdlab, Fusion, OneCoin
from crowdlab_engine.span_answers import SpanAnswers
from crowdlab_engine.spans import SpanConsensus, refined_tokens
from crowdlab_engine.tokens import Tokens, tokenize

CLASSES = ("person", "place", "firm")
WORDS = ("Ada", "lived", "в", "Москве", "東京", "สวัสดี", "हिन्दी", "👩‍👩‍👧", "🇩🇪", "e\u0301a", ",")

Span = tuple[int, int, str]
Given = list[dict[str, list[Span]]]
"""Of each text, annotator to spans."""


def places(text: str) -> list[tuple[int, int]]:
    found, at = [], 0
    for word in text.split(" "):
        found.append((at, at + len(word)))
        at += len(word) + 1
    return found


def answers_of(given_spans: Given, classes: Sequence[str] = CLASSES) -> SpanAnswers:
    people = sorted({name for one in given_spans for name in one})
    task, annotator, spans = [], [], []
    for number, one in enumerate(given_spans):
        for name, marked in one.items():
            spans += [(len(task), start, end, classes.index(label)) for start, end, label in marked]
            task.append(number)
            annotator.append(people.index(name))
    return SpanAnswers.from_codes(
        task,
        annotator,
        *np.array(spans, dtype=np.int64).reshape(-1, 4).T,
        num_tasks=len(given_spans),
        annotator_ids=people,
        classes=classes,
    )


def fit(
    texts: list[str], given_spans: Given, classes: Sequence[str] = CLASSES, **options: Any
) -> tuple[SpanConsensus, Tokens]:
    answers = answers_of(given_spans, classes)
    tokens = refined_tokens(tokenize(texts), answers)
    return SpanConsensus(**options).fit(answers, tokens), tokens


def found(
    fitted: SpanConsensus, num_tasks: int, classes: Sequence[str] = CLASSES
) -> list[list[Span]]:
    spans: list[list[Span]] = [[] for _ in range(num_tasks)]
    for row in fitted.spans_.itertuples():
        spans[row.task].append((row.start, row.end, classes[row.label]))
    return spans


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[str], Given]:
    texts = draw(
        st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1, max_size=5)
    )
    given_spans: Given = []
    for text in texts:
        where = places(text) if text else []
        people = draw(st.sets(st.sampled_from("abcd"), max_size=4))
        one = {}
        for name in sorted(people):
            span = st.tuples(
                st.integers(0, max(len(where) - 1, 0)),
                st.integers(1, 3),
                st.sampled_from(CLASSES),
            )
            drawn = draw(st.lists(span, max_size=3)) if where else []
            one[name] = [
                (where[first][0], where[min(first + size, len(where)) - 1][1], label)
                for first, size, label in drawn
            ]
        given_spans.append(one)
    if not any(given_spans):
        given_spans[0] = {"a": []}
    return texts, given_spans


@given(problems())
@settings(deadline=None, max_examples=60)
def test_qualities_are_probabilities_and_spans_fit_their_texts(
    problem: tuple[list[str], Given],
) -> None:
    texts, given_spans = problem
    fitted, tokens = fit(texts, given_spans)
    has_answers = np.array([bool(one) for one in given_spans])
    np.testing.assert_array_equal(np.isnan(fitted.task_quality_), ~has_answers)
    for quality in (
        fitted.task_quality_[has_answers],
        fitted.answer_quality_,
        fitted.spans_["quality"].to_numpy(),
        fitted.annotator_stats_["annotator_quality"].dropna().to_numpy(),
    ):
        assert ((quality >= 0) & (quality <= 1)).all()
    for text, spans in zip(texts, found(fitted, len(texts)), strict=True):
        for start, end, _ in spans:
            assert 0 <= start < end <= len(text)
            assert text[start:end] == text[start:end].strip()
    assert len(fitted.token_label_) == len(tokens)
    assert has_answers[fitted.spans_["task"]].all()


@given(problems(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_order_does_not_matter(problem: tuple[list[str], Given], random: Any) -> None:
    texts, given_spans = problem
    fitted, _ = fit(texts, given_spans)
    order = random.sample(range(len(texts)), len(texts))
    moved, _ = fit(
        [texts[number] for number in order],
        [dict(reversed(given_spans[number].items())) for number in order],
    )
    assert [found(fitted, len(texts))[number] for number in order] == found(moved, len(texts))
    np.testing.assert_allclose(fitted.task_quality_[order], moved.task_quality_, atol=1e-6)


def test_names_of_people_and_classes_do_not_matter() -> None:
    texts = ["Ada lived in London", "Bob left Paris", "nothing here"]
    crowd: Given = [
        {
            "a": [(0, 3, "person"), (13, 19, "place")],
            "b": [(0, 3, "person")],
            "c": [(0, 3, "firm")],
        },
        {
            "a": [(0, 3, "person")],
            "b": [(0, 3, "person"), (9, 14, "place")],
            "c": [(9, 14, "place")],
        },
        {"a": [], "b": [], "c": [(0, 7, "firm")]},
    ]
    fitted, _ = fit(texts, crowd)
    people = {"a": "z", "b": "m", "c": "k"}
    names = dict(zip(CLASSES, ("x, y", "質", "😀"), strict=True))
    renamed: Given = [
        {people[p]: [(s, e, names[c]) for s, e, c in spans] for p, spans in one.items()}
        for one in crowd
    ]
    classes = ("😀", "x, y", "質")
    again, _ = fit(texts, renamed, classes)
    assert [[(s, e, names[c]) for s, e, c in spans] for spans in found(fitted, 3)] == found(
        again, 3, classes
    )
    np.testing.assert_allclose(fitted.task_quality_, again.task_quality_)
    ours, theirs = fitted.annotator_stats_, again.annotator_stats_
    np.testing.assert_allclose(
        ours["span_f1"].to_numpy(), theirs["span_f1"].reindex([people[p] for p in ours.index])
    )


@pytest.mark.parametrize("estimator", [Fusion(), Crowdlab(), OneCoin()])
@given(problems())
@settings(deadline=None, max_examples=30)
def test_unanimous_annotators_get_their_spans_back(
    estimator: Any, problem: tuple[list[str], Given]
) -> None:
    texts, given_spans = problem
    said = []
    for one in given_spans:
        spans: list[Span] = []
        for start, end, label in sorted(next(iter(one.values()), [])):
            if not spans or spans[-1][1] <= start:
                spans.append((start, end, label))
        said.append(spans)
    fitted, _ = fit(texts, [dict.fromkeys("abcd", spans) for spans in said], estimator=estimator)
    assert found(fitted, len(texts)) == said
    assert (fitted.task_quality_ > 0.8).all()
    assert (fitted.spans_["quality"] > 0.8).all()
    assert (fitted.annotator_stats_["agreement_with_consensus"] == 1).all()
    assert (fitted.annotator_stats_["span_f1"].dropna() == 1).all()


def test_neighbours_of_one_class_stay_apart_if_annotators_keep_them_apart() -> None:
    texts = ["Ada Bob"] * 2
    apart: list[Span] = [(0, 3, "person"), (4, 7, "person")]
    whole: list[Span] = [(0, 7, "person")]
    fitted, _ = fit(
        texts,
        [{"a": apart, "b": apart, "c": whole}, {"a": apart, "b": whole, "c": whole}],
    )
    assert found(fitted, 2) == [apart, whole]


def test_who_marks_nothing_says_that_there_is_nothing() -> None:
    fitted, _ = fit(["Ada lived"] * 3, [{"a": [], "b": [], "c": [(0, 3, "person")]}] * 3)
    assert found(fitted, 3) == [[], [], []]
    assert fitted.num_annotations_.tolist() == [3, 3, 3]
    stats = fitted.annotator_stats_
    assert stats.index[0] == "c"
    assert stats["agreement_with_consensus"].to_dict() == {"c": 0.0, "a": 1.0, "b": 1.0}
    assert stats.loc["c", "worst_class"] == 0
    assert stats.loc["a", "worst_class"] == -1


def test_nobody_marks_anything() -> None:
    fitted, _ = fit(["Ada", ""], [{"a": [], "b": []}, {"a": []}])
    assert fitted.spans_.empty
    assert fitted.task_quality_.tolist() == [1, 1]
    assert fitted.answer_quality_.tolist() == [1, 1, 1]
    stats = fitted.annotator_stats_
    assert stats["span_f1"].isna().all()
    assert (stats["annotator_quality"] == 1).all()


def test_a_part_of_a_token_is_the_token_unless_annotators_agree() -> None:
    part: list[Span] = [(0, 2, "place")]
    whole: list[Span] = [(0, 4, "place")]
    texts = ["서울에서 왔다"] * 3
    fitted, _ = fit(
        texts,
        [
            {"a": part, "b": part, "c": part},
            {"a": part, "b": whole, "c": whole},
            {"a": part, "b": part, "c": whole},
        ],
    )
    assert found(fitted, 3) == [part, whole, part]


def test_overlaps_on_purpose_are_kept_and_accidental_ones_are_not() -> None:
    text = "University of London"
    nested: list[Span] = [(0, 20, "firm"), (14, 20, "place")]
    fitted, _ = fit([text] * 3, [dict.fromkeys("abc", nested)] * 3)
    assert len(fitted.layers_) == 2
    assert found(fitted, 3) == [nested] * 3

    flat: list[Span] = [(0, 20, "firm")]
    crowd: Given = [{"a": flat, "b": flat, "c": flat}] * 20
    crowd[3] = {"a": nested, "b": flat, "c": flat}
    places_too: Given = [{name: [(14, 20, "place")] for name in "abc"}]
    fitted, _ = fit([text] * 21, crowd + places_too)
    assert len(fitted.layers_) == 1
    assert found(fitted, 21)[:20] == [flat] * 20


def test_a_careless_annotator_is_found() -> None:
    rng = np.random.RandomState(0)
    texts = ["Ada met Bob in Rome near Pisa today"] * 60
    true: list[Span] = [(0, 3, "person"), (8, 11, "person"), (15, 19, "place"), (25, 29, "place")]

    def said(skill: float) -> list[Span]:
        return [span for span in true if rng.uniform() < skill] + [
            (30, 35, "firm") for _ in range(rng.uniform() > skill)
        ]

    fitted, _ = fit(
        texts, [{"a": said(0.95), "b": said(0.9), "c": said(0.9), "d": said(0.3)} for _ in texts]
    )
    stats = fitted.annotator_stats_
    assert stats.index[0] == "d"
    for column in ("span_f1", "token_quality", "agreement_with_consensus"):
        assert stats[column].idxmin() == "d"
    assert stats["num_examples_labeled"].tolist() == [60] * 4
    assert stats["enough_data"].all()
    assert np.mean([one == true for one in found(fitted, 60)]) > 0.8


def test_a_model_can_settle_what_annotators_cannot() -> None:
    texts = ["Ada lived"] * 30
    crowd: Given = [
        {"a": [(0, 3, "person")], "b": [(0, 3, "person") if n else (0, 3, "place")]}
        for n in range(30)
    ]
    answers = answers_of(crowd)
    tokens = tokenize(texts)
    probs = np.tile([[0.01, 0.97, 0.01, 0.01], [0.01, 0.01, 0.01, 0.97]], (30, 1))
    probs[2:] = np.tile([[0.97, 0.01, 0.01, 0.01], [0.01, 0.01, 0.01, 0.97]], (29, 1))
    fitted = SpanConsensus().fit(answers, tokens, probs)
    assert found(fitted, 30)[0] == [(0, 3, "place")]
    with pytest.raises(ValueError, match=r"pred_probs has shape \(60, 3\) for 60 tokens and 3"):
        SpanConsensus().fit(answers, tokens, probs[:, 1:])


def test_refuses_no_answer() -> None:
    with pytest.raises(ValueError, match="there is no answer"):
        fit(["Ada"], [{}])


def test_is_a_scikit_learn_estimator() -> None:
    copy = clone(SpanConsensus(Crowdlab("majority_vote")))
    assert copy.get_params()["estimator__consensus_method"] == "majority_vote"
