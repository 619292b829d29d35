"""The JSON schema of recipes as text, the content of `recipes/schema.json`, which editors use for completion."""

import json

from shortlist.recipe import recipe_schema


def schema_text() -> str:
    return json.dumps(recipe_schema(), indent=1, ensure_ascii=False) + "\n"
