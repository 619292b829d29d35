"""The card on the rules: what each changes in the lists, and what that costs."""

from html import escape

from shortlist.report.charts import Whisker, whiskers
from shortlist.report.pieces import card, note, table
from shortlist.report.record import RuleEffects
from shortlist.report.systems import color_of, metric_name


def rules(effects: RuleEffects) -> str:
    """A table of the variants, and the differences of their NDCG to the lists without rules."""
    k = effects.k
    ndcg, recall = f"ndcg_at_{k}", f"recall_at_{k}"
    rows = [
        [
            escape(_name(name)),
            f"{one.metrics[ndcg].mean:.4f}",
            f"{one.metrics[recall].mean:.4f}",
            f"{100 * one.coverage:.1f}%",
            f"{one.diversity:.3f}",
            f"{one.novelty:.2f}",
            f"{one.milliseconds:.2f}",
        ]
        for name, one in effects.variants.items()
    ]
    titles = ["Rules", metric_name(ndcg), metric_name(recall), "Coverage", "Diversity", "Novelty, bits", "ms a query"]
    differences = [
        Whisker(_name(name), color_of("path"), one[ndcg].mean, one[ndcg].low, one[ndcg].high)
        for name, one in effects.differences.items()
    ]
    about = (
        f"The first {k} items of {effects.queries:,} test queries, with all targets, including those that a rule "
        "leaves out. Diversity is 1 minus the mean cosine similarity of two items of a list, novelty the mean "
        "self-information of its items."
    )
    plot = whiskers([(f"{metric_name(ndcg)} minus that without rules", differences)], zero=True)
    return card("Rules", note(about) + table(titles, rows, range(1, len(titles)), []) + plot)


def _name(variant: str) -> str:
    return {"none": "no rules", "all": "all rules"}.get(variant, f"only {variant}")
