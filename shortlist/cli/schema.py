"""The recipe's JSON schema as text: `recipes/schema.json` is this, and editors complete recipes by it."""

import json

from shortlist.recipe import recipe_schema


def schema_text() -> str:
    return json.dumps(recipe_schema(), indent=1, ensure_ascii=False) + "\n"
