"""What is not harvested, and why: entries whose results are not the operator's alone, or that their documentation
leaves open. A finding must be a subject's defect, so in doubt an entry is here.

Names are those of the framework's list, without variants.
"""

from __future__ import annotations

import re

_RANDOM = "draws random numbers"
_MEMORY = "shows uninitialised memory"
_STORAGE = "depends on how elements are laid out in memory, which no converted model says"
_SIGNS = "its result is not unique: factors are determined up to signs, phases or order only"
_TIES = "which of several equal elements is meant is not documented"
_LAST = "elements written twice may come from either write"
_CAST = "converts floats to integers, which is undefined out of their range"
_WRITES = "writes into its argument"
_SYNTAX = "is syntax for another operator, which has an entry of its own"
_DEBUG = "is there for torch's own tests"

#: Regular expressions over whole names, with the reason. The first that matches counts.
_RULES: tuple[tuple[str, str], ...] = (
    (
        r"normal|rand\w*|.*dropout.*|bernoulli|multinomial|cauchy|exponential|geometric|log_normal|uniform|normal_.*",
        _RANDOM,
    ),
    (r"nn\.functional\.(rrelu|fractional_max_pool\dd)|svd_lowrank|pca_lowrank", _RANDOM),
    (r"(new_)?empty\w*", _MEMORY),
    (r"as_strided\w*|.*_strided|resize_\w*|set_", _STORAGE),
    (r"(linalg\.)?(eig|eigh|eigvals|svd|qr|lu|lu_factor|lu_factor_ex|ldl_factor|ldl_factor_ex|lstsq)", _SIGNS),
    (r"linalg\.lstsq\w*|geqrf|lobpcg", _SIGNS),
    (r"kthvalue|median|nanmedian|mode|topk|sort|argsort|cummax|cummin|masked\.median", _TIES),
    (r"masked\.arg(max|min)|masked\.(sort|topk)", _TIES),
    # With equal elements, the indices that come along may be of any of them.
    (r"nn\.functional\.(adaptive_)?max_pool\dd", _TIES),
    (r"put|scatter|index_put|index_copy|index_fill|_unsafe_masked_index_put_accumulate", _LAST),
    # Unpooling writes where indices of pooling say, and windows that overlap say the same place twice.
    (r"nn\.functional\.max_unpool\dd", _LAST),
    (r"int|long|short|char|byte|to|type", _CAST),
    (r"\w*[a-z]_", _WRITES),
    (r"fill", "is one constant, whatever it is given"),
    (r"__\w+__", _SYNTAX),
    (r"hash_tensor", "hashes bits: a rounding anywhere before it changes everything"),
    (r"nextafter", "is one rounding away from its argument, in the argument's own precision"),
    (r"jiterator\w*", "runs on CUDA only"),
    (r"sparse\w*|to_sparse\w*|.*nested.*|.*jagged.*", "takes or makes tensors that are not dense"),
    (r"(torch\.)?(ops\.)?aten\..*|torch\._scaled_mm\w*|_\w+|torch\.ops\..*", "is private to torch"),
    (r".*_backward(_data)?|native_dropout_backward", "is a step of differentiation"),
    (r"(fft\.)?(irfft2|irfftn|hfft2|hfftn)", "is defined for Hermitian arguments only, and samples are not"),
    (r"nn\.functional\.triplet_margin_with_distance_loss", "takes a function"),
    (r"frexp", "exponent and mantissa jump at powers of two and are undefined for what is not finite"),
    (r"(bmm_triton_optimized|linalg\.pinv_singular)", _DEBUG),
    (
        r"special\.zeta|(special\.)?polygamma(_special)?",
        "jumps between NaN and infinity at poles that rounding decides about",
    ),
    (r"nn\.functional\.(pdist|ctc_loss)", "is documented for some values of its indices and lengths only"),
    (r"special\.\w*polynomial\w*", "is documented by a recurrence whose order is a tensor, and blows up in it"),
)
_COMPILED = tuple((re.compile(pattern), reason) for pattern, reason in _RULES)

#: Entries whose tensors must have a structure (definite, triangular, Hermitian, pivots), which other values lack.
_STRUCTURED = re.compile(
    r".*(cholesky|eigvalsh|lu_solve|lu_unpack|ldl_solve|ormqr|householder|hermitian|triangular|pinv|segment|istft|igammac?|mvlgamma"
    r"|gaussian_nll|binary_cross_entropy|matrix_rank|nll_loss|cosine_embedding|margin|hinge|unravel|histogram\w*|histc"
    r"|matrix_power|tensorsolve|tensorinv|nonzero|argwhere|unique|bincount).*"
)
#: Functions of complex numbers with cuts: on which side a number lies is told by the sign of a zero.
_CUTS = re.compile(
    r"(special\.)?(a?(sin|cos|tan)h?|a(sin|cos|tan)h?|log\w*|r?sqrt|pow|float_power|angle|reciprocal|div|true_divide|sgn"
    r"|xlog\w*|linalg\..*|cumprod|prod|masked\..*|rsqrt|exp\w*|cosh|sinh|sinc|sigmoid|nn\.functional\..*|std|var|norm)"
)
#: Classes of entries that treat elements apart or reduce them: NaN and infinities have a meaning there.
SPECIAL_CLASSES = frozenset({"UnaryUfuncInfo", "BinaryUfuncInfo"})

#: Families of hand-written samplers whose targets are left to them: samplers there keep to domains that samples do
#: not, such as free of ties, of repeated indices, of halves that interpolation rounds.
LEFT_ALONE = frozenset(
    {
        "cast", "complex", "creation", "cumulative", "indexing", "integers", "patches", "pooling", "quantization",
        "resize", "scatter", "sorting",
    }
)  # fmt: skip


def exclusion(name: str) -> str:
    """Why the entry is not harvested; empty when it is."""
    return next((reason for pattern, reason in _COMPILED if pattern.fullmatch(name)), "")


def module_exclusion(name: str) -> str:
    """As :func:`exclusion`, for a class of modules."""
    if name.startswith("Lazy"):
        return "turns into another module, which has an entry of its own"
    if name.startswith("Fractional"):
        return _RANDOM
    return "is documented for some values of its indices and lengths only" if name == "CTCLoss" else ""


def structured(name: str, variant: str) -> bool:
    """Whether the tensors of the entry's samples keep their values."""
    return bool(_STRUCTURED.fullmatch(f"{name}_{variant}"))


def has_cuts(name: str) -> bool:
    """Whether the entry is a function of complex numbers that jumps across a line."""
    return bool(_CUTS.fullmatch(name))
