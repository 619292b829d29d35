"""The generated pages of docs, held to the code."""

import importlib.util
import re
from pathlib import Path

FILE = Path(__file__).parents[2] / "docs/generate.py"


def test_the_reference_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("generate", FILE)
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for page, text in generate.render().items():
        kept = (generate.FOLDER / page).read_text()
        assert kept == text, f"{page} is stale: run `make compile` and commit the result"
        assert "| `" in text, page


def test_every_module_that_a_page_documents_exists() -> None:
    named = [
        (page.name, module)
        for page in FILE.parent.rglob("*.md")
        for module in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    ]
    assert named
    assert [(page, module) for page, module in named if not _is_there(module)] == []


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False
