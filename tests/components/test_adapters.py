"""A component is an adapter: short, with its imports in the body."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "components"
COMPONENTS = sorted(path for path in FOLDER.glob("*.py") if path.stem not in {"__init__", "image", "train_jobs"})


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.stem)
def test_a_component_imports_the_library_in_its_body_only(path: Path) -> None:
    tree = ast.parse(path.read_text())
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {(node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top}
    assert modules <= {"typing", "kfp", "kfp.dsl", "shortlist.components.image"}
    assert len(path.read_text().splitlines()) <= 65


def test_importing_the_pipeline_imports_nothing_heavy() -> None:
    code = (
        "import sys, shortlist.pipelines.train_and_publish;"
        "print([m for m in ('torch', 'faiss', 'polars', 'great_expectations', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
