"""The environment of child processes."""

import subprocess
import sys

from shortlist.serving.child import library_environment


def test_a_child_imports_this_installation_and_no_part_of_it_by_itself() -> None:
    # With the package's own folder on the path, `statistics` would be ours and not Python's.
    code = "import statistics, shortlist; print(statistics.mean([1, 3]), shortlist.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=library_environment(), capture_output=True, text=True, check=True, cwd="/"
    )
    import shortlist

    assert done.stdout.split() == ["2", str(shortlist.__file__)]
