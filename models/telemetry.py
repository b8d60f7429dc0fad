"""What Hangtag labels is nobody's business."""

import os

__all__ = ["refuse_telemetry"]


def refuse_telemetry() -> None:
    """Keep ONNX Runtime from noting a device id, and what it is used for, under the user's cache, and from sending it.

    It looks at the environment when it is imported, so this comes before; its own ``disable_telemetry_events`` is too
    late for that. What a person has set is left alone.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
