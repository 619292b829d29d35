"""Names of synthetic artists and tracks."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

_FIRST = (  # noqa: SIM905 - a list of eighty quoted words is harder to read
    "Amber Arctic Ashen Autumn Azure Bitter Blue Brass Bright Broken Burning Calm Cedar City Cobalt Copper Coral "
    "Crimson Crystal Daring Distant Dusty Early Echo Electric Emerald Faded Feral Foggy Gentle Ghost Gilded Golden "
    "Granite Hidden Hollow Honey Indigo Iron Ivory Jade Kind Late Lunar Marble Midnight Misty Neon Nimble Northern "
    "Ochre Pale Paper Quiet Rapid Restless Rolling Rusty Sable Salty Secret Silver Slow Solar Southern Static Stormy "
    "Sudden Sunny Tender Tidal Twin Umber Velvet Violet Wandering Wild Winter Wooden Young"
).split()
_SECOND = (  # noqa: SIM905
    "Anchors Arcades Avenues Badgers Balconies Bells Birches Bridges Cameras Canals Candles Captains Chapels Clocks "
    "Comets Compass Corridors Deltas Doves Drums Embers Engines Falcons Ferries Foxes Gardens Geysers Giants Glaciers "
    "Harbours Herons Hills Islands Jackdaws Kites Ladders Lanterns Letters Lighthouses Machines Magpies Maps Meadows "
    "Mirrors Monsoons Oaks Orchards Otters Parades Pilots Pines Planets Poets Prairies Radios Ravens Rivers Rockets "
    "Roofs Satellites Shadows Signals Skylines Sparrows Stations Streets Strangers Tides Towers Trains Valleys Violins "
    "Voyagers Waves Willows Windows Wolves Workshops"
).split()


def artist_names(count: int) -> pl.Series:
    """Distinct names; a number is appended once all pairs of words are used."""
    at = np.arange(count)
    pairs = len(_FIRST) * len(_SECOND)
    # A step coprime to the number of pairs visits each pair once, and gives neighbours different names.
    pair = at * 2_657 % pairs
    round_ = at // pairs
    suffix = pl.Series(np.where(round_ > 0, " " + (round_ + 1).astype(str), ""))
    return _words(_FIRST, pair % len(_FIRST)) + " " + _words(_SECOND, pair // len(_FIRST)) + suffix


def track_titles(artists: pl.Series, rng: np.random.Generator) -> pl.Series:
    """A title for each item, followed by its artist's name."""
    first = _words(_FIRST, rng.integers(0, len(_FIRST), len(artists)))
    second = _words([word.removesuffix("s") for word in _SECOND], rng.integers(0, len(_SECOND), len(artists)))
    return first + " " + second + " - " + artists


def _words(words: list[str], at: NDArray[np.int64]) -> pl.Series:
    return pl.Series(words).gather(at)
