"""The pictures of user neighbours."""

from shortlist.report.neighbours import neighbours

FOUND = {"mean": 2.5, "median": 2.0, "ranges": [[0, 1, 3], [2, 3, 1_234]]}


def test_a_source_has_three_pictures() -> None:
    one = {"users": 1_237, "neighbours": FOUND, "popularity": FOUND, "reachable": FOUND}
    html = neighbours({"build_index": {"user_neighbours": {"<same songs>": one}}})
    for title in ("Neighbours per user", "Popularity of users as neighbours", "Reachable items"):
        assert f"{title}, &lt;same songs&gt;" in html
    assert "2-3 neighbours: 1,234 users" in html
    assert "mean 2.5, median 2" in html


def test_without_such_a_source_there_is_no_section() -> None:
    assert neighbours({"build_index": {"curve": []}}) == ""
