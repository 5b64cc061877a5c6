"""Architectures that people convert, with random weights, each a function for ``convfuzz check module:function``.

They are those of transformers and of Keras; ``pip install transformers`` brings the former.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: Side of images, and words in a sentence.
IMAGE, WORDS = 224, 128


def _vision(model: Any) -> Any:
    """Logits of a model whose batch norms have seen a batch: with the statistics that they begin with, what random
    weights compute vanishes layer by layer, and all outputs are alike."""
    import torch

    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.randn(4, 3, IMAGE, IMAGE))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: Any) -> Any:
            return self.model(image, return_dict=False)[0]

    return Logits().eval(), (torch.randn(1, 3, IMAGE, IMAGE),)


def resnet50() -> Any:
    """ResNet-50: 25.6 million parameters."""
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    return _vision(ResNetForImageClassification(ResNetConfig(num_labels=1000)))


def mobilenet_v2() -> Any:
    """MobileNetV2: 3.5 million parameters."""
    import torch
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    torch.manual_seed(0)
    return _vision(MobileNetV2ForImageClassification(MobileNetV2Config(num_labels=1000)))


def bert() -> Any:
    """A transformer of BERT's size: 12 layers, 109 million parameters."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    model = BertModel(BertConfig(attn_implementation="eager"))

    class States(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, words: Any, mask: Any) -> Any:
            return self.model(input_ids=words, attention_mask=mask, return_dict=False)[0]

    return States().eval(), (torch.randint(0, 30_000, (1, WORDS)), torch.ones(1, WORDS, dtype=torch.long))


def inception_v3(path: Path) -> Path:
    """Keras InceptionV3, 23.9 million parameters, written to a file."""
    import keras

    keras.utils.set_random_seed(0)
    keras.applications.InceptionV3(weights=None).save(path)
    return path
