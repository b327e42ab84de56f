"""The functions that users of `cleanlab.multiannotator` know, computed by this engine.

Replace ``from cleanlab.multiannotator import …`` by ``from crowdlab_engine.cleanlab_api
import …``: names, arguments, defaults, and the results' keys, columns, types and order are
those of cleanlab 2.9.0. One argument is added everywhere, `random_state`: ties that nothing
else breaks are drawn from it, never from numpy's global generator.

Results are the same too, up to rounding, except where cleanlab is in error (the CHANGELOG
lists every case):

- labels of a task are counted rightly, whatever their type: this changes
  `calibrate_probs=True`, `quality_method="agreement"` and active learning;
- ensembles take score options, and nothing of the caller's is overwritten;
- the weights returned are those of the first consensus method;
- score options count in `annotator_quality` whether or not details are returned;
- a data set in which every task is tied, an ensemble of one model with a pool, and an empty
  list of methods no longer fail, or fail with a clear error;
- probabilities that are missing or outside [0, 1] are refused at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.active_learning import active_learning_scores, fit_consensus, score_tasks
from crowdlab_engine.block import Block
from crowdlab_engine.crowdlab import ConsensusMethod, Crowdlab, QualityMethod
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import vote

__all__ = [
    "convert_long_to_wide_dataset",
    "format_multiannotator_labels",
    "get_active_learning_scores",
    "get_active_learning_scores_ensemble",
    "get_label_quality_multiannotator",
    "get_label_quality_multiannotator_ensemble",
    "get_majority_vote_label",
]

_STATS_COLUMNS = [
    "annotator_quality",
    "agreement_with_consensus",
    "worst_class",
    "num_examples_labeled",
]


def get_majority_vote_label(
    labels_multiannotator: pd.DataFrame | AnyArray,
    pred_probs: AnyArray | None = None,
    verbose: bool = True,
    *,
    random_state: RandomState = 0,
) -> IntArray:
    """Return the class that most annotators of each task chose.

    Ties go to the class of largest `pred_probs`, then to the rarest class, then to that of
    the annotators who agree best with the others, then to a random one (with a warning).

    Parameters
    ----------
    labels_multiannotator : DataFrame or ndarray, shape (N, M)
        Class codes from 0, a row per task and a column per annotator; NaN for no label.
    pred_probs : ndarray, shape (N, K), optional
        Predicted class probabilities.
    verbose : bool, default True
        Whether to print notes, and to refuse labels of which no task has several.
    random_state : int or numpy.random.RandomState, default 0
        Source of random choices.

    Returns
    -------
    ndarray of int64, shape (N,)

    Raises
    ------
    ValueError, TypeError
        As `get_label_quality_multiannotator`.
    """
    crowd = _Crowd.read(
        labels_multiannotator, pred_probs, num_dimensions=2, allow_single_labels=not verbose
    )
    block = Block.of(crowd.labels, pred_probs, row_sum_tolerance=np.inf)
    majority = vote(block, ties="rare", random_state=random_state)
    _warn_of_random_ties(majority.drawn)
    if verbose:
        _note_lost_classes(crowd.labels, majority.label, "majority_vote")
    return majority.label


def get_label_quality_multiannotator(
    labels_multiannotator: pd.DataFrame | AnyArray,
    pred_probs: AnyArray,
    *,
    consensus_method: str | list[str] = "best_quality",
    quality_method: str = "crowdlab",
    calibrate_probs: bool = False,
    return_detailed_quality: bool = True,
    return_annotator_stats: bool = True,
    return_weights: bool = False,
    verbose: bool = True,
    label_quality_score_kwargs: Mapping[str, Any] = {},
    random_state: RandomState = 0,
) -> dict[str, Any]:
    """Return consensus labels, and the quality of them, of all labels and of annotators.

    Parameters
    ----------
    labels_multiannotator : DataFrame or ndarray, shape (N, M)
        Class codes from 0, a row per task and a column per annotator; NaN, None or NA for
        no label. Every row and every column has a label, and some row has several. Names
        of annotators may occur twice.
    pred_probs : ndarray, shape (N, K)
        Out-of-sample class probabilities; rows need not sum to 1.
    consensus_method : str or list of str, default "best_quality"
        "best_quality" or "majority_vote". Of a list, the first counts for details, annotators
        and weights; the others add columns to `label_quality`.
    quality_method : str, default "crowdlab"
        "crowdlab", or "agreement", the share of annotators who chose the class.
    calibrate_probs : bool, default False
        Whether to scale `pred_probs` to the temperature that fits the labels best.
    return_detailed_quality, return_annotator_stats, return_weights : bool
        Which of the results to return besides `label_quality`.
    verbose : bool, default True
        Whether to print notes on classes lost and annotators without peers.
    label_quality_score_kwargs : dict, default {}
        `method` ("self_confidence", "normalized_margin", "confidence_weighted_entropy") and
        `adjust_pred_probs`, see `crowdlab_engine.Crowdlab`.
    random_state : int or numpy.random.RandomState, default 0
        Decides majority votes that nothing else can; a warning lists them.

    Returns
    -------
    dict
        - ``label_quality``: DataFrame of N rows, with `consensus_label`,
          `consensus_quality_score` (in [0, 1], higher is better), `annotator_agreement`,
          `num_annotations`; the first three again for each further method, with its name
          appended.
        - ``detailed_label_quality``: DataFrame (N, M), columns "quality_annotator_" and the
          annotator, the quality of each label in [0, 1]; NaN where there is none.
        - ``annotator_stats``: DataFrame of M rows, the worst annotator first:
          `annotator_quality` in [0, 1] (NaN for one who shares no task with others),
          `agreement_with_consensus`, `worst_class`, `num_examples_labeled`.
        - ``model_weight``, ``annotator_weight``: float, and ndarray of shape (M,).

    Raises
    ------
    ValueError
        Labels are not class codes in two dimensions, a row or column is empty, or no task
        has several labels; `pred_probs` is missing, has another shape or impossible values;
        a method is unknown; weights are asked of "agreement".
    TypeError
        `pred_probs` is not an ndarray; labels are an ndarray of objects; a score option is
        unknown.
    """
    return _label_quality(
        labels_multiannotator,
        pred_probs,
        num_dimensions=2,
        consensus_method=consensus_method,
        quality_method=quality_method,
        calibrate_probs=calibrate_probs,
        returned=(return_detailed_quality, return_annotator_stats, return_weights),
        verbose=verbose,
        score_options=label_quality_score_kwargs,
        random_state=random_state,
    )


def get_label_quality_multiannotator_ensemble(
    labels_multiannotator: pd.DataFrame | AnyArray,
    pred_probs: AnyArray,
    *,
    calibrate_probs: bool = False,
    return_detailed_quality: bool = True,
    return_annotator_stats: bool = True,
    return_weights: bool = False,
    verbose: bool = True,
    label_quality_score_kwargs: Mapping[str, Any] = {},
    random_state: RandomState = 0,
) -> dict[str, Any]:
    """Return what `get_label_quality_multiannotator` does, from several models.

    Parameters
    ----------
    labels_multiannotator : DataFrame or ndarray, shape (N, M)
        See `get_label_quality_multiannotator`.
    pred_probs : ndarray, shape (P, N, K)
        Out-of-sample class probabilities of each of P models; they are left as they are.
    calibrate_probs : bool, default False
        Whether to scale each model to the temperature that fits the labels best.
    return_detailed_quality, return_annotator_stats, return_weights : bool
        Which of the results to return besides `label_quality`.
    verbose : bool, default True
        Whether to print notes.
    label_quality_score_kwargs : dict, default {}
        See `get_label_quality_multiannotator`.
    random_state : int or numpy.random.RandomState, default 0
        See `get_label_quality_multiannotator`.

    Returns
    -------
    dict
        As `get_label_quality_multiannotator`; ``model_weight`` has shape (P,).

    Raises
    ------
    ValueError, TypeError
        As `get_label_quality_multiannotator`.
    """
    return _label_quality(
        labels_multiannotator,
        pred_probs,
        num_dimensions=3,
        consensus_method="best_quality",
        quality_method="crowdlab",
        calibrate_probs=calibrate_probs,
        returned=(return_detailed_quality, return_annotator_stats, return_weights),
        verbose=verbose,
        score_options=label_quality_score_kwargs,
        random_state=random_state,
    )


def get_active_learning_scores(
    labels_multiannotator: pd.DataFrame | AnyArray | None = None,
    pred_probs: AnyArray | None = None,
    pred_probs_unlabeled: AnyArray | None = None,
    *,
    random_state: RandomState = 0,
) -> tuple[FloatArray, FloatArray]:
    """Return ActiveLab scores: label the tasks of the lowest scores next.

    Parameters
    ----------
    labels_multiannotator : DataFrame or ndarray, shape (N, M), optional
        See `get_label_quality_multiannotator`; a single column, and single labels, are
        welcome. Ignored without `pred_probs`.
    pred_probs : ndarray, shape (N, K), optional
        Out-of-sample class probabilities of these tasks.
    pred_probs_unlabeled : ndarray, shape (N', K), optional
        Class probabilities of a pool of tasks without labels.
    random_state : int or numpy.random.RandomState, default 0
        Decides majority votes that nothing else can.

    Returns
    -------
    labeled, unlabeled : ndarray of float64, shapes (N,) and (N',)
        Scores in [0, 1]; empty for what was not given.

    Raises
    ------
    ValueError
        Both probabilities are missing, or only labels are; shapes or numbers of classes
        differ; or as `get_label_quality_multiannotator`.
    TypeError
        As `get_label_quality_multiannotator`.
    """
    return _active_learning(
        labels_multiannotator, pred_probs, pred_probs_unlabeled, 2, random_state
    )


def get_active_learning_scores_ensemble(
    labels_multiannotator: pd.DataFrame | AnyArray | None = None,
    pred_probs: AnyArray | None = None,
    pred_probs_unlabeled: AnyArray | None = None,
    *,
    random_state: RandomState = 0,
) -> tuple[FloatArray, FloatArray]:
    """Return ActiveLab scores from several models: label the tasks of the lowest next.

    Parameters
    ----------
    labels_multiannotator : DataFrame or ndarray, shape (N, M), optional
        See `get_active_learning_scores`.
    pred_probs : ndarray, shape (P, N, K), optional
        Out-of-sample class probabilities of each of P models, which may be one.
    pred_probs_unlabeled : ndarray, shape (P, N', K), optional
        Class probabilities of a pool of tasks without labels, by the same models.
    random_state : int or numpy.random.RandomState, default 0
        Decides majority votes that nothing else can.

    Returns
    -------
    labeled, unlabeled : ndarray of float64, shapes (N,) and (N',)
        Scores in [0, 1]; empty for what was not given.

    Raises
    ------
    ValueError, TypeError
        As `get_active_learning_scores`.
    """
    return _active_learning(
        labels_multiannotator, pred_probs, pred_probs_unlabeled, 3, random_state
    )


def convert_long_to_wide_dataset(labels_multiannotator_long: pd.DataFrame) -> pd.DataFrame:
    """Return labels as a table of tasks by annotators.

    Parameters
    ----------
    labels_multiannotator_long : DataFrame
        One row per label, with columns `task`, `annotator` and `label`; others are ignored.

    Returns
    -------
    DataFrame, shape (N, M)
        Rows and columns sorted; NaN where there is no label.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        An annotator has labelled a task twice.
    TypeError
        The input is not a DataFrame.
    """
    frame = labels_multiannotator_long
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(
            f"labels_multiannotator_long is a {type(frame).__name__}: pass a DataFrame with "
            "columns 'task', 'annotator' and 'label'"
        )
    missing = [name for name in ("task", "annotator", "label") if name not in frame.columns]
    if missing:
        raise KeyError(f"no column {missing[0]!r} among {list(frame.columns)}: rename yours")
    is_repeated = frame.duplicated(["task", "annotator"])
    if is_repeated.any():
        task, annotator = (
            frame.loc[is_repeated, name].tolist()[0] for name in ("task", "annotator")
        )
        raise ValueError(
            f"annotator {annotator!r} labelled task {task!r} more than once: keep one label for "
            "each (task, annotator)"
        )
    wide = frame.pivot(index="task", columns="annotator", values="label")
    return wide.rename_axis(index=None, columns=None)


def format_multiannotator_labels(
    labels: pd.DataFrame | AnyArray,
) -> tuple[pd.DataFrame, dict[int, Any]]:
    """Replace labels of any type by the class codes that the other functions want.

    Parameters
    ----------
    labels : DataFrame or ndarray, shape (N, M)
        Labels; None, NaN and NA mean no label, and so does the text "nan" in an ndarray of
        strings, which is what numpy makes of a missing value there.

    Returns
    -------
    formatted : DataFrame, shape (N, M)
        Codes 0 … K-1 in the order of the sorted labels: integers, or floats with NaN in
        columns where labels are missing.
    classes : dict
        The label that each code stands for. Whole numbers are integers.

    Raises
    ------
    TypeError
        `labels` is of another type.
    ValueError
        `labels` is not two-dimensional.
    """
    if not isinstance(labels, (pd.DataFrame, np.ndarray)):
        raise TypeError(
            f"labels is a {type(labels).__name__}: pass a 2-D numpy array or a DataFrame"
        )
    if labels.ndim != 2:
        raise ValueError(f"labels has shape {labels.shape}: it must be two-dimensional")
    frame = pd.DataFrame(labels)
    is_missing = frame.isna().to_numpy()
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "U":
        is_missing |= labels == "nan"
    given = pd.Series(frame.to_numpy()[~is_missing]).infer_objects()
    if given.dtype.kind == "f" and (given == np.trunc(given)).all():
        given = given.astype(np.int64)
    codes, classes = pd.factorize(given, sort=True)
    matrix = np.full(frame.shape, np.nan)
    matrix[~is_missing] = codes
    formatted = pd.DataFrame(
        {
            column: matrix[:, column]
            if is_missing[:, column].any()
            else matrix[:, column].astype(np.int64)
            for column in range(matrix.shape[1])
        },
        index=frame.index,
    )
    formatted.columns = frame.columns
    return formatted, dict(enumerate(classes.tolist()))


@dataclass(frozen=True, eq=False)
class _Crowd:
    """Labels as the caller gave them, read and checked.

    Annotators are known by position, as their names may occur twice.
    """

    labels: MultiannotatorLabels
    index: pd.Index[Any]
    annotators: pd.Index[Any]
    column_names: pd.Index[Any]
    """Names of the columns of details."""

    @classmethod
    def read(
        cls,
        labels: pd.DataFrame | AnyArray,
        pred_probs: AnyArray | None,
        *,
        num_dimensions: int,
        allow_single_labels: bool = False,
    ) -> _Crowd:
        """Read labels, and check them with the shape of `pred_probs`."""
        values, is_given = _values(labels)
        if values.ndim != 2:
            raise ValueError(
                f"labels_multiannotator has shape {values.shape}: pass one row per task and one "
                "column per annotator"
            )
        num_tasks, num_annotators = values.shape
        index: pd.Index[Any]
        annotators: pd.Index[Any]
        if isinstance(labels, pd.DataFrame):
            index, annotators = labels.index, labels.columns
            column_names = labels.iloc[:0].add_prefix("quality_annotator_").columns
        else:
            index, annotators = (
                pd.RangeIndex(num_tasks),
                pd.Index(range(num_annotators), dtype=np.int64),
            )
            column_names = pd.Index([f"quality_annotator_{one}" for one in range(num_annotators)])
        task, annotator = np.nonzero(is_given)
        label = values[task, annotator]
        _check_no_gaps(task, annotator, num_tasks, annotators)
        if not allow_single_labels:
            _check_has_shared_tasks(task, num_tasks, num_annotators)
        num_classes = _num_classes(label)
        if pred_probs is not None:
            _check_dimensions(pred_probs, "pred_probs", num_dimensions)
            *_, num_rows, num_columns = pred_probs.shape
            if num_rows != num_tasks:
                raise ValueError(
                    f"pred_probs has {num_rows} rows but labels_multiannotator has {num_tasks}: "
                    "pass one row per task"
                )
            if num_columns < num_classes:
                raise ValueError(
                    f"pred_probs has {num_columns} columns but the largest label is "
                    f"{num_classes - 1}: pass at least {num_classes} columns; maybe the "
                    "classifier never saw some class"
                )
            num_classes = num_columns
        codes = MultiannotatorLabels.from_codes(
            task,
            annotator,
            label,
            num_tasks=num_tasks,
            num_annotators=num_annotators,
            num_classes=num_classes,
        )
        if not allow_single_labels:
            _warn_of_no_agreement(codes)
        return cls(codes, index, annotators, column_names)


def _values(labels: pd.DataFrame | AnyArray) -> tuple[AnyArray, BoolArray]:
    """Return labels as an array of numbers, and which of them are not missing."""
    if isinstance(labels, pd.DataFrame):
        is_given = labels.notna().to_numpy()
        if all(isinstance(dtype, np.dtype) and dtype.kind in "iufb" for dtype in labels.dtypes):
            return labels.to_numpy(dtype=np.float64), is_given
        cells = labels.to_numpy(dtype=object, copy=True)
        cells[~is_given] = np.nan
        try:
            values = cells.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"labels_multiannotator holds labels that are not numbers ({error}): replace them "
                "by class codes with format_multiannotator_labels"
            ) from error
        return values, ~np.isnan(values)
    if not isinstance(labels, np.ndarray):
        raise ValueError(  # noqa: TRY004 - the exception that users of cleanlab expect
            f"labels_multiannotator is a {type(labels).__name__}: pass a DataFrame or a 2-D numpy "
            "array"
        )
    if labels.dtype.kind == "U" or any(isinstance(one, str) for one in _objects(labels)):
        raise ValueError(
            "labels_multiannotator holds text: replace labels by class codes with "
            "format_multiannotator_labels"
        )
    if labels.dtype.kind not in "iufb":
        raise TypeError(
            f"labels_multiannotator is an array of {labels.dtype}: pass a DataFrame, or numbers "
            "with NaN for missing labels"
        )
    if labels.dtype.kind == "f":
        return labels, ~np.isnan(labels)
    return labels.astype(np.int64, copy=False), np.ones(labels.shape, dtype=np.bool_)


def _objects(labels: AnyArray) -> list[Any]:
    return labels.ravel().tolist() if labels.dtype.kind == "O" else []


def _check_no_gaps(
    task: IntArray, annotator: IntArray, num_tasks: int, annotators: pd.Index[Any]
) -> None:
    """Refuse rows and columns without labels."""
    empty_rows = np.flatnonzero(np.bincount(task, minlength=num_tasks) == 0).tolist()
    if empty_rows:
        raise ValueError(
            f"labels_multiannotator has rows without any label, {_some(empty_rows)}: drop them"
        )
    has_label = np.bincount(annotator, minlength=len(annotators)) > 0
    if not has_label.all():
        raise ValueError(
            "labels_multiannotator has annotators without any label, "
            f"{_some(annotators[~has_label].tolist())}: drop their columns"
        )


def _check_has_shared_tasks(task: IntArray, num_tasks: int, num_annotators: int) -> None:
    remedy = "score the labels of a single annotator with crowdlab_engine.Crowdlab instead"
    if num_annotators < 2:
        raise ValueError(
            f"labels_multiannotator has {num_annotators} column but needs two or more: {remedy}"
        )
    if len(task) == num_tasks:
        raise ValueError(f"every row of labels_multiannotator has a single label: {remedy}")


def _num_classes(label: AnyArray) -> int:
    """Return the largest class code plus one, of labels that must be class codes."""
    is_wrong = ~np.isfinite(label) | (label != np.trunc(label)) | (label < 0)
    if is_wrong.any():
        raise ValueError(
            f"labels_multiannotator holds the label {label[is_wrong][0]}: labels must be class "
            "codes 0, 1, …; see format_multiannotator_labels"
        )
    return int(label.max()) + 1 if label.size else 0


def _check_dimensions(pred_probs: AnyArray, name: str, num_dimensions: int) -> None:
    if not isinstance(pred_probs, np.ndarray):
        raise TypeError(f"{name} is a {type(pred_probs).__name__}: pass a numpy array")
    if pred_probs.ndim != num_dimensions:
        other = {2: " of one model", 3: " of an ensemble"}.get(pred_probs.ndim)
        hint = f"; for those{other} use the other function" if other else ""
        raise ValueError(
            f"{name} has {pred_probs.ndim} dimensions but needs {num_dimensions}{hint}"
        )


def _label_quality(
    labels: pd.DataFrame | AnyArray,
    pred_probs: AnyArray,
    *,
    num_dimensions: int,
    consensus_method: str | list[str],
    quality_method: str,
    calibrate_probs: bool,
    returned: tuple[bool, bool, bool],
    verbose: bool,
    score_options: Mapping[str, Any],
    random_state: RandomState,
) -> dict[str, Any]:
    """Return label quality from one model (two dimensions), or an ensemble (three)."""
    return_details, return_stats, return_weights = returned
    if return_weights and quality_method != "crowdlab":
        raise ValueError(
            f"quality_method {quality_method!r} has no weights: pass return_weights=False, or "
            "quality_method='crowdlab'"
        )
    crowd = _Crowd.read(labels, pred_probs, num_dimensions=num_dimensions)
    if pred_probs is None:
        raise ValueError(
            "pred_probs is None: pass predicted class probabilities, or use "
            "crowdlab_engine.Crowdlab, which does without"
        )
    methods = consensus_method if isinstance(consensus_method, list) else [consensus_method]
    if not methods:
        raise ValueError("consensus_method is an empty list: name at least one method")
    generator = random_generator(random_state)
    state = generator.get_state()
    results = []
    for method in methods:
        generator.set_state(state)  # the same majority vote for each
        fitted = Crowdlab(
            consensus_method=cast("ConsensusMethod", method),
            quality_method=cast("QualityMethod", quality_method),
            calibrate_probs=calibrate_probs,
            **_score_parameters(**score_options),
            ties="rare",
            random_state=generator,
            row_sum_tolerance=np.inf,
        ).fit(crowd.labels, pred_probs)
        results.append(fitted)
        if verbose:
            _note_lost_classes(crowd.labels, fitted.consensus_label_, method)
    main = results[0]
    _warn_of_random_ties(main.random_ties_)
    if verbose and quality_method == "crowdlab":
        _note_annotators_without_peers(crowd)

    answer: dict[str, Any] = {"label_quality": _label_quality_table(crowd, methods, results)}
    if return_details:
        answer["detailed_label_quality"] = _details(crowd, main)
    if return_stats:
        answer["annotator_stats"] = _annotator_stats(crowd, main)
    if return_weights:
        weight = main.model_weight_
        answer["model_weight"] = np.float64(weight) if np.ndim(weight) == 0 else weight
        answer["annotator_weight"] = main.annotator_weight_
    return answer


def _score_parameters(
    method: Any = "self_confidence", adjust_pred_probs: bool = False
) -> dict[str, Any]:
    """Parameters of `Crowdlab` for score options; others are a TypeError, as a call makes it."""
    return {"label_score": method, "adjust_pred_probs": adjust_pred_probs}


def _label_quality_table(
    crowd: _Crowd, methods: Sequence[str], results: Sequence[Crowdlab]
) -> pd.DataFrame:
    """One row per task: the main method's columns, then three for each other method."""
    main = results[0]
    columns: dict[str, AnyArray] = {
        "consensus_label": main.consensus_label_,
        "consensus_quality_score": main.consensus_quality_score_,
        "annotator_agreement": main.annotator_agreement_,
        "num_annotations": main.num_annotations_,
    }
    for method, fitted in zip(methods[1:], results[1:], strict=True):
        columns[f"consensus_label_{method}"] = fitted.consensus_label_
        columns[f"consensus_quality_score_{method}"] = fitted.consensus_quality_score_
        columns[f"annotator_agreement_{method}"] = fitted.annotator_agreement_
    return pd.DataFrame(columns, index=crowd.index)


def _details(crowd: _Crowd, fitted: Crowdlab) -> pd.DataFrame:
    """Quality of each label, shape (N, M)."""
    labels = crowd.labels
    matrix = np.full((labels.num_tasks, labels.num_annotators), np.nan)
    matrix[labels.task, labels.annotator] = fitted.label_quality_
    return pd.DataFrame(matrix, index=crowd.index, columns=crowd.column_names)


def _annotator_stats(crowd: _Crowd, fitted: Crowdlab) -> pd.DataFrame:
    """Table of annotators, the worst first, with NaN for those without enough data."""
    stats = fitted.annotator_stats_.sort_index()
    quality = stats["annotator_quality"].where(stats["enough_data"])
    table = stats.assign(annotator_quality=quality)[_STATS_COLUMNS].set_axis(crowd.annotators)
    order = np.lexsort((table["agreement_with_consensus"], table["annotator_quality"]))
    worst_first: pd.DataFrame = table.iloc[order]
    return worst_first


def _active_learning(
    labels: pd.DataFrame | AnyArray | None,
    pred_probs: AnyArray | None,
    pool: AnyArray | None,
    num_dimensions: int,
    random_state: RandomState,
) -> tuple[FloatArray, FloatArray]:
    """Return ActiveLab scores from one model (two dimensions), or an ensemble (three)."""
    if pred_probs is None and pool is None:
        raise ValueError(
            "pred_probs and pred_probs_unlabeled are both missing: pass at least one of them"
        )
    if pred_probs is not None:
        _check_dimensions(pred_probs, "pred_probs", num_dimensions)
    if pool is not None:
        _check_dimensions(pool, "pred_probs_unlabeled", num_dimensions)
    generator = random_generator(random_state)
    if pred_probs is None:
        return active_learning_scores(
            None,
            pred_probs_unlabeled=pool,
            ties="rare",
            random_state=generator,
            row_sum_tolerance=np.inf,
        )
    if labels is None:
        raise ValueError(
            "labels_multiannotator is None: pass the labels that belong to pred_probs, or pass "
            "the probabilities as pred_probs_unlabeled"
        )
    crowd = _Crowd.read(labels, pred_probs, num_dimensions=num_dimensions, allow_single_labels=True)
    if crowd.labels.num_labels > crowd.labels.num_tasks:
        _warn_of_no_agreement(crowd.labels)
    fitted = fit_consensus(
        crowd.labels,
        pred_probs,
        ties="rare",
        random_state=generator,
        row_sum_tolerance=np.inf,
    )
    _warn_of_random_ties(fitted.random_ties_)
    _note_lost_classes(crowd.labels, fitted.consensus_label_, fitted.consensus_method)
    _note_annotators_without_peers(crowd)
    return score_tasks(fitted, crowd.labels, pred_probs, pool, random_state=generator)


def _warn_of_no_agreement(labels: MultiannotatorLabels) -> None:
    if all((part.equal == 1).all() for part in Block.of(labels).parts):
        warnings.warn(
            "no two annotators agree on any task: check the labels", UserWarning, stacklevel=5
        )


def _warn_of_random_ties(tasks: IntArray) -> None:
    if tasks.size:
        warnings.warn(
            f"the majority vote of rows {_some(tasks.tolist())} is tied by every rule and was "
            "drawn at random; random_state decides it",
            UserWarning,
            stacklevel=4,
        )


def _note_lost_classes(labels: MultiannotatorLabels, consensus: IntArray, method: str) -> None:
    """Print which classes annotators have used but no consensus label is."""
    lost = np.setdiff1d(labels.label, consensus).tolist()
    if lost:
        print(
            f"NOTE: annotators have used classes {_some(lost)}, but by consensus_method {method!r} "
            "no task is of them. A classifier trained on this consensus never sees them."
        )


def _note_annotators_without_peers(crowd: _Crowd) -> None:
    """Print who shares no task with another annotator."""
    shared = Block.of(crowd.labels).peers[0] > 0
    if shared.any() and not shared.all():
        print(
            f"NOTE: annotators {_some(crowd.annotators[~shared].tolist())} share no task with "
            "others; they count as much as the others do on average."
        )


def _some(values: list[Any], limit: int = 20) -> str:
    """Return values as text, the first of them if there are many."""
    shown = ", ".join(map(repr, values[:limit]))
    return f"[{shown}]" if len(values) <= limit else f"[{shown}, … {len(values)} in all]"
