"""The vocabulary of each frontend that has motifs."""

from __future__ import annotations

from collections.abc import Mapping

from generators.motifs.keras_words import Keras
from generators.motifs.onnx_words import Onnx
from generators.motifs.vocabulary import TensorFlow, Torch, Vocabulary

VOCABULARIES: Mapping[str, type[Vocabulary]] = {
    "torch": Torch,
    "tensorflow": TensorFlow,
    "onnx": Onnx,
    "keras": Keras,
}
