"""How a run of the pipeline ended, in words: written by the last step, which runs whatever happened before."""

from shortlist.progress import say
from shortlist.recipe import Recipe
from shortlist.release.bundle import read_live
from shortlist.release.manifest import ReleaseError
from shortlist.release.publish import release_root
from shortlist.storage import StorageError


def conclude(recipe: Recipe, state: str, error: str | None) -> str:
    """A few lines of Markdown, also said as plain lines: the end of the run and what answers queries now.

    `state` is Kubeflow's: SUCCEEDED, FAILED or CANCELLED. A storage that cannot be read is told, never raised: it is
    most likely why the run failed.
    """
    lines = [f"{recipe.name}: the run ended as {state}"] + ([error] if error else [])
    try:
        live = read_live(release_root(recipe))
    except (ReleaseError, StorageError, ValueError) as problem:
        lines.append(f"which release is live cannot be told: {problem}")
    else:
        lines.append(f"release {live.release} is live" if live else "no release is live")
    for line in lines:
        say(line)
    return "\n\n".join([f"## {lines[0]}", *lines[1:]]) + "\n"
