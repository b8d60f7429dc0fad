import json
import platform

import pytest

from models.benchmark.judge import Judged, Judging
from models.benchmark.measure import Measured, Speed
from models.benchmark.record import BenchmarkRecord, Machine, dump_record, new_record, this_machine

RECORD = BenchmarkRecord(
    schema_version=1,
    name="shop",
    version="20260101T000000Z",
    made_at="2026-01-01T00:00:00+00:00",
    machine=Machine(
        cpu="A", architecture="x86_64", cores=2, instructions=("avx2",), system="Linux 6", python="3", onnxruntime="1"
    ),
    batch=32,
    edge_photo=(640, 480),
    measured=(
        Measured(
            variant="int8",
            file="model.int8.onnx",
            edge=False,
            bytes=9,
            load_ms=8.0,
            peak_memory_mb=60.0,
            baseline_memory_mb=40.0,
            speeds=(Speed(threads=2, p50_ms=1.0, p95_ms=2.0, images_per_s=300.0),),
        ),
    ),
    judging=Judging(
        photos=3,
        unreadable=1,
        agreement_on="golden",
        accuracy_on=None,
        files=(Judged(variant="int8", file="model.int8.onnx", accuracy=None, agreement=1.0),),
    ),
)
ON_DISK = {
    "schema_version": 1,
    "name": "shop",
    "version": "20260101T000000Z",
    "made_at": "2026-01-01T00:00:00+00:00",
    "machine": {
        "cpu": "A", "architecture": "x86_64", "cores": 2, "instructions": ["avx2"],
        "system": "Linux 6", "python": "3", "onnxruntime": "1",
    },
    "batch": 32,
    "edge_photo": [640, 480],
    "measured": [
        {
            "variant": "int8", "file": "model.int8.onnx", "edge": False, "bytes": 9, "load_ms": 8.0,
            "peak_memory_mb": 60.0, "baseline_memory_mb": 40.0,
            "speeds": [{"threads": 2, "p50_ms": 1.0, "p95_ms": 2.0, "images_per_s": 300.0}],
        }
    ],
    "judging": {
        "photos": 3,
        "unreadable": 1,
        "agreement_on": "golden",
        "accuracy_on": None,
        "files": [{"variant": "int8", "file": "model.int8.onnx", "accuracy": None, "agreement": 1.0}],
    },
}  # fmt: skip


def test_the_format_on_disk_is_this_one():
    assert json.loads(dump_record(RECORD)) == ON_DISK


def test_a_record_of_now_has_the_same_format():
    record = json.loads(dump_record(new_record("shop", "1", RECORD.measured, None)))
    assert (set(record), record["measured"]) == (set(ON_DISK), ON_DISK["measured"])
    assert record["judging"] is None


INTEL = """processor\t: 0
model name\t: Intel(R) Xeon(R) @ 2.20GHz
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni

processor\t: 1
model name\t: Intel(R) Xeon(R) @ 2.20GHz
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni
"""
ARM = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd asimdhp asimddp
CPU implementer\t: 0x41
"""


@pytest.mark.parametrize(
    ("cpuinfo", "board", "cpu", "instructions"),
    [
        (INTEL, None, "Intel(R) Xeon(R) @ 2.20GHz", ("avx2", "avx512f", "avx512_vnni")),
        (ARM, "Raspberry Pi 5 Model B Rev 1.0\0", "Raspberry Pi 5 Model B Rev 1.0", ("dotprod", "fp16")),
        (None, None, platform.processor() or "unknown", ()),
    ],
)
def test_a_machine_says_its_name_and_what_it_computes_with(tmp_path, cpuinfo, board, cpu, instructions):
    for name, text in (("cpuinfo", cpuinfo), ("board", board)):
        if text is not None:
            (tmp_path / name).write_text(text)
    machine = this_machine(tmp_path / "cpuinfo", tmp_path / "board")
    assert (machine.cpu, machine.instructions) == (cpu, instructions)
