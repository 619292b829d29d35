"""Data docs: expectations and results as one self-contained HTML page.

The content comes from the renderers of Great Expectations. Its page template is not used: it loads a dozen external
style sheets and scripts, and shows values of the data without escaping them.
"""

import copy
import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaSectionView

from shortlist.data.validate.suite import Suite

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>{style}</style></head><body>
<h1>{title}</h1>
<nav>{links}</nav>
{tables}
</body></html>
"""
# What the class names of Great Expectations' templates (Bootstrap's and Font Awesome's) need to look right.
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#212529;background:#fff;max-width:72rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.5rem}h2{font-size:1.25rem;margin:2.5rem 0 .5rem;border-bottom:1px solid #dee2e6;padding-bottom:.3rem}
h5,h6{margin:0;font-size:1rem}p{margin:.3rem 0}nav a{margin-right:1rem}a{color:#0b5ed7}
table{border-collapse:collapse;margin:.3rem 0}th,td{text-align:left;vertical-align:top;padding:.3rem .75rem .3rem 0}
.table{width:100%}.table>tbody>tr>td,.table>thead>tr>th{border-top:1px solid #dee2e6}
.table>thead>tr>th:first-child,.table>tbody>tr>td:first-child{width:4rem}
.table>thead>tr>th:last-child,.table>tbody>tr>td:last-child{width:11rem}
.table-bordered th,.table-bordered td{border:1px solid #dee2e6;padding:.1rem .6rem}
.alert{background:#e9ecef;border-radius:.3rem;padding:.4rem .8rem;margin-top:1rem}
.badge{background:#e2e3e5;border-radius:.3rem;padding:.1rem .4rem;font-size:.85em}
.text-success{color:#198754}.text-danger{color:#b02a37}.text-warning{color:#997404}
.fas{font-style:normal;font-weight:700}.fa-check-circle::before{content:"\\2713"}.fa-times::before{content:"\\2717"}
.fa-exclamation-triangle::before{content:"!"}
@media (prefers-color-scheme:dark){body{color:#dee2e6;background:#16191c}.alert,.badge{background:#2b3035}
h2,.table>tbody>tr>td,.table>thead>tr>th,.table-bordered th,.table-bordered td{border-color:#495057}a{color:#6ea8fe}
.text-success{color:#75b798}.text-danger{color:#ea868f}.text-warning{color:#ffda6a}}
"""


def render_docs(title: str, suites: Sequence[tuple[Suite, str]]) -> str:
    """The page for suites with results, each with a sentence about its table."""
    links = "".join(f'<a href="#{suite.name}">{suite.name}</a>' for suite, _ in suites)
    view = DefaultJinjaSectionView()
    tables = "\n".join(_table(view, suite, about) for suite, about in suites)
    return _PAGE.format(title=html.escape(title), style=_STYLE, links=links, tables=tables)


def _table(view: Any, suite: Suite, about: str) -> str:
    head = f'<h2 id="{suite.name}">{suite.name}</h2><p>{html.escape(about)}</p>'
    if not suite.results:
        return head
    report = copy.deepcopy(suite.report())
    for result in report.results:
        config = result.expectation_config
        config.kwargs["column"] = html.escape(config.kwargs["column"])
        result.result = _escape(result.result)
    overview, *columns = ValidationResultsPageRenderer().render(report).to_json_dict()["sections"]
    # Only the statistics of the overview are useful here: it begins with links to other pages and ends with a block
    # that needs a script.
    overview["content_blocks"] = overview["content_blocks"][1:2]
    return head + "".join(view.render({"section": section, "section_loop": {}}) for section in [overview, *columns])


def _escape(value: Any) -> Any:
    """The results with escaped text, which the templates do not escape, and with Python numbers, which they need."""
    if isinstance(value, dict):
        return {key: _escape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escape(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return html.escape(value) if isinstance(value, str) else value
