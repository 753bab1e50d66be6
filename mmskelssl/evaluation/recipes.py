"""The settings behind the names in results: a published number is only comparable under the same recipe.

Each protocol has a catalogue of recipes. A plug-in adds its own under a new name::

    LINEAR.register('mine', SGDRecipe(lr=1, batch_size=64))
"""
import math
from dataclasses import dataclass, replace

from mmskelssl.catalogue import Catalogue


@dataclass(frozen=True)
class SGDRecipe:
    """Linear layer, cross-entropy, SGD with momentum .9, no weight decay; the last epoch counts.

    The layer starts as ``torch.nn.Linear`` does, or with weights N(0, ``init_std``) and no bias. The last, smaller
    batch of an epoch is used.
    """
    lr: float
    batch_size: int
    epochs: int = 100
    steps: tuple[int, ...] = (80,)
    gamma: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    init_std: float | None = None


@dataclass(frozen=True)
class LogRegRecipe:
    """L2-regularised logistic regression by L-BFGS, on features standardised by the training part's statistics."""
    C: float = 0.1
    max_iter: int = 1000


@dataclass(frozen=True)
class FinetuneRecipe:
    """Cross-entropy on the clips as they are, without augmentation; the last epoch counts.

    Args:
        lr: Of the encoder.
        head_lr: Of the linear layer; default the same. Both follow one schedule.
        optimizer: ``sgd`` (momentum .9) or ``adamw``.
        steps: Epochs after which the rates are multiplied by ``gamma``; None: a twentieth of all steps as warm-up,
            then half a cosine.
        min_steps: Small subsets train for more epochs, until they have had as many steps.
        frozen_norm: Batch norms keep their statistics and nothing is dropped out, as in evaluation.
        head_std: Start of the linear layer, see :class:`~mmskelssl.models.classifier.SkeletonClassifier`.
    """
    lr: float
    epochs: int
    batch_size: int = 128
    head_lr: float | None = None
    optimizer: str = 'sgd'
    nesterov: bool = False
    weight_decay: float = 0.
    steps: tuple[int, ...] | None = None
    gamma: float = 0.1
    min_steps: int = 0
    frozen_norm: bool = False
    head_std: float | None = None

    def factor(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """What the learning rates are multiplied by at a step."""
        if self.steps is not None:
            return self.gamma ** sum(step // steps_per_epoch >= epoch for epoch in self.steps)
        total = epochs * steps_per_epoch
        return min(1., (step + 1) / max(total / 20, 1)) * (1 + math.cos(math.pi * step / total)) / 2


@dataclass(frozen=True)
class KMeansRecipe:
    """K-means on L2-normalised features, as many clusters as there are classes; the best of several starts."""
    starts: int = 10


# Neighbours. One neighbour wins whatever its weight; 20 vote with exp(similarity / KNN_TEMPERATURE).
KNN: Catalogue[int] = Catalogue('KNN recipe', {'1nn': 1, '20nn': 20})
KNN_TEMPERATURE = 0.1

LINEAR: Catalogue[SGDRecipe | LogRegRecipe] = Catalogue('linear recipe', {
    'paper': SGDRecipe(lr=3, batch_size=128),  # AimCLR's
    'paper-actclr': SGDRecipe(lr=24, batch_size=1024),
    'paper-skeattnclr': SGDRecipe(lr=3, batch_size=128, epochs=150, steps=(60, 100), init_std=.02),
    'paper-crrl': SGDRecipe(lr=.1, batch_size=16, epochs=85, steps=(15, 35, 50, 66, 75), gamma=.5, nesterov=True,
                            init_std=.01),
    'logreg': LogRegRecipe(),
})

# Published ones differ in what they leave open (docs/methods.md 1.5, 2.5, 3.5). SkeAttnCLR has a learning rate for each
# cell of its table; this is that of NTU-60 x-sub, joint stream. CRRL's code gives the encoder the layer's rate after
# the first step; here each keeps its own.
FINETUNE: Catalogue[FinetuneRecipe] = Catalogue('finetune recipe', {
    'small': FinetuneRecipe(lr=5e-4, head_lr=5e-3, epochs=20, batch_size=32, optimizer='adamw', weight_decay=.01,
                            min_steps=150),
    'paper-actclr': FinetuneRecipe(lr=.1, epochs=80, nesterov=True, weight_decay=1e-4, steps=(10, 50)),
    'paper-skeattnclr': FinetuneRecipe(lr=.008, epochs=150, steps=(60, 100), frozen_norm=True, head_std=.02),
    'paper-crrl': FinetuneRecipe(lr=.01, head_lr=.1, epochs=85, batch_size=16, nesterov=True, gamma=.5,
                                 steps=(15, 35, 50, 66, 75), head_std=.01),
})

# ActCLR's rate drops once more than in fine-tuning (docs/methods.md 1.5). SkeAttnCLR's rate and steps vary from cell to
# cell; here they are those of its fine-tuning. CRRL publishes no semi-supervised recipe.
SEMI: Catalogue[FinetuneRecipe] = Catalogue('semi recipe', {
    'small': FINETUNE['small'],
    'paper-actclr': replace(FINETUNE['paper-actclr'], steps=(10, 30, 50)),
    'paper-skeattnclr': FINETUNE['paper-skeattnclr'],
})

RETRIEVAL: Catalogue[tuple[int, ...]] = Catalogue('retrieval recipe', {'cosine': (1, 5, 10)})  # ranks of the recall
CLUSTER: Catalogue[KMeansRecipe] = Catalogue('cluster recipe', {'kmeans': KMeansRecipe()})
