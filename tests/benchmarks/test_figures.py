"""What documents quote is what was kept."""

import pytest

from benchmarks.figures import BLOCKS, rendered
from benchmarks.quality.protocol import ROOT


@pytest.mark.parametrize("document", sorted({document for document, _, _ in BLOCKS}))
def test_a_document_quotes_the_kept_figures(document):
    assert (ROOT / document).read_text(encoding="utf-8") == rendered(document), "run `make figures`"


def test_a_document_without_marks_is_told(tmp_path):
    (tmp_path / "README.md").write_text("# Shortlist\n")
    with pytest.raises(ValueError, match=r"README.md: no <!-- lists: rendered by `make figures` -->"):
        rendered("README.md", tmp_path)
