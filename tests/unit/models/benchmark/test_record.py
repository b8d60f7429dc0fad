import json

from models.benchmark.judge import Judged, Judging
from models.benchmark.measure import Measured, Speed
from models.benchmark.record import BenchmarkRecord, Machine, dump_record, new_record

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
        "cpu": "A",
        "architecture": "x86_64",
        "cores": 2,
        "instructions": ["avx2"],
        "system": "Linux 6",
        "python": "3",
        "onnxruntime": "1",
    },
    "batch": 32,
    "edge_photo": [640, 480],
    "measured": [
        {
            "variant": "int8",
            "file": "model.int8.onnx",
            "edge": False,
            "bytes": 9,
            "load_ms": 8.0,
            "peak_memory_mb": 60.0,
            "baseline_memory_mb": 40.0,
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
}


def test_the_format_on_disk_is_this_one():
    assert json.loads(dump_record(RECORD)) == ON_DISK


def test_a_record_of_now_has_the_same_format():
    record = json.loads(dump_record(new_record("shop", "1", RECORD.measured, None)))
    assert set(record) == set(ON_DISK)
    assert record["measured"] == ON_DISK["measured"]
    assert record["judging"] is None


def test_images_of_a_core_are_those_of_all_threads_shared_out():
    assert RECORD.measured[0].speeds[0].images_per_s_per_core == 150.0
