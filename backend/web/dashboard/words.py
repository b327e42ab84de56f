"""What columns and figures mean, in plain words."""

from __future__ import annotations

ANNOTATOR_COLUMNS = {
    "quality": (
        "How far this person's labels can be trusted, from 0 to 1: a mean of how good each of "
        "their labels looks to everybody else and the classifier, and of how often they agree "
        "with the consensus. The bar below the number is its 95 % interval: the fewer labels, "
        "the wider."
    ),
    "agreement_with_consensus": (
        "Share of their labels, on tasks that others labelled too, that agree with the consensus: "
        "classes by being equal, anything else by being nearly so (CROWDLAB_MIN_LIKENESS)."
    ),
    "agreement_with_ground_truth": (
        "Share of their labels that are right, on tasks whose truth is known in Label Studio."
    ),
    "worst_class": "The class in which their labels are doubted most.",
    "num_labels": "Labels that count: the newest of each task, without skipped and empty ones.",
    "share": "Their part of all labels of the question.",
    "num_skipped": "Tasks that they skipped.",
    "median_seconds": (
        "Half of their tasks took no longer (Label Studio's lead time; within 6 per cent)."
    ),
    "p90_seconds": "Nine of ten of their tasks took no longer.",
    "num_long": "Tasks that took more than ten times their median, as when somebody leaves.",
    "last_active": "When they last saved a label.",
    "spam_score": (
        "How likely the labels are given without looking: at random, always the same class, "
        "copied, or too fast. A hint to look closer, never a verdict."
    ),
    "trend": "Share of labels that agree with the present consensus, by week; the newest is right.",
}

CONSENSUS_ACCURACY = (
    "What share of the consensus labels are right, as estimated from the labels and the "
    "classifier alone, by a model whose probabilities are calibrated (on up to 20,480 tasks). "
    "Mark some tasks as ground truth in Label Studio to check it."
)
MAJORITY_ACCURACY = (
    "What share would be right if the most frequent label won and ties were broken by lot, "
    "estimated in the same way."
)
GROUND_TRUTH = "Share of right consensus labels where Label Studio knows the truth."
UNANIMOUS = "Labelled tasks whose labels are all the same."
QUALITY = (
    "How sure CROWDLAB is of each consensus label, by classifier and annotators together. It "
    "puts tasks into order, the doubtful first; as a probability it is cautious. "
    "Select a bar to see its tasks."
)
CONFUSION = (
    "Which class was given where the consensus is another one. Rows add up to 100 per cent; "
    "what lies off the diagonal is where the instructions may be unclear."
)
WEIGHTS = (
    "CROWDLAB adds up what classifier and annotators say, each with a weight. The classifier "
    "weighs more the better it agrees with the consensus, and the more labels a task has."
)
ACTIVE_LEARNING = (
    "ActiveLab score, 0 to 1: what would be known of the task if one more average annotator "
    "said nothing. The lower, the more another label tells."
)
EXPECTED_VALUE = (
    "Mean of the numbers that annotators and classifier say, each by its weight. It may lie "
    "between two classes."
)
LEVEL_AGREEMENT = "Agreement: share of the task's labels that say the same up to this level."
LEVELS = f"Quality: how probable it is that the path is right up to this level. {LEVEL_AGREEMENT}"
AGREEMENT = (
    "Share of the task's labels that agree with the consensus: classes by being equal, anything "
    "else by being nearly so (CROWDLAB_MIN_LIKENESS)."
)
LABEL_QUALITY = "Probability that this label is right, by classifier and all annotators together."
ALPHA = (
    "How far annotators agree beyond chance, on tasks with two labels or more: 1 is perfect, 0 "
    "what guessing would give. The interval comes from drawing the tasks again and again."
)
GAIN = (
    "Played ahead by the model: labels are asked of the most doubtful tasks, one after the "
    "other. It gets the order of magnitude right, not more: a reason to stop, not a rule."
)
SPAM = (
    "How likely the labels are given without looking: at random, always the same class, copied "
    "from a colleague, or too fast. A hint to look closer, never a verdict; from 0.5 on the "
    "reason is named. With a class that is nearly always right, honest people may look constant."
)
COLLEAGUES = (
    "Share of the tasks that both labelled to which both gave the same label, and Cohen's κ: "
    "the same beyond chance."
)
REANNOTATION = (
    "The tasks are opened in Label Studio for one more label, by somebody who has not labelled "
    "them yet. Blind means that nobody is shown the consensus while labelling. It can be taken "
    "back as long as nobody has labelled."
)
LABELS_SAVED = (
    "Labels that a majority vote would need beyond yours to be right as often, by the same "
    "estimate: votes of one label per task, two, and so on are drawn from those that tasks have. "
    "Where none of them reaches the consensus, it is at least one label per task more."
)
MODEL_SOURCES = (
    "Every classifier is one voice in CROWDLAB's ensemble. It weighs more the better it agrees "
    "with the consensus, and counts only on the tasks of which it says something. Accuracy and log "
    "loss are against the consensus, out of sample."
)


def likeness(value: float, *, agrees: bool) -> str:
    """How alike an answer is to the consensus, 0 to 1, in graded words."""
    if value >= 1:
        return "the same"
    if value <= 0:
        return "another answer"
    grade = "nearly the same" if agrees else "alike in part" if value >= 0.5 else "little alike"
    return f"{grade} ({100 * value:.0f} %)"
