"""Invented logs in the shapes in which people have them."""

import datetime as dt
import json
import random
from pathlib import Path

USERS, ITEMS, DAYS = 60, 40, 90
_START = dt.datetime(2024, 3, 1, 9, 0, tzinfo=dt.UTC)
_WORDS = ["Käse", "Brötchen", "Äpfel", "Milch", "Gemüse", "Nüsse", "Öl"]


def events(count: int = 3_000, seed: int = 0) -> list[tuple[int, int, dt.datetime, int]]:
    """(user, item, moment, number from 1 to 5), in the order of time; users come back all the time."""
    rng = random.Random(seed)
    moments = sorted(rng.uniform(0, DAYS * 86_400) for _ in range(count))
    return [
        (
            1_000 + rng.randrange(USERS),
            70_000 + rng.randrange(ITEMS),
            _START + dt.timedelta(seconds=int(at)),
            rng.randint(1, 5),
        )
        for at in moments
    ]


def semicolons(folder: Path) -> Path:
    """German: semicolons, decimal commas, day first."""
    lines = ["Kunde;Artikel;Datum;Menge;Preis"]
    for user, item, at, number in events():
        amount = -1 if number == 1 and item % 3 == 0 else number
        lines.append(f"{user};{item};{at:%d.%m.%Y %H:%M};{amount};{item % 7 + 1},{item % 90 + 10}")
    return _write(folder / "verkauf.csv", "\n".join(lines) + "\n", "utf-8")


def latin1(folder: Path) -> tuple[Path, Path]:
    """Tabs, Latin-1, titles with umlauts, a scale of ratings, milliseconds."""
    lines = ["user_id\tproduct_id\trating\tts"]
    lines += [f"u{user}\tp{item}\t{number}\t{int(at.timestamp() * 1000)}" for user, item, at, number in events()]
    items = ["product_id\ttitle\tgroup\tlong_text"]
    for at in range(ITEMS):
        word = _WORDS[at % len(_WORDS)]
        items.append(
            f"p{70_000 + at}\t{word} Nr. {at} frisch\tgruppe {at % 4}\t{word} aus der Region, Sorte {at}, täglich neu"
        )
    return (
        _write(folder / "ratings.tsv", "\n".join(lines) + "\n", "latin-1"),
        _write(folder / "products.tsv", "\n".join(items) + "\n", "latin-1"),
    )


def iso_times(folder: Path) -> Path:
    """Commas, quotes with commas and line breaks inside, ISO times with offsets, kinds of events."""
    kinds = ["view", "view", "view", "cart", "purchase"]
    lines = ['event_type,visitorId,sku,created_at,"note"']
    for user, item, at, number in events():
        local = at.astimezone(dt.timezone(dt.timedelta(hours=2))).isoformat()
        note = '"a, ""b""\nc"' if item % 5 == 0 else "d"
        lines.append(f"{kinds[number - 1]},{user:06d}x,SKU-{item},{local},{note}")
    return _write(folder / "clicks.csv", "\n".join(lines) + "\n", "utf-8")


def json_lines(folder: Path) -> Path:
    lines = [
        json.dumps({"userId": f"u-{user}", "movieId": item, "watched": number > 2, "timestamp": int(at.timestamp())})
        for user, item, at, number in events()
    ]
    return _write(folder / "watch.jsonl", "\n".join(lines) + "\n", "utf-8")


def no_header(folder: Path) -> Path:
    lines = [f"{user}|{item}|{number}|{int(at.timestamp())}" for user, item, at, number in events()]
    return _write(folder / "log.txt", "\n".join(lines) + "\n", "utf-8")


def _write(file: Path, text: str, encoding: str) -> Path:
    file.write_bytes(text.encode(encoding))
    return file
