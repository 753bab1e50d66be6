"""Calibrate class probabilities: temperature scaling, calibration error, and a threshold for unknown clips."""
import numpy as np

from mmskelssl.errors import UserError

BINS = 15
_RANGE = (.01, 100.)  # of temperatures


def softmax(scores: np.ndarray, temperature: float = 1.) -> np.ndarray:
    """Return the probabilities (N, K) float64 of scores (N, K) divided by a temperature."""
    scaled = np.asarray(scores, np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(1, keepdims=True))
    return scaled / scaled.sum(1, keepdims=True)


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature with the lowest cross-entropy (Guo et al., ICML 2017).

    The targets are (N + 1) / (N + 2) for the class of a clip, as in Platt scaling. Without this, the temperature of a
    few clips that are all classified correctly would be 0, and every later prediction certain.

    Args:
        scores: (N, K) scores of clips that were not used for training.
        labels: (N,) classes.
    """
    from scipy.optimize import minimize_scalar
    if not len(labels):
        raise UserError('calibration: no held-out clips')
    count, classes = scores.shape
    rest = 1 / (count + 2)

    def loss(log_temperature: float) -> float:
        logs = np.log(np.maximum(softmax(scores, np.exp(log_temperature)), 1e-300))
        own = logs[np.arange(count), labels]
        others = (logs.sum(1) - own) / max(classes - 1, 1)
        return -float(((1 - rest) * own + rest * others).mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(_RANGE), method='bounded').x))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error of the most probable class in percent.

    It is the mean difference between confidence and accuracy over :data:`BINS` equal bins of the confidence, weighted
    by the number of clips.

    Args:
        probabilities: (N, K).
        labels: (N,) classes. A class outside 0..K-1 counts as an error.
    """
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == b].sum() - correct[bins == b].sum()) for b in np.unique(bins)]
    return 100 * float(sum(gaps)) / len(labels)


def reject_threshold(probabilities: np.ndarray, share: float) -> float:
    """Return the highest threshold below which at most a share of clips has its highest probability.

    Args:
        probabilities: (N, K) of clips of known classes.
        share: Share in 0..1.
    """
    confidence = np.sort(probabilities.max(1).astype(np.float32))
    return float(confidence[min(int(share * len(confidence) + 1e-9), len(confidence) - 1)])
