"""Project features to two dimensions."""
import numpy as np

from mmskelssl.errors import UserError


def tsne(feats: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return t-SNE points (N, 2) of L2-normalised features (N, D); van der Maaten and Hinton, JMLR 2008.

    Raises:
        UserError: If there are fewer than 4 clips.
    """
    from sklearn.manifold import TSNE
    if len(feats) < 4:
        raise UserError(f't-SNE needs at least 4 clips; there are {len(feats)}')
    perplexity = min(30., (len(feats) - 1) / 3)
    return TSNE(init='pca', perplexity=perplexity, random_state=seed).fit_transform(_unit(feats))


def pca(feats: np.ndarray) -> np.ndarray:
    """Return the first two principal components (N, 2) of L2-normalised features (N, D); zeros for one clip."""
    x = _unit(feats)
    x = x - x.mean(0)
    basis = np.linalg.svd(x, full_matrices=False)[2][:2]
    made = np.zeros((len(x), 2))
    made[:, :len(basis)] = x @ basis.T
    return made


def _unit(feats: np.ndarray) -> np.ndarray:
    from sklearn.preprocessing import normalize
    return normalize(np.asarray(feats, np.float64))
