"""What differs between two runs, in the words of their configs."""
import json
from collections.abc import Iterator

from mmskelssl.errors import UserError

# Where data lie and how they are read decides nothing: their hash and the samplers do.
_INDIFFERENT = {'store', 'prepare', 'cache_dir', 'resident', 'num_workers', 'persistent_workers', 'pin_memory',
                'prefetch_factor'}


def refuse_changes(path: str, checkpoint: dict, now: dict, allow: bool) -> list[str]:
    """Refuse to go on from a checkpoint that was made otherwise.

    Args:
        now: What its ``meta['mmskelssl']`` would be today; see :func:`differences`.
        allow: Return the differences instead.
    """
    changes = differences(checkpoint['meta'].get('mmskelssl') or {}, now)
    if changes and not allow:
        raise UserError(f'{path} was made otherwise: {"; ".join(changes)}. Undo the change, or go on all the same with '
                        '--allow-change')
    return changes


def differences(then: dict, now: dict) -> list[str]:
    """What a run's ``meta['mmskelssl']`` says otherwise than another's, one line a key.

    Args:
        then, now: ``decisive`` (JSON), ``data_hash`` and ``world_size``. What one does not know is not compared.
    """
    lines = [f'{key} was {then[key]} and is {now[key]}' for key in ('world_size', 'data_hash')
             if key in then and key in now and then[key] != now[key]]
    if 'decisive' in then:
        before, after = (dict(_leaves(json.loads(info['decisive']))) for info in (then, now))
        lines += [f'{key} was {before.get(key, "absent")} and is {after.get(key, "absent")}'
                  for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    return lines


def _leaves(node, path: str = '') -> Iterator[tuple[str, object]]:
    """(dotted key, value) of everything that has no parts."""
    if not isinstance(node, (dict, list)) or not node:
        yield path, node
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key not in _INDIFFERENT:
            yield from _leaves(value, f'{path}.{key}' if path else str(key))
