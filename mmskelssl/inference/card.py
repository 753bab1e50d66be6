"""The model card, ``README.md``, of a saved model."""
from collections.abc import Mapping, Sequence


def encoder_card(info: Mapping, fps: float | None, data_licence: str | None = None, results: Sequence[Mapping] = (),
                 half: bool = False) -> str:
    """Return the card of an encoder."""
    return f'# {info["method"]}\n'
