"""The card on the rules: what each changes in the lists, and what that costs."""

from shortlist.report.pieces import card, note
from shortlist.report.record import RuleEffects
from shortlist.report.systems import metric_name
from shortlist.report.variants import differences_plot, variants_table


def rules(effects: RuleEffects) -> str:
    """A table of the variants, and the differences of their NDCG to the lists without rules."""
    k, ndcg = effects.k, f"ndcg_at_{effects.k}"
    about = (
        f"The first {k} items of {effects.queries:,} test queries, with all targets, including those that a rule "
        "leaves out. Diversity is 1 minus the mean cosine similarity of two items of a list, novelty the mean "
        "self-information of its items."
    )
    parts = [
        note(about),
        variants_table(effects.variants, k, "Rules", _name, {}),
        differences_plot(effects.differences, ndcg, f"{metric_name(ndcg)} minus that without rules", _name),
    ]
    return card("Rules", "".join(parts))


def _name(variant: str) -> str:
    return {"none": "no rules", "all": "all rules"}.get(variant, f"only {variant}")
