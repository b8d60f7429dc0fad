"""Self-training: a network gives photos without labels the labels it is sure of, and another one learns from both.

The network of the labelled photos (the teacher) is asked about the others, strictly: its confidence is calibrated on
photos that it has not learned from, and must reach ``SURE``. Of each class the surest are taken, at most ``BUDGET``
times as many as have that label (class balance: Zou et al. 2018, https://arxiv.org/abs/1810.07911): a class that the
teacher says too often would otherwise teach its mistakes. The student begins where the teacher began. Half of each
batch has labels; the other half has the teacher's, as probabilities, and is changed far more (noisy student, Xie et al.
2020, https://arxiv.org/abs/1911.04252).

Both are compared on the same photos: out of fold where the training is cross-validated, else on validation. Neither has
learned from these photos, nor has the teacher whose labels the student learned. The student is kept only if it is right
more often, or as often and with more probability for the true classes.
"""

import io
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import keras
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from models.arrays import read_arrays
from models.errors import InputError
from models.statistics.calibration import calibrated, fit_temperature
from models.statistics.intervals import Interval, difference_interval
from models.statistics.paired import design_effect
from models.statistics.thresholds import HeldOutLogits, fit_confidence, joined_groups
from models.text import number_of
from models.whole_file import replace_file
from trainer.judging.folds import FoldView, candidates_of, deadline_of_main, held_out, train_folds, write_guesses
from trainer.learning.predictions import predict
from trainer.learning.training import Training, new_network
from trainer.run import Run, read_history
from trainer.splits.unlabelled import Fate, UnlabelledPhoto, read_unlabelled, write_unlabelled

SURE: Final = 0.5
"""The calibrated confidence from which a photo without a label is learned from."""
BUDGET: Final = 10
"""At most this many times as many photos without labels are learned from as with labels, of each class."""
TEACHER_SHARE: Final = 1 / 3
"""Of the time: a student's epoch has twice the steps."""
_WORDS: Final = "Second network, with photos without labels"
_FATES: Final = {
    Fate.UNSURE: "too unsure",
    Fate.UNKNOWN: "unlike the classes",
    Fate.OVER_QUOTA: "more than its class needs",
    Fate.UNREADABLE: "unreadable",
    Fate.JUDGED: "in validation or test",
    Fate.LABELED: "labelled already",
    Fate.REPEAT: "repeated",
}
"""Why photos were not learned from, for a person."""
_MOVED: Final = ("weights", "results.csv", "folds", "soft_labels.npy", "unlabeled.csv", "unlabelled.csv")
"""What a student's run has that becomes the run's own."""


class SelfTraining(BaseModel):
    """The contents of ``self_training.json``: what photos without labels brought.

    Attributes:
        source: where they came from.
        fates: what became of them: :class:`trainer.splits.unlabelled.Fate` → photos.
        cv: whether both networks were compared out of fold; else on validation photos.
        photos: how many they were compared on; 0 if there was nothing to learn from.
        teacher, student: how many of these each was right about.
        gain: the student's accuracy less the teacher's, in parts of one, with its interval.
        kept: whether the student is the run's network.
        unproven: whether the teacher can promise no precision, in which case many of its labels may be wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    fates: dict[Fate, int]
    cv: bool
    photos: int
    teacher: int
    student: int
    gain: float
    gain_95: Interval
    kept: bool
    unproven: bool = False

    @property
    def sentence(self) -> str:
        """What they brought, for a person."""
        return " ".join(self.sentences)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Which network is kept, and what the second one learned from."""
        if not self.photos:
            return ("--unlabeled brought nothing: the network is sure of no photo without a label.",)
        low, high = (100 * end for end in self.gain_95)
        which = (
            "second network, with photos without labels," if self.kept else "first network, of labelled photos alone,"
        )
        right, other = (self.student, self.teacher) if self.kept else (self.teacher, self.student)
        surer = ", and surer of what is true" if self.kept and not self.gain else ""
        chance = "this may be chance, " if low <= 0 <= high else ""
        where = "out-of-fold" if self.cv else "validation"
        taught = self.fates.get(Fate.LEARNED, 0) + self.fates.get(Fate.REFUSED, 0)
        others = ", ".join(f"{self.fates[fate]:,} {words}" for fate, words in _FATES.items() if self.fates.get(fate))
        doubt = "; the first can promise no precision, so that many of its labels may be wrong" if self.unproven else ""
        return (
            f"The {which} is kept: {right:,} of {number_of(self.photos, f'{where} photo')} right{surer}, the "
            f"{'first' if self.kept else 'second'} {other:,} ({chance}95%: {low:+.1f} to {high:+.1f} points).",
            f"The second learned from labels that the first gave to {taught:,} of {sum(self.fates.values()):,} photos"
            f"{f' (the others: {others})' if others else ''}: unlabeled.csv{doubt}.",
        )


def read_self_training(run: Run) -> SelfTraining | None:
    """What photos without labels brought to a run; None where there were none, or it is not known yet."""
    try:
        return SelfTraining.model_validate_json(run.self_training.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        msg = f"{run.self_training} is damaged or of another version of Hangtag; train again."
        raise InputError(msg) from error


def self_train(
    teacher: Training,
    folds: Sequence[HeldOutLogits],
    deadline: float | None,
    advance: Callable[[str, int, int], None],
    note: Callable[[str], None] = lambda text: None,
) -> bool:
    """Train a student and its folds, decide which network is kept, and keep it.

    The teacher is trained, and so are its ``folds``. ``deadline`` is by :func:`time.monotonic`; ``advance`` is told
    (what, done, total), ``note`` what a person should know at once. Work that was done before a stop is not done again.

    Returns:
        Whether it came to its end; false if somebody stopped it.
    """
    validation = _ask(teacher)
    unproven = fit_confidence(validation, None, folds, cv=teacher.args.pools_folds).precision is None
    student = replace(teacher, run=teacher.run.student)
    if not student.run.unlabeled.is_file():
        _write_pseudo_labels(teacher, student.run, folds, validation)
    if student.pseudo is None:
        return _decide(teacher, [], [], unproven=unproven)
    args, until = student.args, deadline_of_main(student.args, deadline)
    view = FoldView(advance, _WORDS, args.epochs, len(read_history(student.run.history)), note)
    if student.train(new_network(args, begun=student.run.state.is_file()), until, view).interrupted:
        return False
    student_folds = train_folds(student, args.folds, deadline, advance, f"{_WORDS}: ", note=note)
    if student_folds is None:
        return False
    advance("Comparing both networks", 0, 1)
    out_of_fold = args.cv and folds
    before, after = ([*folds], [*student_folds]) if out_of_fold else ([], [])
    return _decide(teacher, [*before, validation], [*after, _ask(student)], unproven=unproven)


def _ask(training: Training) -> HeldOutLogits:
    """What a training's network says of the validation photos; what it says of candidates without labels is written."""
    network = keras.saving.load_model(training.run.best, compile=False)
    predictions = predict(network, [photo.sha256 for photo in training.held], training.store)
    held, score = held_out(network, training, training.held, predictions)
    if not training.run.guesses.is_file():
        write_guesses(network, training, candidates_of(training), score)
    return held


def _write_pseudo_labels(
    teacher: Training, student: Run, folds: Sequence[HeldOutLogits], validation: HeldOutLogits
) -> None:
    """Write what each student learns from; that of the run's own student comes last, and says that all are there.

    The temperature of a teacher is fitted without the photos that its student will be judged on: those that its fold
    holds back, or those of validation. Only where nothing is cross-validated, validation has to serve for both.
    """
    own = [validation] if teacher.args.cv else []
    for number in range(1, len(folds) + 1):
        others = [*(fold for other, fold in enumerate(folds, 1) if other != number), *own] or [validation]
        _write_one(teacher, teacher.run.fold(number), student.fold(number), others)
    _write_one(teacher, teacher.run, student, (teacher.args.cv and folds) or [validation])


def _write_one(teacher: Training, asked: Run, student: Run, known: Sequence[HeldOutLogits]) -> None:
    """Write what the student of one network learns from; ``known`` calibrates that."""
    logits, labels = (np.concatenate([getattr(part, name) for part in known]) for name in ("logits", "labels"))
    guesses = read_arrays(asked.guesses, "what a network says of photos without labels", "logits", "known")
    probabilities = calibrated(guesses["logits"], fit_temperature(logits, labels))
    counts = np.bincount(teacher.labels, minlength=len(teacher.args.classes))
    fates = choose_pseudo_labels(probabilities, guesses["known"], counts)
    buffer = io.BytesIO()
    np.save(buffer, probabilities[[fate is Fate.LEARNED for fate in fates]])
    student.path.mkdir(parents=True, exist_ok=True)
    replace_file(student.soft_labels, buffer.getvalue())
    answers = iter(zip(fates, probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist(), strict=True))
    photos = read_unlabelled(teacher.run.unlabeled)
    told = [_told(one, next(answers), teacher.args.classes) if one.fate is Fate.CANDIDATE else one for one in photos]
    write_unlabelled(student.unlabeled, told)


def _told(photo: UnlabelledPhoto, answer: tuple[Fate, int, float], classes: Sequence[str]) -> UnlabelledPhoto:
    fate, label, confidence = answer
    return replace(photo, fate=fate, label=classes[label], confidence=confidence)


def choose_pseudo_labels(
    probabilities: npt.NDArray[np.float32], known: npt.NDArray[np.bool_], counts: npt.NDArray[np.integer]
) -> list[Fate]:
    """Choose the photos without labels to learn from: ``learned``, ``unknown``, ``unsure`` or ``over_quota``.

    Args:
        probabilities: of the candidates, calibrated, ``float32 (n, classes)``.
        known: whether the network knows such photos, ``bool (n,)``.
        counts: labelled photos of each class ``(classes,)``.
    """
    labels, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1, initial=0.0)
    sure = known & (confidence >= SURE)
    rank = np.zeros(len(labels), np.intp)
    for label in np.unique(labels[sure]):
        members = np.flatnonzero(sure & (labels == label))
        rank[members[np.argsort(-confidence[members], kind="stable")]] = np.arange(len(members))
    reasons = (~known, Fate.UNKNOWN), (~sure, Fate.UNSURE), (rank >= BUDGET * counts[labels], Fate.OVER_QUOTA)
    return [next((fate for found, fate in reasons if found[place]), Fate.LEARNED) for place in range(len(labels))]


def _decide(
    teacher: Training, before: Sequence[HeldOutLogits], after: Sequence[HeldOutLogits], *, unproven: bool
) -> bool:
    """Compare teacher and student on the same photos, write down who is kept, and keep it."""
    run = teacher.run
    one, other = (np.concatenate([np.zeros(0, bool), *(_right(part) for part in parts)]) for parts in (before, after))
    more, less, count = int((other & ~one).sum()), int((one & ~other).sum()), len(one)
    effect = _effect(other.astype(np.float64) - one, before)
    kept = more > less or (more == less and _surprise(after) < _surprise(before))
    fates = Counter(photo.fate for photo in _settled(read_unlabelled(run.student.unlabeled), kept=kept))
    found = SelfTraining(
        source=teacher.args.unlabeled or "",
        fates=dict(fates),
        cv=len(before) > 1,
        photos=count,
        teacher=int(one.sum()),
        student=int(other.sum()),
        gain=(more - less) / max(1, count),
        gain_95=difference_interval(more / effect, less / effect, max(1, count) / effect),
        kept=kept,
        unproven=unproven,
    )
    replace_file(run.self_training, found.model_dump_json(indent=1).encode())
    settle(run)
    return True


def _effect(differences: npt.NDArray[np.float64], parts: Sequence[HeldOutLogits]) -> float:
    """How many photos count as one independent photo where two networks differ."""
    return design_effect(differences, joined_groups(parts)) if len(differences) else 1.0


def _surprise(parts: Sequence[HeldOutLogits]) -> float:
    """The cross-entropy of all rows, each part at the temperature that fits it; 0 without rows."""
    fitted = (part.fitted()[1] for part in parts)
    return float(sum(-np.log(rows.probabilities[np.arange(len(rows.labels)), rows.labels]).sum() for rows in fitted))


def _right(part: HeldOutLogits) -> npt.NDArray[np.bool_]:
    return np.asarray(part.logits.argmax(axis=1) == part.labels)


def settle(run: Run) -> None:
    """Keep the network that was decided on, if it was: of student and teacher one is left. Safe to do again."""
    found = read_self_training(run)
    if found is None or not run.student.path.is_dir():
        return
    if found.kept:
        run.forget_judgement()
        for name in _MOVED:
            if (run.student.path / name).exists():
                _remove(run.path / name)
                (run.student.path / name).rename(run.path / name)
    elif run.student.unlabeled.is_file():
        write_unlabelled(run.unlabeled, _settled(read_unlabelled(run.student.unlabeled), kept=False))
    run.guesses.unlink(missing_ok=True)
    for path in (run.guesses, run.unlabeled, run.soft_labels):
        for left in run.path.glob(f"folds/*/{path.name}"):
            left.unlink(missing_ok=True)
    shutil.rmtree(run.student.path)


def _settled(photos: Sequence[UnlabelledPhoto], *, kept: bool) -> list[UnlabelledPhoto]:
    return [replace(one, fate=Fate.REFUSED) if one.fate is Fate.LEARNED and not kept else one for one in photos]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
