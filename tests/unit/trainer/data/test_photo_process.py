import subprocess
import sys


def test_it_loads_no_library_that_decoding_does_not_need():
    """The process's memory is limited, and a photo gets only the rest of it."""
    code = "import sys, trainer.data.photo_process; print([m for m in ('pyarrow', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
