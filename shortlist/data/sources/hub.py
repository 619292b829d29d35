"""Raw files of a Hugging Face repository: `hf://datasets/<owner>/<name>[@revision]/<path>`.

Downloads are stored in the cache of the hub's library, so that a second run only compares hashes. HF_ENDPOINT, HF_TOKEN
and HF_HOME are respected.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from shortlist.data.sources.errors import MissingSourceError, SourceError
from shortlist.names import ForeignNameError, plain

_URL = re.compile(
    r"hf://(?P<kind>datasets|models|spaces)/(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<path>.*))?"
)


@dataclass(frozen=True)
class Repository:
    """One repository at one revision. Methods raise SourceError."""

    kind: str
    name: str
    revision: str | None

    @property
    def url(self) -> str:
        return f"hf://{self.kind}/{self.name}" + (f"@{self.revision}" if self.revision else "")

    def files(self) -> list[str]:
        with _explained(self.url):
            return _api().list_repo_files(self.name, repo_type=self.kind.removesuffix("s"), revision=self.revision)

    def commit(self) -> str:
        """The current commit of the revision."""
        with _explained(self.url):
            info = _api().repo_info(self.name, repo_type=self.kind.removesuffix("s"), revision=self.revision)
            return str(info.sha)

    def download(self, path: str) -> Path:
        try:
            plain(path)
        except ForeignNameError as error:
            raise SourceError(f"{self.url}: {error}") from None
        with _explained(f"{self.url}/{path}"):
            return Path(
                _api().hf_hub_download(self.name, path, repo_type=self.kind.removesuffix("s"), revision=self.revision)
            )


def split(url: str) -> tuple[Repository, str]:
    """The repository of a URL and the path, folder or pattern inside it."""
    match = _URL.fullmatch(url)
    if match is None:
        raise SourceError(f"{url}: write hf://datasets/<owner>/<name>/<path>")
    return Repository(match["kind"], match["repo"], match["revision"]), match["path"] or ""


def _api() -> HfApi:
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except GatedRepoError:
        raise SourceError(f"{url}: the repository is gated; accept its terms on the hub and set HF_TOKEN") from None
    except RepositoryNotFoundError:
        raise MissingSourceError(f"{url}: there is no such repository, or it is private: set HF_TOKEN") from None
    except RevisionNotFoundError:
        raise MissingSourceError(f"{url}: there is no such revision") from None
    except LocalEntryNotFoundError as error:
        raise SourceError(f"{url}: the hub cannot be reached and nothing is in its cache: {error}") from None
    except EntryNotFoundError:
        raise MissingSourceError(f"{url}: there is no such file") from None
    except (HfHubHTTPError, httpx2.HTTPError) as error:
        raise SourceError(f"{url}: the hub cannot be read: {error}; check HF_ENDPOINT and the network") from None
