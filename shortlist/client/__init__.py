"""Ask a service from Python: `Client` and `AsyncClient`, typed, with retries within a deadline.

    from shortlist.client import Client

    with Client("http://localhost:8080") as client:
        for item in client.recommend(user_id=7, k=5)["items"]:
            print(item["item_id"], item["score"])

Needs the extra `client` (`pip install 'shortlist[client]'`).
"""

from shortlist.client.client import AsyncClient, Client
from shortlist.client.errors import ClientError, RefusedError, UnavailableError
from shortlist.client.queries import Boost, Query, Row, Rules

__all__ = [
    "AsyncClient",
    "Boost",
    "Client",
    "ClientError",
    "Query",
    "RefusedError",
    "Row",
    "Rules",
    "UnavailableError",
]
