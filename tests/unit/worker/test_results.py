import pytest

from models.errors import InputError
from worker.results import RESULT_SCHEMA, check_no_clash


def test_a_column_of_ours_in_the_catalogue_is_refused_naming_prefix() -> None:
    with pytest.raises(InputError, match=r"label, which .* --prefix"):
        check_no_clash(["image", "label"], "")


def test_a_prefix_makes_room() -> None:
    check_no_clash(["image", *RESULT_SCHEMA.names], "hangtag_")
    with pytest.raises(InputError, match="hangtag_label"):
        check_no_clash(["image", "hangtag_label"], "hangtag_")
