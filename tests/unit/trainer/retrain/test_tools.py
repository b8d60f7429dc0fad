from dataclasses import fields

import pytest

from trainer.retrain import tools
from trainer.retrain.tools import Tools


@pytest.mark.parametrize("name", [field.name for field in fields(Tools)])
def test_every_tool_is_there(name):
    """Type checkers see what loads late by another way than Python does."""
    tool = getattr(Tools(), name)
    if tool.__qualname__.startswith("_late"):
        module, function = (cell.cell_contents for cell in tool.__closure__)
        assert callable(getattr(tools.import_module(module), function))
    else:
        assert callable(tool)
