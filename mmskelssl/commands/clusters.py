"""``evaluate cluster`` on clips without labels: assignments, silhouettes, and a contact sheet for each cluster."""
import json
import os.path as osp
from collections.abc import Sequence

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError
from mmskelssl.evaluation.clusters import Clusters, find_clusters
from mmskelssl.evaluation.features import extract_features
from mmskelssl.inference.encoder import move_to, pair_with_data
from mmskelssl.inference.pools import pool_of
from mmskelssl.inference.saved.read import read_encoder
from mmskelssl.names import file_name
from mmskelssl.provenance import command_line, versions
from mmskelssl.visualization.clips import contact_sheet

SHOWN = 12  # number of clips on a contact sheet, nearest to the centre of the cluster


def without_labels(path: str, data: str | None) -> bool:
    """Return whether the store that a checkpoint would be measured on has no labels at all."""
    model, info = read_encoder(path)
    if data is None and pool_of(info):  # measured on those of its stores that have labels
        return False
    return bool((pair_with_data(path, model, info, data).store.labels < 0).all())


def cluster_checkpoints(paths: Sequence[str], out: str, count: int | None = None, data: str | None = None,
                        split: str = 'all', seed: int = 0, batch_size: int = 256, device: str | None = None,
                        pictures: bool = True) -> list[dict]:
    """Cluster the clips of a store by the features of each encoder. Labels are not used.

    ``clusters/ENCODER_DATA_SPLIT/clusters.json`` below ``out`` contains the cluster of each clip. Pictures of the clips
    nearest to the centres are written next to it.

    Args:
        count: Number of clusters. Default: the number with the best silhouette.
        split: Name of a split, or ``all``.

    Returns:
        The content of each clusters.json.
    """
    made = []
    for path in paths:
        encoder = pair_with_data(path, *read_encoder(path), data)
        move_to(encoder.model, device)
        features = extract_features(encoder.model, encoder.dataset(split), batch_size)
        clusters = find_clusters(features.feats, count, seed)
        sizes = [int((clusters.assignments == k).sum()) for k in range(clusters.assignments.max() + 1)]
        epoch, config = encoder.info.get('epoch'), encoder.info.get('config_hash')
        label = '_'.join(map(str, (encoder.method, encoder.stream, encoder.data, split, f'{len(sizes)}clusters')))
        content = dict(encoder=encoder.method, stream=encoder.stream, checkpoint=path, epoch=epoch, config_hash=config,
                       data=encoder.data, data_hash=encoder.store.data_hash, split=split, seed=seed,
                       silhouette=clusters.silhouette, tried=clusters.tried, sizes=sizes,
                       clips={name: dict(cluster=int(k), distance=round(float(d), 4)) for name, k, d in zip(
                           features.ids, clusters.assignments, clusters.distances, strict=True)},
                       versions=versions(), command=command_line())
        folder = _free_folder(osp.join(out, 'clusters', file_name(label)), content)
        write_atomically(osp.join(folder, 'clusters.json'), (json.dumps(content, indent=1) + '\n').encode())
        if pictures:
            _draw(folder, encoder.store, features.ids, clusters, len(sizes))
        print(f'{encoder.method}, {encoder.data} {split}: {len(features)} clips in {len(sizes)} clusters of '
              f'{", ".join(map(str, sizes))}; silhouette {clusters.silhouette:.3f}\n{folder}')
        made.append(content)
    return made


def _free_folder(folder: str, content: dict) -> str:
    """Return the folder, or a numbered one if it contains the clusters of another encoder or store."""
    same = ('checkpoint', 'config_hash', 'data_hash', 'seed')
    for i in range(1, 1000):
        name = folder if i == 1 else f'{folder}-{i}'
        try:
            with open(osp.join(name, 'clusters.json'), encoding='utf-8') as file:
                earlier = json.load(file)
        except FileNotFoundError:
            return name
        except ValueError:
            continue  # damaged, do not overwrite
        if isinstance(earlier, dict) and all(earlier.get(key) == content[key] for key in same):
            return name
    raise UserError(f'{folder}: there are 1000 of them; choose another --out')


def _draw(folder: str, store, ids: Sequence[str], clusters: Clusters, count: int) -> None:
    for k in range(count):
        rows = clusters.nearest(k, SHOWN)
        clips = [(f'{ids[row]}, distance {clusters.distances[row]:.2f}', store.keypoints(store.positions[ids[row]]))
                 for row in rows]
        contact_sheet(clips, store.layout, osp.join(folder, f'cluster_{k}.png'))
