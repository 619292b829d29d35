"""What all tests share: one thread a process, and the research data sets where they are."""

import os
from pathlib import Path

# Before numpy or torch start their thread pools: tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile("shortlist", deadline=None)
settings.load_profile("shortlist")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the research data sets; without it the test is skipped, in CI it fails."""
    folder = Path(os.environ.get("SHORTLIST_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        message = f"{folder} is not there: set SHORTLIST_DATA to the folder of ml-100k, ml-1m, ..."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
