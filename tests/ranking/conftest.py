"""The store that hand-made rankers read."""

import pytest
from made_ranker import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "features")
