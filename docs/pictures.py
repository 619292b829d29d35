"""The README's pictures of a report and of an answer: `python docs/pictures.py`, which `make pictures` runs.

Both show the newest run of the demo's recipe, whose data are synthetic. images/pictures.json keeps which run that was
and a digest of the code that drew it; a test fails when that code or the recipe has changed since.
"""

import ast
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from shortlist.cli.answer import complete
from shortlist.cli.places import find_places
from shortlist.cli.run_folders import State, list_runs
from shortlist.recipe import dump_recipe
from shortlist.release.bundle import open_release
from shortlist.serving.local import LocalService

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/demo.yaml"
REPORT = ROOT / "shortlist/report"
FOLDER = ROOT / "docs/images"
KEPT = FOLDER / "pictures.json"
MOST_BYTES = 250_000
"""Of one picture, so that a clone stays small."""
_WIDTH, _HEIGHT, _SCALE = 940, 2400, 2
"""Of the browser's window in CSS pixels: about the width at which a README is shown. Blank space below is cut off."""
_MARGIN = 16
"""CSS pixels that stay below the last thing drawn."""
_ITEMS = 5
_TOP_OF_REPORT = """<style>
main { padding: 24px 24px 0; } main > section, footer { display: none; }
body { font-family: "Liberation Sans", Arial, sans-serif; } .mono { font-family: "DejaVu Sans Mono", monospace; }
</style></head>"""
"""Its fonts are the reader's; here they are named, so that the pictures do not depend on who draws them."""


def digest() -> str:
    """SHA-256 of what decides how the pictures look: the report's code and style, this file, and the recipe.

    Import lines and blank lines do not count, so that a module which only moves makes no picture stale.
    """
    files = [*REPORT.glob("*.py"), *REPORT.glob("*.css"), RECIPE, Path(__file__)]
    texts = {file.relative_to(ROOT).as_posix(): _substance(file) for file in files}
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


def _substance(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)) if file.suffix == ".py" else ():
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "\n".join(line for line in lines if line.strip())


def top_of(report: str) -> str:
    """The report with everything below its header hidden. Raises ValueError when it was written with another style."""
    if (REPORT / "page.css").read_text(encoding="utf-8") not in report:
        raise ValueError("the newest report was written with another page.css; run `make run` first")
    return report.replace("</head>", _TOP_OF_REPORT)


def answer_page(question: dict[str, Any], answer: dict[str, Any]) -> str:
    """A request with curl and its answer, as a terminal shows them. Only the white space of the answer is ours."""
    body = json.dumps({"instances": [question]})
    command = f"curl -s http://localhost:8080/v1/models/shortlist:predict -d '{body}'"
    parts = [f'  "items": [\n{_rows(answer["items"])}]']
    rest = {key: value for key, value in answer.items() if key != "items"}
    groups = [("release", "user", "source"), ("unknown_items", "unknown_exclude", "unknown_values"), ()]
    groups[-1] = tuple(key for key in rest if not any(key in group for group in groups))
    parts += ["  " + ", ".join(f"{json.dumps(key)}: {json.dumps(rest[key])}" for key in group) for group in groups]
    text = '{"predictions": [{\n' + ",\n".join(parts) + "}]}"
    return (
        f'<!doctype html><meta charset="utf-8"><style>{_TERMINAL}</style><main><header><i></i><i></i><i></i></header>'
        f"<pre><b>$</b> {escape(command, quote=False)}\n{_coloured(text)}</pre></main>"
    )


def _rows(items: list[dict[str, Any]]) -> str:
    return ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in items)


def _coloured(text: str) -> str:
    def mark(found: re.Match[str]) -> str:
        kind = "key" if found["key"] else "text" if found["text"] else "number"
        return f'<span class="{kind}">{escape(found[0], quote=False)}</span>'

    return re.sub(
        r'(?P<key>"[^"]*"(?=: ))|(?P<text>"[^"]*")|\b(?:\d+(?:\.\d+)?(?:e-?\d+)?|true|false|null)\b', mark, text
    )


_TERMINAL = """
body { margin: 0; background: #fbfaf8; }
main { margin: 16px; background: #fff; border: 1px solid #e0dbd2; border-radius: 10px; }
header { background: #f3f0ea; border-bottom: 1px solid #e0dbd2; border-radius: 10px 10px 0 0; padding: 9px 14px; }
header i { display: inline-block; width: 11px; height: 11px; margin-right: 7px;
  border-radius: 50%; background: #d3ccc0; }
pre { margin: 0; padding: 14px 16px; color: #1c1b1a; white-space: pre-wrap;
  font: 12.5px/1.65 "DejaVu Sans Mono", "Liberation Mono", monospace; }
b { color: #1b7f4d; } .key { color: #1f5fbf; } .text { color: #8a4b00; } .number { color: #7a3f9d; }
"""


def draw(page: str) -> bytes:
    """PNG of an HTML page in its light theme, cut below the last thing on it. Raises ValueError without a Chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise ValueError("there is no chromium; run `make pictures` as root on Debian, or install it")
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "page.html"), Path(scratch, "page.png")
        source.write_text(page, encoding="utf-8")
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={scratch}/profile", f"--force-device-scale-factor={_SCALE}"),
            *(f"--window-size={_WIDTH},{_HEIGHT}", f"--screenshot={target}", source.as_uri()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if not target.exists():
            raise ValueError(f"{browser} drew nothing: {done.stderr[-2000:]}")
        with Image.open(target) as opened:
            shown = opened.convert("RGB")
    paper = Image.new("RGB", shown.size, shown.getpixel((0, 0)))
    drawn = ImageChops.difference(shown, paper).getbbox()
    if drawn is None:
        raise ValueError("the page is blank")
    bottom = min(shown.height, drawn[3] + _MARGIN * _SCALE)
    # MAXCOVERAGE keeps rare colours, like the dots of a chart, as they are.
    method, none = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
    small = shown.crop((0, 0, shown.width, bottom)).quantize(256, method=method, dither=none)
    written = BytesIO()
    small.save(written, "PNG", optimize=True)
    return written.getvalue()


def main() -> None:
    places = find_places(RECIPE, None)
    run = next((one for one in list_runs(places.runs) if one.state == State.SUCCEEDED), None)
    if run is None or (run.path / "recipe.yaml").read_text(encoding="utf-8") != dump_recipe(places.recipe):
        raise ValueError("there is no run of the demo's recipe as it is now; run `make run` first")
    assert run.record is not None
    release = open_release(places.root.url, run.record["decision"]["release"], places.cache)
    question = complete(release, {"k": _ITEMS})
    question = {"user_id": question["user_id"]} | question
    with LocalService(release) as service:
        service.ask(question)  # the first answer pays for warming up
        answer = service.ask(question)
    pages = {
        "report.png": top_of((run.path / "report.html").read_text(encoding="utf-8")),
        "answer.png": answer_page(question, answer),
    }
    pictures = {name: draw(page) for name, page in pages.items()}
    for name, picture in pictures.items():
        if len(picture) > MOST_BYTES:
            raise ValueError(f"{name} has {len(picture):,} bytes; at most {MOST_BYTES:,} are kept")
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (FOLDER / name).write_bytes(picture)
    kept = {
        "run": run.name,
        "release": release.name,
        "drawn_by": digest(),
        "pictures": {name: hashlib.sha256(picture).hexdigest() for name, picture in pictures.items()},
    }
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    for name, picture in pictures.items():
        sys.stdout.write(f"docs/images/{name}: {len(picture):,} bytes\n")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"pictures: {error}")
