"""Where the configs that come with mmskelssl are: in a wheel, in an editable install, and in a checkout."""
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmskelssl.errors import UserError

PACKAGE = Path(__file__).resolve().parent
PREFIX = 'mmskelssl::'


def shipped_configs() -> Path:
    """``mmskelssl/.mim/configs`` if the package was installed, else the folder ``configs`` of its checkout."""
    for folder in (PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs'):
        if (folder / '_base_').is_dir():
            return folder
    raise UserError(f'{PACKAGE}/.mim/configs is missing: install mmskelssl again')


def config_path(name: str, source: str) -> str:
    """The file that a config names: ``mmskelssl::NAME`` comes with mmskelssl, any other name is relative to the config.

    Args:
        name: As written in the config.
        source: The config file.
    """
    if name.startswith(PREFIX):
        return str(shipped_configs() / name.removeprefix(PREFIX))
    return str(Path(source).parent / name)


@contextmanager
def shipped_bases() -> Iterator[None]:
    """Let ``_base_ = 'mmskelssl::...'`` name a config that comes with mmskelssl, while configs are read.

    mmengine 0.10.7 does this for a fixed list of packages, and needs pkg_resources, which setuptools 82 removed.
    """
    from mmengine.config import Config
    original = Config._get_cfg_path

    def get_cfg_path(name: str, path: str):
        return (config_path(name, path), None) if name.startswith(PREFIX) else original(name, path)
    Config._get_cfg_path = staticmethod(get_cfg_path)
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(original)
