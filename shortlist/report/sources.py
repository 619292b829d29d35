"""The card on the candidate sources: what each finds, and its share of the lists and of their hits."""

from html import escape

from shortlist.report.charts import Whisker, whiskers
from shortlist.report.pieces import card, note, table
from shortlist.report.record import SourceEffects
from shortlist.report.systems import color_of, metric_name

_RECALL = "candidate_recall"


def sources(effects: SourceEffects) -> str:
    """Tables of the variants and of the shares, and the differences in candidate recall to the first source."""
    k = effects.k
    ndcg, recall = f"ndcg_at_{k}", f"recall_at_{k}"
    rows = [
        [
            escape(_name(name)),
            f"{one.metrics[_RECALL].mean:.4f}",
            f"{one.metrics[ndcg].mean:.4f}",
            f"{one.metrics[recall].mean:.4f}",
            f"{100 * one.coverage:.1f}%",
            f"{one.diversity:.3f}",
            f"{one.novelty:.2f}",
            f"{one.milliseconds:.2f}",
        ]
        for name, one in effects.variants.items()
    ]
    titles = [
        "Candidates of",
        f"Recall of {effects.candidates:,} candidates",
        metric_name(ndcg),
        metric_name(recall),
        "Coverage",
        "Diversity",
        "Novelty, bits",
        "ms a query",
    ]
    shares = [
        [escape(name), *(f"{100 * share:.1f}%" for share in (one.items, one.hits, one.hits_of_it_alone))]
        for name, one in effects.shares.items()
    ]
    differences = [
        Whisker(_name(name), color_of("path"), one[_RECALL].mean, one[_RECALL].low, one[_RECALL].high)
        for name, one in effects.differences.items()
    ]
    about = (
        f"The first {k} items of {effects.queries:,} test queries. A source alone fills no list from others. An item "
        "that several sources find counts for each of them."
    )
    plot = whiskers([(f"Recall of candidates minus that of {effects.reference}", differences)], zero=True)
    parts = [
        note(about),
        table(titles, rows, range(1, len(titles)), []),
        plot,
        table(["Source", "Listed items", "Hits", "Hits of it alone"], shares, range(1, 4), []),
    ]
    return card("Candidate sources", "".join(parts))


def _name(variant: str) -> str:
    return {"all": "all sources"}.get(variant, variant)
