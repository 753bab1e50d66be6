"""Looks up layouts: built-in ones by name, or from a dict or a user's json file."""
import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib import resources

from mmskelssl.errors import UserError
from mmskelssl.layouts.skeleton import MAX_JOINTS, SkeletonLayout

# Other names of identical skeletons.
ALIASES = dict(kinect25='ntu25', msrc12='kinect20', hdm05='cmu31', humanml22='smpl22')


class _Library(Mapping[str, SkeletonLayout]):
    """The built-in layouts. Each file is read on first access."""

    def __init__(self) -> None:
        self._made: dict[str, SkeletonLayout] = {}

    @cached_property
    def _files(self) -> dict:
        files = (file for file in resources.files(__package__).iterdir() if file.name.endswith('.json'))
        return {file.name.removesuffix('.json'): file for file in sorted(files, key=lambda file: file.name)}

    def __getitem__(self, name: str) -> SkeletonLayout:
        if name not in self._made:
            self._made[name] = _from_fields(json.loads(self._files[name].read_text(encoding='utf-8')))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, name: object) -> bool:
        return name in self._files


LAYOUTS = _Library()


def get_layout(layout: str | Mapping | SkeletonLayout) -> SkeletonLayout:
    """Look up a layout by name, or create one from a dict of the arguments of :class:`SkeletonLayout`.

    Raises:
        UserError: The name is unknown, or the dict does not describe a layout.
    """
    if isinstance(layout, SkeletonLayout):
        return layout
    if isinstance(layout, str):
        name = ALIASES.get(layout, layout)
        if name not in LAYOUTS:
            near = get_close_matches(layout, [*LAYOUTS, *ALIASES], 1)
            raise UserError(f'unknown layout {layout!r}{f" (did you mean {near[0]}?)" if near else ""}: choose one of '
                            f'{", ".join(LAYOUTS)}, or give a dict with name, joints, parents, hip, shoulders, pairs, '
                            'parts')
        return LAYOUTS[name]
    try:
        return _from_fields(layout)
    except UserError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f'layout dict: {error}; it needs name, joints, parents, hip, shoulders') from error


def read_layout(text: str) -> SkeletonLayout:
    """Read a layout given on a command line: a name, or a json file with the arguments of :class:`SkeletonLayout`."""
    if not text.endswith('.json'):
        return get_layout(text)
    try:
        with open(text, encoding='utf-8') as file:
            return get_layout(json.load(file))
    except (OSError, RecursionError, ValueError) as error:
        raise UserError(f'layout {text} cannot be read: {error}') from error


def _from_fields(layout: Mapping) -> SkeletonLayout:
    fields = {key: value for key, value in layout.items() if key != 'about'}  # a remark, as in the built-in files
    if len(fields['joints']) > MAX_JOINTS:
        raise UserError(f'layout dict: {len(fields["joints"])} joints, expected at most {MAX_JOINTS}')
    for key in ('joints', 'parents', 'shoulders'):
        fields[key] = tuple(fields[key])
    fields['pairs'] = tuple(tuple(pair) for pair in fields.get('pairs', ()))
    fields['parts'] = {name: tuple(part) for name, part in fields.get('parts', {}).items()}
    fields['canonical'] = tuple(fields.get('canonical', ()))
    return SkeletonLayout(**fields)
