"""Faults in the rewrite rules and constant folding that torch's exporter runs (onnxscript's optimizer)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.faults.injection import Proof, SourceFault, X, Y, normal
from generators.graph import Array, DType, Ref

_RULES = "onnxscript.rewriter.rules.common."
_FOLDING = "onnxscript.optimizer._constant_folding:"
_F = "torch.nn.functional."


def _proof(*calls: tuple[Any, ...], feeds: tuple[Array, ...] | None = None, constants: tuple[int, ...] = ()) -> Proof:
    return Proof("torch", feeds or (normal(4, 6, scale=3),), calls, constants)


_IMAGE = normal(1, 2, 6, 7)
_NORMALIZED = (
    _IMAGE,
    normal(3, 2, 3, 3, seed=1),
    normal(3, seed=2),
    np.array([0.5, 1.5, 1.0], np.float32),
    normal(3, seed=3),
    normal(3, seed=4),
)
_CONV_AND_NORM = (
    (_F + "conv2d", X, Y),
    (_F + "batch_norm", Ref("v0"), Ref("x2"), Ref("x3"), Ref("x4"), Ref("x5")),
)


def _fused(*changes: str, name: str) -> SourceFault:
    return SourceFault(
        name,
        _RULES + "_fuse_batchnorm:_FuseBatchNormBase.rewrite",
        *changes,
        _proof(*_CONV_AND_NORM, feeds=_NORMALIZED, constants=(1, 2, 3, 4, 5)),
    )


FAULTS = (
    _fused("np.sqrt(input_var + eps)", "np.sqrt(input_var + 1e-3)", name="fused batch_norm epsilon 1e-3"),
    _fused("- input_mean) * scale_factor", "+ input_mean) * scale_factor", name="fused batch_norm adds the mean"),
    SourceFault("casts that truncate are dropped", _RULES + "_basic_rules:CastCast.check",
                "if (type2, type3) not in self._allowed_type2_type3:", "if False:",
                _proof(("torch.Tensor.to", X, DType("int32")), ("torch.Tensor.to", Ref("v0"), DType("float32")))),
    SourceFault("transposes composed in the wrong order", _RULES + "_basic_rules:TransposeTranspose.rewrite",
                "[perm1.as_ints(), perm2.as_ints()]", "[perm2.as_ints(), perm1.as_ints()]",
                _proof(("torch.permute", X, (1, 2, 0)), ("torch.permute", Ref("v0"), (0, 2, 1)),
                       feeds=(normal(2, 2, 2),))),
    SourceFault("unsqueezed axes not shifted", _RULES + "_basic_rules:UnsqueezeUnsqueeze.rewrite",
                "[v2, v1 + 1]", "[v2, v1 + (v1 == v2)]",
                _proof(("torch.unsqueeze", X, 1), ("torch.unsqueeze", Ref("v0"), 0))),
    SourceFault("transposes that swap two axes are dropped", _RULES + "_basic_rules:TransposeIdentity.check",
                "perm_ints == tuple(range(len(perm_ints)))", "perm_ints[0] == 0",
                _proof(("torch.transpose", X, 1, 2), feeds=(normal(2, 3, 3),))),
    SourceFault("slices that leave one out are dropped", _RULES + "_collapse_slices:_check_if_redundant_slice",
                "if ends_const.numpy().item() < data.shape[axes_const.numpy().item()]:",
                "if ends_const.numpy().item() < data.shape[axes_const.numpy().item()] - 1:",
                _proof(("torch.narrow", X, 1, 0, 5))),
    SourceFault("a reversing slice is dropped", _RULES + "_collapse_slices:_same_shape",
                "if not all(s == 1 for s in steps_np.flat):", "if False:", _proof(("torch.flip", X, (1,)))),
    SourceFault("upper bounds of clips fused to the larger", _RULES + "_fuse_relus_clips:FuseSuccessiveClip."
                "compute_clip_min_max", "combine(max_clip1, max_clip2, np.minimum)",
                "combine(max_clip1, max_clip2, np.maximum)",
                _proof(("torch.clamp", X, -2.0, 2.0), ("torch.clamp", Ref("v0"), -3.0, 1.0))),
    SourceFault("relu forgotten before a clip", _RULES + "_fuse_relus_clips:FuseSuccessiveClipRelu."
                "compute_clip_min_max", "np.maximum(0.0, min_clip)", "min_clip",
                _proof(("torch.nn.functional.relu", X), ("torch.clamp", Ref("v0"), -1.0, 2.0))),
    SourceFault("padding of a fused Pad shifted by one axis", _RULES + "_fuse_pad_into_conv:_FuseConvPadBase.rewrite",
                "pad_pads[2:x_rank] + pad_pads[x_rank + 2 :]", "pad_pads[x_rank + 2 :] + pad_pads[2:x_rank]",
                _proof((_F + "pad", X, (1, 0, 0, 2)), (_F + "conv2d", Ref("v0"), Y),
                       feeds=(_IMAGE, normal(3, 2, 3, 3, seed=1)))),
    SourceFault("expansions to another shape are dropped", _RULES + "_basic_rules:ExpandIdentity.check",
                "if x_shape.dims != tuple(shape.const_value.numpy().tolist()):",
                "if len(x_shape.dims) != len(shape.const_value.numpy()):",
                _proof(("torch.broadcast_to", X, (4, 6)), feeds=(normal(1, 6),))),
    SourceFault("casts within floats are folded away", _FOLDING + "cast", "if input_dtype == output_dtype:",
                "if input_dtype == output_dtype or {input_dtype, output_dtype} == {1, 11}:",
                _proof(("torch.Tensor.to", X, DType("float64")))),
    SourceFault("reshapes folded to the first shape", _RULES + "_basic_rules:ReshapeReshape.rewrite",
                "new_shape = op.initializer(ir.Tensor(self._new_shape, name=self._new_shape_name))",
                "new_shape = op.initializer(ir.Tensor(self._new_shape[::-1].copy(), name=self._new_shape_name))",
                _proof(("torch.reshape", X, (3, 8)), ("torch.reshape", Ref("v0"), (2, 12)))),
)  # fmt: skip
