import subprocess
import sys


def test_it_loads_no_library_that_decoding_does_not_need():
    """Each photo has what is left of the process's memory, which is limited."""
    code = "import sys, trainer.data.photo_process; print([m for m in ('pyarrow', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
