"""TensorBoard and Trackio: where they write and what a run is called there. transformers' own callbacks write.

transformers would put TensorBoard's files among the checkpoints, which are deleted when a run is finished, and
Trackio's into the hub's cache.
"""

from pathlib import Path

from transformers.integrations import TensorBoardCallback

from generalthinker.config.settings import Settings
from generalthinker.identity import Identity
from generalthinker.paths import Layout
from generalthinker.records import RunSpec


def tracked_name(run: RunSpec, identity: Identity) -> str:
    """Return what `run` is called: a training with other settings or questions has another name."""
    return f"{run.name}_{identity.hash[:8]}"


def tensorboard(settings: Settings, name: str, step: int) -> TensorBoardCallback:
    """Return the callback that writes the run `name` on from `step`.

    A killed training has logged steps after its last checkpoint; TensorBoard drops them and shows those that are made
    again.
    """
    from torch.utils.tensorboard import SummaryWriter

    folder = Path(Layout(settings.results).tracking("tensorboard")) / name
    return TensorBoardCallback(SummaryWriter(str(folder), purge_step=step + 1))
