"""Which columns of a log name the user, the item and the time."""

from collections.abc import Sequence
from dataclasses import dataclass

from shortlist.data.sources.errors import SourceError, missing_column, named
from shortlist.propose.columns import Column, words
from shortlist.propose.moments import Moment, is_clock, read_moment

USERS = {
    3: "user users customer client member buyer shopper listener reader viewer player subscriber account profile "
    "visitor reviewer rater person people kunde nutzer benutzer cliente usuario utilisateur uid userid username "
    "patient student bidder applicant voter donor tenant",
    2: "session household device cookie guest fullvisitor",
}
ITEMS = {
    3: "item items product products article sku asin movie film track song book isbn video iid pid mid recipe game app "
    "stock artikel produkt producto produit libro articulo anime course job listing hotel restaurant post ad "
    "news content tender auction notice vacancy",
    2: "artist business poi place venue location shop store brand merchant album channel station offer repo repository",
}
_ID = words("id ids key code no nr num number uuid guid hash token nummer")
_ATTRIBUTE = words(
    "name title age country city gender sex type category categories price rating score count email address zip url "
    "description text date time timestamp quantity qty amount status color size weight url titel preis land"
)
_TIMES = {
    3: "time timestamp ts datetime unixtime unix eventtime zeit zeitstempel zeitpunkt timestamps epoch",
    2: "date datum day fecha at when created purchased ordered played watched clicked data tag",
}
_OTHER_TIMES = words(
    "birth birthday born release released publish published updated modified delivery delivered "
    "end expires expiry estimated"
)
_FEW = 12
"""So few different numbers are a scale or a class, not ids, where no name says otherwise."""


@dataclass(frozen=True)
class Role:
    """A column that was chosen, and why; `sure` is false where only its place or its values speak for it."""

    column: Column
    why: str
    sure: bool = True


@dataclass(frozen=True)
class Roles:
    user: Role
    item: Role
    time: Role | None
    """None where the rows are in order (`row`), or the order is unknown (`none`)."""
    moment: Moment | None
    ordered: bool
    clock: Column | None = None


def find_roles(
    columns: Sequence[Column],
    file: str,
    *,
    named_columns: bool,
    user: str | None,
    item: str | None,
    time: str | None,
    known_user: Role | None = None,
    known_item: Role | None = None,
) -> Roles:
    """The roles; what is given is taken. Raises SourceError that lists the columns and names the option to pass."""
    timed, moment, clock = _find_time(columns, file, time)
    ordered = time != "none"
    rest = [column for column in columns if timed is None or column is not timed.column]
    found_user = known_user if user is None else _given(columns, user, file, "--user")
    found_item = known_item if item is None else _given(columns, item, file, "--item")
    taken = {id(role.column) for role in (found_user, found_item) if role is not None}
    rest = [column for column in rest if id(column) not in taken]
    # The likeliest first: `item_id` beside `item_user_rating` takes nothing from the user.
    if found_user is None:
        found_user = by_name(rest, USERS, ITEMS)
    if found_user is not None:
        rest = [column for column in rest if column is not found_user.column]
    if found_item is None:
        found_item = by_name(rest, ITEMS, USERS)
    if found_user is None or found_item is None:
        found_user, found_item = _by_place(columns, timed, found_user, found_item, named_columns=named_columns)
    missing = [name for name, role in (("user", found_user), ("item", found_item)) if role is None]
    if timed is None and time is None:
        missing.append("time")
    if missing or found_user is None or found_item is None:
        raise _unknown(columns, file, missing)
    return Roles(found_user, found_item, timed, moment, ordered, clock)


def name_score(column: Column, words: dict[int, str], id_counts: int = 1) -> int:
    """How much a column's name is one of the words: `userId`, `customer_id`, `productid`; 0 for not at all."""
    best = 0
    for weight, text in words.items():
        for word in text.split():
            if any(_is(one, word) for one in column.words):
                best = max(best, weight)
    if not best:
        return 0
    joined = "".join(column.words)
    if _ID & set(column.words) or joined.endswith(("id", "code", "key")):
        best += 2 * id_counts
    if _ATTRIBUTE & set(column.words):
        best -= 2
    return best


def _is(one: str, word: str) -> bool:
    if one == word:
        return True
    return len(word) >= 4 and one.startswith(word) and one[len(word) :] in ("id", "s", "ids", "no", "key", "code", "nr")


def _given(columns: Sequence[Column], name: str, file: str, option: str) -> Role:
    for column in columns:
        if column.name == name:
            return Role(column, f"given by {option}")
    raise missing_column(option, name, file, [column.name for column in columns])


def by_name(columns: Sequence[Column], words: dict[int, str], others: dict[int, str]) -> Role | None:
    scored = [
        (name_score(column, words) - max(name_score(column, others) - 1, 0), -at, column)
        for at, column in enumerate(columns)
        if column.can_be_id
    ]
    scored = [one for one in scored if one[0] > 0]
    if not scored:
        return None
    best = max(scored, key=lambda one: one[:2])[2]
    also = [column.name for score, _, column in scored if column is not best and score > 2]
    more = f" (so could {named(also, 3)})" if also else ""
    return Role(best, f"its name says so{more}; {best.distinct:,} different values in the sample")


def _by_place(
    columns: Sequence[Column], timed: Role | None, user: Role | None, item: Role | None, *, named_columns: bool
) -> tuple[Role | None, Role | None]:
    """What no name tells: without names the user stands before the item; with names, one id that is left is it."""
    taken = [role.column for role in (timed, user, item) if role is not None]
    free = [column for column in columns if column not in taken and like_ids(column)]
    if named_columns:
        free = [column for column in free if _ID & set(column.words) or "".join(column.words).endswith("id")]
        if len(free) != (user is None) + (item is None):
            return user, item
    why = "the first column of ids" if not named_columns else "the only other column of ids"
    if user is None and free:
        first = free.pop(0)
        user = Role(first, f"{why}; {first.distinct:,} different values in the sample", sure=False)
        why = why.replace("first", "second")
    if item is None and free:
        item = Role(free[0], f"{why}; {free[0].distinct:,} different values in the sample", sure=False)
    return user, item


def like_ids(column: Column) -> bool:
    """Values that come again, and are more than a scale or a class."""
    return column.can_be_id and column.mean_words <= 1.5 and _FEW < column.distinct < len(column.there)


def _find_time(
    columns: Sequence[Column], file: str, given: str | None
) -> tuple[Role | None, Moment | None, Column | None]:
    if given in ("row", "none") and given not in [column.name for column in columns]:
        return None, None, None
    clocks = [column for column in columns if is_clock(column)]
    clock = clocks[0] if len(clocks) == 1 else None
    if given is not None:
        role = _given(columns, given, file, "--time")
        moment = read_moment(role.column, clock)
        if moment is None:
            some = named([repr(value) for value in role.column.there.head(3).to_list()])
            raise SourceError(
                f"--time {given}: {file}: its values are no times that are read (like {some}); name another column, or "
                "pass --time row and write the expression for `time` into the recipe (docs/data.md, Times)"
            )
        return role, moment, clock
    found: list[tuple[int, int, Column, Moment]] = []
    for at, column in enumerate(columns):
        moment = read_moment(column, clock)
        if moment is None:
            continue
        score = max((weight for weight, words in _TIMES.items() if set(column.words) & set(words.split())), default=0)
        score -= 3 if _OTHER_TIMES & set(column.words) else 0
        if score <= 0 and column.is_number and (name_score(column, USERS) or name_score(column, ITEMS)):
            continue  # long numbers are ids where the name says so
        found.append((score, -at, column, moment))
    if not found:
        return None, None, None
    score, _, column, moment = max(found, key=lambda one: one[:2])
    also = [other.name for _, _, other, _ in found if other is not column]
    more = f" (so does {named(also, 3)})" if also else ""
    uses_clock = clock if clock is not None and clock.sql in moment.expression else None
    role = Role(column, f"its values are times: {moment.form}{more}", sure=score > 0 or not also)
    return role, moment, uses_clock


def _unknown(columns: Sequence[Column], file: str, missing: Sequence[str]) -> SourceError:
    shown = "\n".join(f"  {column.name:<28} {_kind(column):<10} {_examples(column)}" for column in columns[:60])
    options = {
        "user": "--user COLUMN",
        "item": "--item COLUMN",
        "time": "--time COLUMN (or --time row if the rows are in the order in which they happened, --time none if "
        "the order is unknown)",
    }
    floats = [column.name for column in columns if _float_ids(column)]
    hint = ""
    if floats:
        hint = (
            f"\n{named(floats)} has the name of an id and holds numbers with a fraction point, like a column of "
            "integers with missing values that pandas wrote; pass it by the option if they are whole numbers"
        )
    return SourceError(
        f"{file}: cannot determine the {' and the '.join(missing)}. "
        f"Pass {', '.join(options[name] for name in missing)}. The columns are:\n{shown}{hint}"
    )


def _float_ids(column: Column) -> bool:
    return column.dtype.is_float() and bool(name_score(column, USERS) or name_score(column, ITEMS))


def _kind(column: Column) -> str:
    if column.is_text:
        return "text"
    return "integer" if column.dtype.is_integer() else "number" if column.is_number else str(column.dtype).lower()[:10]


def _examples(column: Column) -> str:
    return named([str(value)[:24] for value in column.there.head(3).to_list()])
