import platform

import pytest

from models.process import this_machine

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
