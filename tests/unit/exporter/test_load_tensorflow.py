import os

import pytest

from exporter.load_tensorflow import silent_stderr


def test_what_native_code_writes_is_discarded_and_stderr_comes_back(capfd):
    with silent_stderr():
        os.write(2, b"thirty lines about GPUs\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_stderr_comes_back_after_an_exception(capfd):
    with pytest.raises(ZeroDivisionError), silent_stderr():
        _ = 1 / 0
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_no_descriptor_is_left_open():
    with silent_stderr():
        pass
    lowest = os.dup(2)
    os.close(lowest)
    with silent_stderr():
        pass
    again = os.dup(2)
    os.close(again)
    assert again == lowest
