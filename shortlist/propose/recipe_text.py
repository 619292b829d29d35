"""The proposal as a commented recipe."""

import json
import textwrap
from collections.abc import Iterator, Mapping

from shortlist.propose.attributes import Attributes
from shortlist.propose.describe import Described
from shortlist.propose.proposal import Proposal
from shortlist.propose.sample import Sample
from shortlist.propose.sizes import buys_again, has_idle_items, told
from shortlist.recipe.yaml_text import YamlTextError, dump_yaml, load_yaml, quoted_yaml

_WIDTH = 116
_NULLS = 0.02
_REPEATED = 0.04


def recipe_text(proposal: Proposal, written: Mapping[str, str]) -> str:
    """The YAML of a proposal; `written` gives each table's path as the recipe is to have it."""
    lines = [
        *_comment(
            "Proposed by `shortlist init` from a sample of the data. Read the comments: what is marked CHECK was "
            "guessed from little. Relative paths start at the folder where this was written."
        ),
        f"name: {proposal.name}",
        "",
        *_source(proposal, written),
        "",
        *_interactions(proposal),
        *_contract(proposal),
        "",
        *_split(proposal),
        "",
        *_features(proposal),
        "",
        *_models(proposal),
    ]
    return "\n".join(lines) + "\n"


def _source(proposal: Proposal, written: Mapping[str, str]) -> Iterator[str]:
    roles, sample = proposal.roles, proposal.events
    yield "source:"
    yield "  kind: files"
    yield "  events:"
    yield from _comment(f"{_count(sample)} rows.", 4)
    file = list(_file(sample, written["events"]))
    yield f"    - {file[0]}"
    yield from (f"      {line}" for line in file[1:])
    if proposal.where:
        yield from _comment(f"{proposal.where[1]}", 6)
        yield f"      where: {_scalar(proposal.where[0])}"
    made = {} if proposal.lists is None else proposal.lists.columns
    if proposal.lists is not None:
        yield from _comment(f"CHECK: {proposal.lists.why}.", 6)
        yield "      explode: item_id"
    yield "      columns:"
    for ours, role in (("user_id", roles.user), ("item_id", roles.item)):
        yield from _comment(f"{'' if role.sure else 'CHECK: '}{role.why}.", 8)
        yield f"        {ours}: {_scalar(made.get(role.column.name, role.column.sql))}"
    if roles.time is not None and roles.moment is not None:
        doubt = f" CHECK: {roles.moment.doubt}." if roles.moment.doubt else ""
        yield from _comment(f"{'' if roles.time.sure else 'CHECK: '}{roles.time.why}.{doubt}", 8)
        yield f"        time: {_scalar(roles.moment.expression)}"
    for table, described in (("items", proposal.items), ("users", proposal.users)):
        if described is not None:
            yield from _described(table, described, written)


def _described(table: str, described: Described, written: Mapping[str, str]) -> Iterator[str]:
    yield f"  {table}:"
    log = table not in written
    if log:
        whose = "an item" if table == "items" else "a user"
        yield from _comment(
            f"What {described.why} of {whose}; the first row of each counts. CHECK: remove what is known only after "
            "the event.",
            4,
        )
    for line in _file(described.sample, written["events" if log else table]):
        yield f"    {line}"
    if described.distinct:
        if not log:
            yield from _comment("Some ids are there more than once: the first row of each counts.", 4)
        yield "    distinct: true"
    yield "    columns:"
    if not log:
        yield from _comment(f"{described.why}.", 6)
    yield f"      {table.removesuffix('s')}_id: {_scalar(described.key.sql)}"
    for ours, sql in described.attributes.expressions.items():
        yield from _expression(ours, sql)


def _expression(ours: str, sql: str) -> Iterator[str]:
    """A column and its SQL; a long list of cases takes a line each."""
    parts = sql.replace(", CASE ", ",\nCASE ").split("\n")
    if len(parts) == 1 or any("  " in part for part in parts):
        yield f"      {_scalar(ours)}: {_scalar(sql)}"
        return
    yield f"      {_scalar(ours)}: >-"
    yield from (f"        {part}" for part in parts)


def _file(sample: Sample, path: str) -> Iterator[str]:
    dialect = sample.dialect
    yield f"path: {_scalar(path)}"
    if sample.needs_format:
        yield f"format: {dialect.format}"
    reasons = dialect.reasons or {}
    settings = (
        ("separator", dialect.separator, ","),
        ("header", dialect.header, None),
        ("quote", dialect.quote, '"'),
        ("encoding", dialect.encoding, "utf-8"),
    )
    for name, value, default in settings:
        if value != default:
            if name in ("encoding", "header") or (name == "separator" and dialect.entries is not None):
                yield from _comment(f"{_capital(reasons.get(name, 'given'))}.")
            yield f"{name}: {_scalar(value)}"


def _interactions(proposal: Proposal) -> Iterator[str]:
    meaning, roles = proposal.meaning, proposal.roles
    yield "interactions:"
    mark = "" if meaning.sure else "CHECK: "
    yield from _comment(f"{mark}{_capital(meaning.why)}.", 2)
    yield f"  positive: {_scalar(True if meaning.positive == 'TRUE' else meaning.positive)}"
    if meaning.history is not None and roles.ordered:
        yield from _comment("What somebody took says something also where it was not liked.", 2)
        yield f"  history: {_scalar(meaning.history)}"
    if roles.moment is None:
        yield from _comment("There is no time; the rows are in the order in which things happened." if roles.ordered
                            else "There is no time, and the order is unknown.", 2)  # fmt: skip
        yield "  time_unit: row"
        if not roles.ordered:
            yield "  ordered: false"
    elif roles.moment.unit != "s":
        yield from _comment(f"{_capital(roles.moment.form)}.", 2)
        yield f"  time_unit: {roles.moment.unit}"


def _contract(proposal: Proposal) -> Iterator[str]:
    """Only what differs: the defaults hold for everybody."""
    rules: list[str] = []
    share = proposal.volume.duplicates
    if share > _REPEATED:
        rules += _comment(
            f"{share:.1%} of the rows repeat user, item and time. They are kept here. If they are errors, remove this "
            "line, and raise max_quarantined.", 2)  # fmt: skip
        rules.append("  unique: []")
    if proposal.earliest is not None:
        rules += _comment("The data is older than logs usually are.", 2)
        rules.append(f'  earliest: "{proposal.earliest}"')
    if proposal.items is not None and proposal.unreferenced > _NULLS:
        share = proposal.unreferenced
        rules += _comment(f"{share:.1%} of the events are of items that the items table lacks; they are kept.", 2)
        rules.append("  references: false")
    if rules:
        yield from ("", "contract:", *rules)


def _split(proposal: Proposal) -> Iterator[str]:
    split = proposal.split
    yield from _comment(f"{'' if split.sure else 'CHECK: '}{_capital(split.why)}.")
    yield "split:"
    yield f"  kind: {split.kind}"
    if split.kind == "temporal":
        yield f"  test: {told(split.test)}"
        yield f"  valid: {told(split.valid)}"


def _features(proposal: Proposal) -> Iterator[str]:
    sizes = proposal.sizes
    yield "features:"
    if proposal.roles.ordered:
        yield f"  history_length: {sizes['history_length']}"
    yield "  item:"
    yield f"    id_dim: {sizes['id_dim']}"
    if proposal.items is not None:
        yield from _attributes(proposal.items.attributes)
    if proposal.users is not None and (proposal.users.attributes.categorical or proposal.users.attributes.numeric):
        yield "  user:"
        yield from _attributes(proposal.users.attributes)
    elif proposal.users is not None and proposal.users.attributes.unused:
        yield from _unused(proposal.users.attributes.unused, 2, "Of the users")
    if proposal.clock:
        yield "  context:"
        yield "    clock: [hour]"
    if proposal.unused:
        yield from _comment(
            f"Columns of the events that nothing reads: {', '.join(proposal.unused)}. One that is known when the "
            "query is asked (a device, a country, a season) may be a feature under `context`; what is known "
            "only afterwards may not.", 2)  # fmt: skip


def _attributes(attributes: Attributes) -> Iterator[str]:
    if attributes.text:
        yield "    text:"
        yield "      columns:"
        yield from (f"        - {_scalar(name)}" for name in attributes.text)
        yield "      dim: 64"
    if attributes.categorical:
        yield "    categorical:"
    for one in attributes.categorical:
        yield f"      - name: {_scalar(one.name)}"
        yield f"        dim: {one.dim}"
        if one.max_values > 1:
            yield f"        max_values: {one.max_values}"
    if attributes.numeric:
        yield "    numeric:"
        yield from (f"      - {_scalar(name)}" for name in attributes.numeric)
    if attributes.title is not None:
        yield f"    title: {_scalar(attributes.title)}"
    yield from _unused(attributes.unused, 4, "Not used")


def _unused(unused: Mapping[str, str], indent: int, label: str) -> Iterator[str]:
    for name, why in unused.items():
        yield from _comment(f"{label}: {name}: {why}.", indent)


def _models(proposal: Proposal) -> Iterator[str]:
    volume, sizes = proposal.volume, proposal.sizes
    yield from _comment(
        f"Sizes for about {volume.rows:,} events of {volume.users:,} users and {volume.items:,} items, as far as the "
        "sample shows."
    )
    if proposal.split.kind == "temporal":
        yield from _comment(
            "Demand changes: an event that is two validation windows old counts half, and the towers learn "
            "from the validation window at the end."
        )
    if has_idle_items(proposal.idle):
        yield from _comment(
            f"{proposal.idle:.0%} of the items of the table have no event. Some negatives are therefore drawn evenly "
            "from all items; otherwise the towers never learn to rank these items low."
        )
    for block in ("retrieval", "ranking"):
        yield f"{block}:"
        text = dump_yaml(sizes[block])
        yield from (f"  {line}" for line in text.rstrip().splitlines())
        yield ""
    if buys_again(volume):
        yield from _comment(
            f"{volume.repeats:.0%} of the positives are of items that the user had before, so they stay in the lists."
        )
        yield "evaluation:"
        yield "  k: [5, 10, 20]"
        yield "  mask_seen: false"
    else:
        yield "evaluation:"
        yield "  k: [5, 10, 20]"


def _comment(text: str, indent: int = 0) -> list[str]:
    plain = " ".join(text.split())
    return [" " * indent + "# " + line for line in textwrap.wrap(_capital(plain), _WIDTH - indent)]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _scalar(value: object) -> str:
    """A value in YAML; text in double quotes where a plain word would be read as something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    plain = value == value.strip() and "\n" not in value and all(mark not in value for mark in ("#", ": ", "\t"))
    if plain and not value.startswith(tuple("-?:,[]{}&*!|>'\"%@`")):
        try:
            if load_yaml(f"a: {value}") == {"a": value}:
                return value
        except YamlTextError:
            pass
    if '"' in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    # Not JSON: its escapes of characters above U+FFFF are pairs, which YAML reads as two characters.
    return quoted_yaml(value)


def _count(sample: Sample) -> str:
    return f"{sample.rows:,}" if sample.whole else f"About {sample.rows:,} (estimated from a sample)"
