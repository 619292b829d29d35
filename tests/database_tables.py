"""Recipes of a database for the tests, and what ingest makes of them."""

import json
from pathlib import Path

import polars as pl

from shortlist.data.ingest import ingest
from shortlist.data.tables import scan
from shortlist.recipe import Recipe, parse_recipe


def recipe_of(url: str, events: str, more: str = "") -> Recipe:
    """`events` is the YAML of its block in one line."""
    return parse_recipe(
        f"name: shop\nsource: {{kind: sql, url: {json.dumps(url)}, events: {events}{more}}}\n"
        "split: {kind: leave_one_out}\n"
    )


def events_of(recipe: Recipe, out: Path) -> pl.DataFrame:
    ingest(recipe, out)
    return scan(out, "events").collect()
