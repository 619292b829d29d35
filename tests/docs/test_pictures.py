"""The README's pictures show the report as the code writes it now."""

import hashlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_REMEDY = "run `make run` and `make pictures`, look at them, and commit docs/images"


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs/pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pictures_were_drawn_by_this_code(pictures: ModuleType) -> None:
    kept = json.loads(pictures.KEPT.read_text())
    assert kept["drawn_by"] == pictures.digest(), (
        f"the report, the demo's recipe or docs/pictures.py changed: {_REMEDY}"
    )


def test_they_are_small_and_as_they_were_drawn(pictures: ModuleType) -> None:
    kept = json.loads(pictures.KEPT.read_text())["pictures"]
    assert {path.name for path in pictures.FOLDER.glob("*.png")} == set(kept), _REMEDY
    for name, sha256 in kept.items():
        picture = (pictures.FOLDER / name).read_bytes()
        assert hashlib.sha256(picture).hexdigest() == sha256, f"{name} was not drawn by `make pictures`: {_REMEDY}"
        assert len(picture) <= pictures.MOST_BYTES, name


def test_the_readme_shows_each_with_an_alternative_text_and_quotes_the_same_run(pictures: ModuleType) -> None:
    kept = json.loads(pictures.KEPT.read_text())
    shown = {name: text for text, name in re.findall(r"!\[([^\]]*)\]\(docs/images/([^)]+)\)", README)}
    assert set(shown) == set(kept["pictures"])
    assert all(len(text) > 40 for text in shown.values())
    assert f"release {kept['release']}" in README, (
        "the README quotes another run than its pictures show: paste the last"
    )


def test_what_makes_them_stale(pictures: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, recipe, drawer = tmp_path / "report", tmp_path / "demo.yaml", tmp_path / "pictures.py"
    report.mkdir()
    texts = {report / "page.py": "import a\n\nX = 1\n", report / "page.css": "a {}\n", recipe: "k: 1\n", drawer: ""}
    for name, value in {"ROOT": tmp_path, "REPORT": report, "RECIPE": recipe, "__file__": str(drawer)}.items():
        monkeypatch.setattr(pictures, name, value)

    def digest_with(changed: dict[Path, str]) -> str:
        for path, text in (texts | changed).items():
            path.write_text(text)
        return str(pictures.digest())

    now = digest_with({})
    assert digest_with({report / "page.py": "from b import (\n    a,\n)\nX = 1\n"}) == now
    for path, text in {
        report / "page.py": "import a\nX = 2\n",
        report / "page.css": "b {}\n",
        recipe: "k: 2\n",
    }.items():
        assert digest_with({path: text}) != now
    assert digest_with({drawer: "X = 1\n"}) != now


def test_only_a_report_of_this_style_is_drawn(pictures: ModuleType) -> None:
    style = (pictures.REPORT / "page.css").read_text(encoding="utf-8")
    assert "display: none" in pictures.top_of(f"<head><style>{style}</style></head>")
    with pytest.raises(ValueError, match="run `make run` first"):
        pictures.top_of("<head><style>a {}</style></head>")


def test_an_answer_is_shown_as_it_came(pictures: ModuleType) -> None:
    answer = {
        "items": [
            {"item_id": 7, "title": "Kites <& Boats>", "score": 0.5},
            {"item_id": 8, "title": "é", "score": 1e-05},
        ],
        "release": "0123456789abcdef",
        "user": "known",
        "source": "history",
        "unknown_items": 0,
        "unknown_exclude": 0,
        "unknown_values": {},
        "degraded": False,
        "timings_ms": {"total": 4.0},
    }
    page = pictures.answer_page({"user_id": 3, "k": 2}, answer)
    shown = re.sub(r"<[^>]+>", "", page.partition("<pre>")[2].partition("</pre>")[0])
    command, _, body = shown.partition("\n")
    assert command.endswith("""-d '{"instances": [{"user_id": 3, "k": 2}]}'""")
    text = body.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert json.loads(text) == {"predictions": [answer]}
