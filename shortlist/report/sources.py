"""The card on the candidate sources: what each finds, and its share of the lists and of their hits."""

from html import escape

from shortlist.report.pieces import card, note, table
from shortlist.report.record import SourceEffects
from shortlist.report.variants import differences_plot, variants_table

_RECALL = "candidate_recall"


def sources(effects: SourceEffects) -> str:
    """Tables of the variants and of the shares, and the differences in candidate recall to the first source."""
    recall = {_RECALL: f"Recall of {effects.candidates:,} candidates"}
    shares = [
        [escape(name), *(f"{100 * share:.1f}%" for share in (one.items, one.hits, one.hits_of_it_alone))]
        for name, one in effects.shares.items()
    ]
    about = (
        f"The first {effects.k} items of {effects.queries:,} test queries. A source alone fills no list from others. "
        "An item that several sources find counts for each of them."
    )
    minus = f"Recall of candidates minus that of {effects.reference}"
    parts = [
        note(about),
        variants_table(effects.variants, effects.k, "Candidates of", _name, recall),
        differences_plot(effects.differences, _RECALL, minus, _name),
        table(["Source", "Listed items", "Hits", "Hits of it alone"], shares, range(1, 4), []),
    ]
    return card("Candidate sources", "".join(parts))


def _name(variant: str) -> str:
    return {"all": "all sources"}.get(variant, variant)
