"""What is wrong with the files of a store."""
from typing import NamedTuple

AGAIN = 'import the data again'
LEAVE_OUT = ('mmskelssl repair STORE --out FIXED leaves its clips out, and mmskelssl prepare SOURCE PATH --out FIXED '
             '--append adds them again')


class Damage(NamedTuple):
    """A file that is missing, or whose content is not what was written.

    Args:
        text: What is wrong, for a report.
        error: The same for an error message, with the file.
        samples: Positions of the samples that depend on the file; empty for the whole store.
        cure: What to do about it.
        shard: Number of the shard, if the store has shards.
    """
    text: str
    error: str
    samples: range = range(0)
    cure: str = AGAIN
    shard: int | None = None
