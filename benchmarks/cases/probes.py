"""B5 and B9: KNN and the linear probe on features of NTU60's size."""
import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.cases.clips import clips
from benchmarks.cases.extraction import moved
from benchmarks.measure import Benchmark, Case, count_flops, peak_memory
from benchmarks.reference.probes import LinearEvaluation, knn_votes
from benchmarks.reference.stgcn import plain_copy, pool
from mmskelssl.evaluation.knn import knn_scores
from mmskelssl.evaluation.linear import linear_probe
from mmskelssl.evaluation.recipes import LINEAR

KS, EPOCHS = (10, 20, 40), 100


def features(n: int, dim: int, classes: int, seed: int = 0):
    """(N, D) float32 around class centres, with enough noise that a third of the neighbours are wrong; and labels."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(classes, (n,), generator=generator)
    return centres[labels] + 4.5 * torch.randn(n, dim, generator=generator), labels


def knn_arms(bank: int, queries: int, dim: int, classes: int):
    """Both arms return k -> votes (N, classes)."""
    (x, labels), (q, _) = features(bank, dim, classes), features(queries, dim, classes, seed=1)

    def ours():
        return {k: torch.from_numpy(votes) for k, votes in knn_scores(x, labels, q, KS, .1, classes).items()}

    def reference():
        normal, query = F.normalize(x, dim=1), F.normalize(q, dim=1)
        return {k: knn_votes(normal, labels, query, k, classes) for k in KS}

    return ours, reference


def make_knn(quick: bool = False) -> Case:
    bank, queries, dim = 40091, 16487 // (8 if quick else 1), 256
    ours, reference = knn_arms(bank, queries, dim, 60)
    return Case(ours, reference, queries, 2. * bank * queries * dim, 4. * dim * (bank + queries),
                extra=dict(ours_peak_mb=peak_memory(ours), reference_peak_mb=peak_memory(reference)))


def check_knn(bank: int = 700, queries: int = 90, dim: int = 24) -> float:
    """Largest difference of the votes. Raises an error unless every prediction agrees."""
    ours, reference = (arm() for arm in knn_arms(bank, queries, dim, 7))
    for k in KS:
        if not torch.equal(ours[k].argmax(1), reference[k].argmax(1)):
            raise AssertionError(f'KNN with k = {k}: the arms predict differently')
    return max(float((ours[k] - reference[k]).abs().max() / reference[k].abs().max()) for k in KS)


def make_linear(quick: bool = False, batch: int = 128, frames: int = 50) -> Case:
    """Both arms on 128 clips: ours encodes them once and trains 100 epochs; the reference encodes them in every epoch.

    The reference runs one of its 100 epochs and counts a hundred times.
    """
    model = moved({}, torch.float32)
    plain, x = plain_copy(model.backbone, .5).eval(), clips(batch, frames, absent=.75)
    labels = torch.randint(60, (batch,), generator=torch.Generator().manual_seed(0))
    evaluation = LinearEvaluation(lambda part: pool(plain(part), 2), torch.zeros(60, 256), torch.zeros(60), lr=3.)

    def ours():
        with torch.no_grad():
            made = model.extract_feat(x).numpy()
        linear_probe(made, labels, made[:1], 'paper', num_classes=60)

    def reference():
        evaluation.epoch(x, labels, torch.arange(batch), batch)

    return Case(ours, reference, batch, count_flops(ours), reference_weight=EPOCHS)


def check_linear(n: int = 96, frames: int = 9, epochs: int = 6) -> float:
    """Difference of the test accuracies in percent, with the encoder in the loop, the same start and order."""
    model = moved(dict(hidden=4, out_channels=32), torch.float32)
    plain, labels = plain_copy(model.backbone, .5).eval(), torch.arange(n) % 3
    x = clips(n, frames) * (1 + labels.view(-1, 1, 1, 1, 1) * .3)
    with torch.no_grad():
        made = model.extract_feat(x).numpy()
    ours = linear_probe(made[::2], labels[::2], made[1::2], 'paper', epochs=epochs, batch_size=16).argmax(1)
    generator, bound = torch.Generator().manual_seed(0), made.shape[1] ** -.5
    start = [torch.empty(*shape).uniform_(-bound, bound, generator=generator) for shape in ((3, made.shape[1]), (3,))]
    evaluation = LinearEvaluation(lambda part: pool(plain(part), 2), *start, LINEAR['paper'].lr)
    for _ in range(epochs):
        evaluation.epoch(x[::2], labels[::2], torch.randperm(n // 2, generator=generator), 16)
    with torch.no_grad():
        theirs = evaluation.layer(pool(plain(x[1::2]), 2)).argmax(1).numpy()
    accuracy = [100 * float(np.mean(predicted == labels[1::2].numpy())) for predicted in (ours, theirs)]
    return abs(accuracy[0] - accuracy[1])


BENCHMARKS = {
    'B5': Benchmark('KNN 40,091 x 16,487 x 256, k = 10, 20, 40', make_knn, check_knn, .35, 1e-5),
    'B9': Benchmark('linear probe, 100 epochs', make_linear, check_linear, .01, .1),
}
