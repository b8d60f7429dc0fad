from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.unit.trainer.run_files import Diary, Killed, at, figures_of, kill, press_ctrl_c, same_weights
from trainer.learning.training import Predictor, apply_head, best_strength, fit_head, head_figures, new_network
from trainer.networks.build import build_network
from trainer.request import Arch, NamedWeights
from trainer.run import Run


def network_for(classes):
    keras.utils.set_random_seed(3)
    return build_network(Arch.MOBILENET, 32, classes, weights=NamedWeights.NONE, alpha=0.25)


def features_and_labels(classes, count=60):
    """Features around one centre a class."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    places = rng.normal(size=(classes, 256))
    return (places[labels] + 0.5 * rng.normal(size=(count, 256))).astype(np.float32), labels


def head_says(head, features):
    return apply_head(head, features).argmax(axis=1)


def small_network(classes):
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=4)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten(name="features")(keras.layers.BatchNormalization()(x)))
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    return keras.Model(image, keras.layers.Activation(activation)(keras.layers.Dense(units, name="logits")(x)))


@pytest.mark.parametrize("classes", [2, 4])
def test_the_head_learns_and_the_body_stays(make_training, classes):
    training = make_training(labels=tuple(range(classes)) * 8, held=tuple(range(classes)))
    network = small_network(classes)
    head = {variable.path for variable in network.get_layer("logits").weights}
    before = {variable.path: np.array(variable) for variable in network.weights}
    predictor = Predictor(network, training.store)
    training.fit_head(predictor)
    changed = {v.path for v in network.weights if not np.array_equal(np.array(v), before[v.path])}
    assert changed == head
    figures = head_figures(training, predictor, 2.0)
    assert figures.train_accuracy > 0.9
    pixels = training.store.take([photo.sha256 for photo in training.photos])
    probabilities = network.predict(pixels, verbose=0)
    likeliest = probabilities[:, 0] > 0.5 if classes == 2 else probabilities.argmax(axis=1)
    assert np.mean(likeliest == training.labels) == figures.train_accuracy
    right = probabilities if classes > 2 else np.hstack([1 - probabilities, probabilities])
    assert figures.train_loss == pytest.approx(-np.log(right[range(len(pixels)), training.labels]).mean(), rel=1e-3)


def test_a_class_without_photos_is_never_said():
    """Three classes with photos of two; two classes with photos of one."""
    features, labels = features_and_labels(2)
    assert set(head_says(fit_head(features, labels * 2, 3, 1.0), features)) == {0, 2}
    for only in (0, 1):
        assert set(head_says(fit_head(features, labels * 0 + only, 1, 1.0), features)) == {only}
        assert set(head_says(fit_head(features, labels * 0 + only, 3, 1.0), features)) == {only}


def test_the_penalty_is_chosen_on_other_groups():
    """Features that identify a group, not its class, look perfect inside a group and are useless for others."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 4)
    labels, own = groups % 2, rng.normal(size=(40, 256))[groups]
    signal = (own + 0.01 * rng.normal(size=own.shape)).astype(np.float32)
    together, apart = ([str(name) for name in names] for names in (groups, range(160)))
    assert best_strength(signal, labels, together, 0) < best_strength(signal, labels, apart, 0)


@pytest.mark.parametrize("group_of", [lambda label: "one", str], ids=["all", "each class"])
def test_photos_of_one_group_still_teach_the_head(group_of):
    """If each class is one product, leaving a group out would leave its class without photos."""
    features, labels = features_and_labels(3, 9)
    strength = best_strength(features, labels, [group_of(label) for label in labels], 0)
    assert (head_says(fit_head(features, labels, 3, strength), features) == labels).mean() > 0.9


@pytest.fixture
def pretrained(make_training, tmp_path):
    """A training of a small mobilenet that starts from an earlier run's weights."""
    network_for(5).save(tmp_path / "earlier.keras")
    weights = str(tmp_path / "earlier.keras")
    return make_training(size=32, arch=Arch.MOBILENET, alpha=0.25, weights=weights, epochs=2)


@pytest.mark.proof
def test_a_pretrained_training_resumes_to_the_bit(pretrained, diary):
    broken = replace(pretrained, run=Run(pretrained.run.path / "killed"))
    pretrained.train(new_network(pretrained.args), None, diary)
    with pytest.raises(Killed):
        broken.train(new_network(broken.args), None, Diary(on_epoch=kill))
    broken.train(new_network(broken.args, begun=True), None, diary)
    assert figures_of(broken.run) == figures_of(pretrained.run)
    assert broken.run.last.is_file()


def test_an_early_epochs_judgement_is_removed_when_the_last_epoch_is_kept(make_training, diary):
    """Validation photos have wrong labels: the first epoch stays the best on them, and Ctrl-C judges it."""
    training = make_training(epochs=4, cv=True)
    others = {"a": "b", "b": "c", "c": "a"}
    training = replace(training, held=[replace(photo, label=others[photo.label]) for photo in training.held])
    run = training.run
    assert training.train(new_network(training.args), None, Diary(on_epoch=at(2, press_ctrl_c))).interrupted
    run.confidence.write_text("of the first epoch")
    outcome = training.train(new_network(training.args, begun=True), None, diary)
    assert [row.best for row in diary.epochs] == [False] * 2
    assert outcome.best_epoch == 4
    assert same_weights(run.best, run.last)
    assert not run.confidence.exists()


@pytest.mark.rest
def test_a_network_that_has_learned_before_teaches_all_but_its_norms(pretrained, diary):
    network = new_network(pretrained.args)
    before = {v.path: np.array(v) for v in network.weights}
    pretrained.train(network, None, diary)
    after = {v.path: np.array(v) for v in keras.saving.load_model(pretrained.run.best, compile=False).weights}
    same = {path for path in before if np.array_equal(before[path], after[path])}
    assert same == {path for path in before if "_bn/" in path}
