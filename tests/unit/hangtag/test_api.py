import hangtag


def test_the_public_names_are_these() -> None:
    commands = ["check", "evaluate", "export", "label", "load", "train"]
    assert hangtag.__all__ == ["Classifier", "HangtagError", "ImageError", "Prediction", *commands]


def test_every_public_name_can_be_had() -> None:
    assert all(getattr(hangtag, name).__name__ == name for name in hangtag.__all__)


def test_a_bundle_labels_a_photo_from_python(bundle, catalogue) -> None:
    photo = next(catalogue.rglob("*.webp"))
    prediction = hangtag.load(bundle).classify(str(photo))
    assert prediction.label in hangtag.load(bundle).labels
    assert hangtag.load(str(bundle)).classify([photo, photo.read_bytes()]) == [prediction, prediction]
