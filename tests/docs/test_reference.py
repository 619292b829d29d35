"""The generated pages of docs, held to the code."""

import importlib.util
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
