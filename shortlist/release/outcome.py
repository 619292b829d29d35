"""The outcome of a pipeline run as text, written by the exit step, which always runs."""

from shortlist.progress import say
from shortlist.recipe import Recipe
from shortlist.release.bundle import read_live
from shortlist.release.manifest import ReleaseError
from shortlist.release.publish import release_root
from shortlist.storage import StorageError


def conclude(recipe: Recipe, state: str, error: str | None) -> str:
    """A few lines of Markdown, also printed as plain lines: the final state of the run and the live release.

    `state` is Kubeflow's: SUCCEEDED, FAILED or CANCELLED. A storage error is reported, not raised, since it is probably
    the reason why the run failed.
    """
    lines = [f"{recipe.name}: the run ended as {state}"] + ([error] if error else [])
    try:
        live = read_live(release_root(recipe))
    except (ReleaseError, StorageError, ValueError) as problem:
        lines.append(f"cannot find out which release is live: {problem}")
    else:
        lines.append(f"release {live.release} is live" if live else "no release is live")
    for line in lines:
        say(line)
    return "\n\n".join([f"## {lines[0]}", *lines[1:]]) + "\n"
