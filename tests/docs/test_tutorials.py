"""Every command block of the tutorials runs; those marked `cluster` need one and are left out."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))
SMALL = """
name: demo
source: {kind: synthetic, users: 60, items: 200, events: 6000, days: 30}
split: {kind: temporal, test: 3d, valid: 3d}
retrieval: {dim: 16, hidden: [], training: {epochs: 1}}
ranking: {enabled: false}
gate: {min_queries: 1000}
"""
"""In place of the recipes on invented data: too few queries for the gate, which then publishes."""
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_commands_of_a_tutorial(page: Path, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    for recipe in (ROOT / "recipes").glob("*.yaml"):
        (tmp_path / "recipes" / recipe.name).write_text(recipe.read_text())
    for name in ("demo", "music-windows", "playlists"):
        (tmp_path / f"recipes/{name}.yaml").write_text(SMALL.replace("name: demo", f"name: {name}"))
    program = tmp_path / "bin/shortlist"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m shortlist.cli "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    library = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": library, "OMP_NUM_THREADS": "1"}
    blocks = _FENCE.findall(page.read_text())
    assert {kind for kind, _ in blocks} <= {"sh", "sh cluster", "yaml", "text", "json"}
    commands = [text for kind, text in blocks if kind == "sh"]
    assert commands
    for text in commands:
        command = ["sh", "-ec", text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=800, check=False
        )
        assert done.returncode == 0, f"{text}{done.stdout}{done.stderr}"
