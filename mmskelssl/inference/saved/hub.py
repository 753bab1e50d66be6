"""Finds saved models: folders, the models that ship with this package, and the Hugging Face hub."""
import os
import os.path as osp
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from mmskelssl.errors import UserError
from mmskelssl.inference.saved import CARD, CONFIG, WEIGHTS
from mmskelssl.shipped import PACKAGE

ZOO = PACKAGE / 'zoo'
_HUB_ID = re.compile(r'[\w-][\w.-]*/[\w-][\w.-]*')


def find_folder(source: str | os.PathLike, revision: str | None = None) -> str:
    """Return the local folder of a saved model.

    Args:
        source: A folder; ``zoo/NAME`` for a model that ships with this package; or the id ``OWNER/NAME`` of a
            repository on the Hugging Face hub, which is downloaded. An existing folder is never looked up on the hub.
        revision: Branch, tag or commit on the hub.
    """
    name = os.fspath(source)
    if revision is not None and (osp.isdir(name) or name.startswith('zoo/')):
        raise UserError(f'{name} is on this machine, and only repositories on the hub have a revision: leave out '
                        f'revision={revision!r}')
    if name.startswith('zoo/') and not osp.isdir(name):
        if name.removeprefix('zoo/') not in (names := zoo_names()):
            raise UserError(f'{name}: no such model; the zoo has {", ".join(names) or "none"}')
        return str(ZOO / name.removeprefix('zoo/'))
    if osp.isdir(name):
        return name
    if osp.lexists(name):
        raise UserError(f'{name} is not a folder: a saved model is a folder with {CONFIG}')
    if not _HUB_ID.fullmatch(name):
        raise UserError(f'{name}: no such folder')
    hub = _hub(f'{name}: no such folder; to download a model of this name from the Hugging Face hub')
    try:
        return hub.snapshot_download(name, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD])
    except Exception as error:  # noqa: BLE001  the hub's errors are of many kinds
        raise UserError(f'{name}: no such folder, and the hub does not provide it: '
                        f'{" ".join(str(error).split())[:200]}') from error


def is_saved(source: str) -> bool:
    """Return whether a name on a command line is that of a saved model on this machine."""
    return osp.isfile(osp.join(source, CONFIG)) or (source.startswith('zoo/') and not osp.exists(source))


def zoo_names() -> list[str]:
    """Return the names of the models that ship with this package."""
    return sorted(path.parent.name for path in Path(ZOO).glob(f'*/{CONFIG}'))


def push_folder(save: Callable[[str], None], repo_id: str, private: bool = False, token: str | None = None) -> str:
    """Save a model and upload it to the Hugging Face hub. The repository is created if necessary.

    Args:
        save: Saves the model to a folder.
        repo_id: ``OWNER/NAME``.
        private: Whether a new repository is private.
        token: Token of the hub. By default, the one that huggingface_hub finds.

    Returns:
        The address of the upload.
    """
    if not _HUB_ID.fullmatch(repo_id):
        raise UserError(f'{repo_id!r}: expected OWNER/NAME, the name of a repository on the hub')
    api = _hub('To upload models').HfApi(token=token)
    with tempfile.TemporaryDirectory() as parent:
        folder = osp.join(parent, 'model')
        save(folder)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message='Upload with mmskelssl'))
        except Exception as error:  # noqa: BLE001  the hub's errors are of many kinds
            raise UserError(f'{repo_id} cannot be uploaded to the hub: {" ".join(str(error).split())[:200]}'
                            ) from error


def _hub(why: str):
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(f'{why}, install huggingface_hub: pip install huggingface_hub') from None
    return huggingface_hub
