from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from estimator.errors import LoweringError
from estimator.lower import Kernel, Lowered, Product, Window, known_ops, lower, rule
from estimator.lower.linear_algebra import MULTIPLY_ADDS
from estimator.opstream import Op, TensorSpec


def f32(*shape):
    return TensorSpec(shape, "float32", 4)


def f16(*shape):
    return TensorSpec(shape, "float16", 2)


def i64(*shape):
    return TensorSpec(shape, "int64", 8)


def i32(*shape):
    return TensorSpec(shape, "int32", 4)


def i8(*shape):
    return TensorSpec(shape, "int8", 1)


def boolean(*shape):
    return TensorSpec(shape, "bool", 1)


def full(name):
    return name if "." in name else f"aten.{name}"


def call(name, args, *outputs, **kwargs):
    return Op(full(name), args, tuple(kwargs.items()), outputs, is_view=False, in_place=name.endswith("_"))


X, MASK, ROW, ROWS = f32(2, 3), boolean(2, 3), f32(3), f32(2)
IMAGE, VOLUME, CHANNELS = f32(1, 2, 4, 4), f32(1, 2, 2, 2, 2), f32(2)
TABLE, EMPTY = f32(100, 3), f32(0)
CONVOLUTION = (IMAGE, f32(3, 2, 3, 3), f32(3), (1, 1), (1, 1), (1, 1), False, (0, 0), 1)
QUERY, KEY = f32(1, 2, 3, 4), f32(1, 2, 5, 4)
TOKENS = f32(1, 3, 4)
HEADS = (TOKENS, TOKENS, TOKENS, 4, 2, f32(12, 4), f32(12), f32(4, 4), f32(4))
HEADS_BYTES = (384, 288, 168, 144, 168, 96, 160)
WEIGHTS = {"qkv": f32(12, 4), "proj": f32(4, 4), "ffn_1": f32(5, 4), "ffn_2": f32(4, 5)}


def encoder_layer(qkv, proj, ffn_1, ffn_2):
    norms = (f32(4),) * 4
    return (TOKENS, 4, 2, qkv, f32(12), proj, f32(4), True, False, 1e-5, *norms, ffn_1, f32(5), ffn_2, f32(4))


UNARY = """
abs acos acosh asin asinh atan atanh ceil celu cos cosh digamma erf erfc erfinv exp exp2 expm1 floor frac gelu
hardshrink hardsigmoid hardswish lgamma log log10 log1p log2 logit mish nan_to_num neg reciprocal relu round rsqrt
selu sgn sigmoid sign silu sin sinc sinh softplus softshrink special_entr special_erfcx special_i0e sqrt square tan
tanh trunc
""".split()
BINARY = """
add atan2 bitwise_left_shift bitwise_right_shift bitwise_xor copysign div fmax fmin fmod heaviside hypot linalg_cross
logaddexp logaddexp2 maximum minimum rrelu_with_noise special_xlog1py sub xlogy
""".split()
WITH_NUMBER = ("clamp_max", "clamp_min", "elu", "floor_divide", "leaky_relu", "pow", "remainder", "rsub")
OVERWRITING = ("bernoulli", "exponential", "normal", "random", "uniform", "ones_like", "zero", "zeros_like")
TERNARY = ("addcdiv", "addcmul", "lerp")
ORDERING = ("histc", "isin", "kthvalue", "median", "mode", "multinomial", "nanmedian")
ALIGNING = ("torchvision.roi_align", "torchvision.ps_roi_align")
POOLING = ("torchvision.roi_pool", "torchvision.ps_roi_pool")
TO_ROWS = ("logsumexp", "nansum", "norm", "std")
TWICE_AS_LARGE = ("_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa", "_upsample_nearest_exact2d")
TWICE_AS_LONG = ("_upsample_nearest_exact1d", "upsample_linear1d", "upsample_nearest1d")
TWICE_AS_DEEP = ("_upsample_nearest_exact3d", "upsample_nearest3d", "upsample_trilinear3d")
COMPLEX, COMPLEX_ROWS = TensorSpec((4, 3), "complex64", 8), TensorSpec((2, 3), "complex64", 8)
SCATTERS = ("index_add", "index_copy", "index_put", "scatter", "scatter_add", "scatter_reduce")
"""Not in place they copy their first argument, with a kernel of its own before the last."""
BY_LIBRARY = ("_cudnn_rnn", "_fft_r2c", "_fft_c2r", "_fft_c2c")
"""A library launches their kernels, without calls of ATen."""
LSTM_WEIGHTS = (f32(16, 5), f32(16, 4), f32(16), f32(16))
STATE = f32(1, 2, 4)
RECURRENT = (f32(3, 2, 5), LSTM_WEIGHTS, 4, None, STATE, STATE, 2, 4, 0, 1, False, 0.0, False, False, (), None)
PRODUCT_OF_INPUTS = 4 * (6 * 5 + 5 * 16 + 6 * 16)
ALL_STEPS = 4 * (3 * 2 * 16 + 16 * 4 + 3 * 2 * 4 + 2 * 2 * (2 * 4))
RECURRENT_BYTES = (PRODUCT_OF_INPUTS, ALL_STEPS)

CALLS = (
    ("glu", (f32(2, 4), -1), (f32(2, 2),), "pointwise", (48,)),
    ("masked_fill", (X, MASK, 0.0), (X,), "pointwise", (54,)),
    ("where", (MASK, X, X), (X,), "pointwise", (78,)),
    ("_adaptive_avg_pool2d", (IMAGE, (1, 1)), (f32(1, 2, 1, 1),), "reduction", (136,)),
    ("_adaptive_avg_pool3d", (VOLUME, (1, 1, 1)), (f32(1, 2, 1, 1, 1),), "reduction", (72,)),
    ("avg_pool2d", (IMAGE, (2, 2)), (f32(1, 2, 2, 2),), "reduction", (160,)),
    ("avg_pool3d", (VOLUME, (2, 2, 2)), (f32(1, 2, 1, 1, 1),), "reduction", (72,)),
    ("cumsum", (X, -1), (X,), "reduction", (48,)),
    ("linalg_vector_norm", (X,), (f32(),), "reduction", (28,)),
    ("max_pool2d_with_indices", (IMAGE, (2, 2)), (f32(1, 2, 2, 2), i64(1, 2, 2, 2)), "reduction", (224,)),
    ("max_pool3d_with_indices", (VOLUME, (2, 2, 2)), (f32(1, 2, 1, 1, 1), i64(1, 2, 1, 1, 1)), "reduction", (88,)),
    ("prod", (X, -1), (ROWS,), "reduction", (32,)),
    ("sort", (X,), (X, i64(2, 3)), "reduction", (96,)),
    ("topk", (X, 2), (f32(2, 2), i64(2, 2)), "reduction", (72,)),
    ("var_mean", (X, (-1,)), (ROWS, ROWS), "reduction", (40,)),
    ("_to_copy", (X,), (f16(2, 3),), "copy", (36,)),
    ("cat", ((X, X), 1), (f32(2, 6),), "copy", (96,)),
    ("constant_pad_nd", (X, (1, 1), 0.0), (f32(2, 5),), "copy", (64,)),
    ("copy", (X, X), (X,), "copy", (72,)),
    ("flip", (X, (0,)), (X,), "copy", (48,)),
    ("grid_sampler_2d", (IMAGE, f32(1, 4, 4, 2), 0, 0, False), (IMAGE,), "copy", (384,)),
    ("pixel_shuffle", (f32(1, 4, 2, 2), 2), (f32(1, 1, 4, 4),), "copy", (128,)),
    ("pixel_unshuffle", (f32(1, 1, 4, 4), 2), (f32(1, 4, 2, 2),), "copy", (128,)),
    ("repeat", (X, (2, 1)), (f32(4, 3),), "copy", (72,)),
    ("roll", (X, (1,), (0,)), (X,), "copy", (48,)),
    ("stack", ((X, X), 0), (f32(2, 2, 3),), "copy", (96,)),
    ("upsample_nearest2d", (IMAGE, (8, 8)), (f32(1, 2, 8, 8),), "copy", (640,)),
    ("embedding", (TABLE, i64(2)), (X,), "copy", (64,)),
    ("gather", (TABLE, 0, i64(2, 3)), (X,), "copy", (96,)),
    ("index", (TABLE, (i64(2),)), (X,), "copy", (64,)),
    ("index_select", (TABLE, 0, i64(2)), (X,), "copy", (64,)),
    ("arange", (3,), (ROW,), "pointwise", (12,)),
    ("full", ((2, 3), 1.0), (X,), "pointwise", (24,)),
    ("new_full", (X, (3,), 1.0), (ROW,), "pointwise", (12,)),
    ("scalar_tensor", (1.0,), (f32(),), "pointwise", (4,)),
    (
        "_native_batch_norm_legit_no_training",
        (IMAGE, CHANNELS, CHANNELS, CHANNELS, CHANNELS, 0.1, 1e-5),
        (IMAGE, EMPTY, EMPTY),
        "norm",
        (288,),
    ),
    (
        "cudnn_batch_norm",
        (IMAGE, CHANNELS, CHANNELS, CHANNELS, CHANNELS, False, 0.1, 1e-5),
        (IMAGE, CHANNELS, CHANNELS, EMPTY),
        "norm",
        (288,),
    ),
    (
        "native_batch_norm",
        (IMAGE, CHANNELS, CHANNELS, CHANNELS, CHANNELS, False, 0.1, 1e-5),
        (IMAGE, CHANNELS, CHANNELS),
        "norm",
        (288,),
    ),
    ("native_group_norm", (IMAGE, CHANNELS, CHANNELS, 1, 2, 16, 1, 1e-5), (IMAGE, f32(1), f32(1)), "norm", (272,)),
    ("native_layer_norm", (X, (3,), ROW, ROW, 1e-5), (X, f32(2, 1), f32(2, 1)), "norm", (72,)),
    ("convolution", CONVOLUTION, (f32(1, 3, 4, 4),), "convolution", (536, 396)),
    ("_convolution", (*CONVOLUTION, False, False, True, True), (f32(1, 3, 4, 4),), "convolution", (536, 396)),
    ("mm", (X, f32(3, 4)), (f32(2, 4),), "product", (104,)),
    ("addmm", (f32(4), X, f32(3, 4)), (f32(2, 4),), "product", (120,)),
    ("bmm", (f32(2, 2, 3), f32(2, 3, 4)), (f32(2, 2, 4),), "product", (208,)),
    ("baddbmm", (f32(2, 2, 4), f32(2, 2, 3), f32(2, 3, 4)), (f32(2, 2, 4),), "product", (272,)),
    ("mv", (f32(4, 3), ROW), (f32(4),), "product", (76,)),
    ("addmv", (f32(4), f32(4, 3), ROW), (f32(4),), "product", (92,)),
    ("_native_multi_head_attention", HEADS, (TOKENS, EMPTY), "product", HEADS_BYTES),
    (
        "_transformer_encoder_layer_fwd",
        encoder_layer(**WEIGHTS),
        (TOKENS,),
        "product",
        (*HEADS_BYTES, 96, 96, 188, 120, 188, 96, 96),
    ),
    ("_thnn_fused_lstm_cell", (f32(2, 12), f32(2, 12), X, f32(12), f32(12)), (X, X, f32(2, 12)), "pointwise", (456,)),
    ("_thnn_fused_gru_cell", (f32(2, 9), f32(2, 9), X, f32(9), f32(9)), (X, f32(2, 15)), "pointwise", (384,)),
    ("_cudnn_rnn", RECURRENT, (X, X, EMPTY), "recurrent", RECURRENT_BYTES),
    ("take", (TABLE, i64(2, 3)), (X,), "copy", (96,)),
    ("index_put", (TABLE, (i64(2),), X), (TABLE,), "copy", (2400, 64)),
    ("scatter_reduce", (TABLE, 0, i64(2, 3), X, "sum"), (TABLE,), "copy", (2400, 96)),
    ("_fft_r2c", (f32(4, 4), (0, 1), 0, True), (COMPLEX,), "reduction", (160, 160)),
    ("_fft_c2r", (COMPLEX, (0, 1), 0, 4), (f32(4, 4),), "reduction", (160, 160)),
    ("_fft_c2c", (COMPLEX, (0,), 0, True), (COMPLEX,), "reduction", (192,)),
    *((name, (X, 2), (X,), "pointwise", (48,)) for name in WITH_NUMBER),
    *((name, (X, 0, 1), (X,), "pointwise", (48,)) for name in ("clamp", "hardtanh", "threshold")),
    *((name, (X, X), (MASK,), "pointwise", (54,)) for name in ("eq", "ge", "gt", "le", "lt", "ne")),
    *(
        (name, (MASK, MASK), (MASK,), "pointwise", (18,))
        for name in ("bitwise_and", "bitwise_or", "logical_and", "logical_or", "logical_xor")
    ),
    *((name, (MASK,), (MASK,), "pointwise", (12,)) for name in ("bitwise_not", "logical_not")),
    *((name, (X, ROW), (X,), "pointwise", (60,)) for name in ("mul", "prelu", "_prelu_kernel")),
    *((name, (X, -1, False), (X,), "reduction", (48,)) for name in ("_log_softmax", "_softmax")),
    *((name, (X, (-1,)), (ROWS,), "reduction", (32,)) for name in ("amax", "amin", "mean", "sum", "var")),
    *((name, (MASK,), (boolean(),), "reduction", (7,)) for name in ("all", "any")),
    *((name, (X, -1), (i64(2),), "reduction", (40,)) for name in ("argmax", "argmin")),
    *((name, (X, -1), (ROWS, i64(2)), "reduction", (48,)) for name in ("max", "min")),
    *((name, (X,), (X,), "copy", (48,)) for name in ("clone", "lift_fresh", "tril", "triu")),
    *(
        (name, (IMAGE, (1, 1, 1, 1)), (f32(1, 2, 6, 6),), "copy", (416,))
        for name in ("reflection_pad2d", "replication_pad2d")
    ),
    *(
        (name, (IMAGE, (8, 8), False), (f32(1, 2, 8, 8),), "copy", (640,))
        for name in ("upsample_bicubic2d", "upsample_bilinear2d")
    ),
    *((name, (X, (3,)), (ROW,), "pointwise", (12,)) for name in ("new_ones", "new_zeros")),
    *((name, (X, 1.0), (X,), "pointwise", (24,)) for name in ("fill", "full_like")),
    *((name, (0, 1, 3), (ROW,), "pointwise", (12,)) for name in ("linspace", "logspace")),
    *(
        (name, (QUERY, KEY, KEY, None, False), (QUERY,), "product", (512,))
        for name in ("_scaled_dot_product_cudnn_attention", "_scaled_dot_product_efficient_attention")
    ),
    *(
        (name, (QUERY, KEY, KEY), (QUERY,), "product", (512,))
        for name in ("_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu")
    ),
    *(
        (name, (TABLE, i64(4), i64(2)), (X,), "copy", (120,))
        for name in ("_embedding_bag", "_embedding_bag_forward_only")
    ),
    *((name, (TABLE, 0, i64(2), X), (TABLE,), "copy", (2400, 64)) for name in ("index_add", "index_copy")),
    *((name, (TABLE, 0, i64(2, 3), X), (TABLE,), "copy", (2400, 96)) for name in ("scatter", "scatter_add")),
    *((name, (X,), (X,), "pointwise", (48,)) for name in UNARY),
    *((name, (X, X), (X,), "pointwise", (72,)) for name in BINARY),
    *((name, (X, X, X), (X,), "pointwise", (96,)) for name in TERNARY),
    *((name, (X,), (MASK,), "pointwise", (30,)) for name in ("isinf", "isnan", "signbit")),
    *((name, (X, X), (COMPLEX_ROWS,), "pointwise", (96,)) for name in ("complex", "polar")),
    ("_conj_physical", (COMPLEX,), (COMPLEX,), "pointwise", (192,)),
    ("log_sigmoid_forward", (X,), (X, EMPTY), "pointwise", (48,)),
    ("native_dropout", (X, 0.5, True), (X, MASK), "pointwise", (54,)),
    *((name, (X, -1), (ROWS,), "reduction", (32,)) for name in TO_ROWS),
    *((name, (X, -1), (X,), "reduction", (48,)) for name in ("_safe_softmax", "logcumsumexp")),
    *((name, (X, -1), (X, i64(2, 3)), "reduction", (96,)) for name in ("cummax", "cummin")),
    *((name, (X, -1), (ROWS, ROWS), "reduction", (40,)) for name in ("aminmax", "std_mean")),
    *((name, (X, ROW), (i64(2, 3),), "reduction", (84,)) for name in ("bucketize", "searchsorted")),
    ("count_nonzero", (X,), (i64(),), "reduction", (32,)),
    ("_weight_norm_interface", (X, f32(2, 1)), (X, f32(2, 1)), "reduction", (64,)),
    *((name, (ROW, ROW), (f32(),), "reduction", (28,)) for name in ("dot", "mse_loss", "vdot")),
    ("nll_loss_forward", (X, i64(2), None, 1, -100), (f32(), f32()), "reduction", (48,)),
    (
        "fractional_max_pool2d",
        (IMAGE, (2, 2), (2, 2), f32(1, 2, 2)),
        (f32(1, 2, 2, 2), i64(1, 2, 2, 2)),
        "reduction",
        (240,),
    ),
    ("trace", (X,), (f32(),), "reduction", (28,)),
    ("adaptive_max_pool2d", (IMAGE, (1, 1)), (f32(1, 2, 1, 1), i64(1, 2, 1, 1)), "reduction", (152,)),
    ("adaptive_max_pool3d", (VOLUME, (1, 1, 1)), (f32(1, 2, 1, 1, 1), i64(1, 2, 1, 1, 1)), "reduction", (88,)),
    *((name, (IMAGE, (8, 8)), (f32(1, 2, 8, 8),), "copy", (640,)) for name in TWICE_AS_LARGE),
    *((name, (f32(1, 2, 4), (8,)), (f32(1, 2, 8),), "copy", (96,)) for name in TWICE_AS_LONG),
    *((name, (VOLUME, (4, 4, 4)), (f32(1, 2, 4, 4, 4),), "copy", (576,)) for name in TWICE_AS_DEEP),
    *(
        (name, (f32(1, 2, 4), (1, 1)), (f32(1, 2, 6),), "copy", (80,))
        for name in ("reflection_pad1d", "replication_pad1d")
    ),
    *(
        (name, (VOLUME, (1,) * 6), (f32(1, 2, 4, 4, 4),), "copy", (576,))
        for name in ("reflection_pad3d", "replication_pad3d")
    ),
    ("affine_grid_generator", (f32(1, 2, 3), (1, 2, 4, 4), False), (f32(1, 4, 4, 2),), "copy", (152,)),
    *(
        (name, (f32(1, 4, 2, 2), 2), (f32(1, 4, 2, 2),), "copy", (128,))
        for name in ("channel_shuffle", "native_channel_shuffle")
    ),
    ("im2col", (IMAGE, (2, 2), (1, 1), (0, 0), (2, 2)), (f32(1, 8, 4),), "copy", (256,)),
    ("col2im", (f32(1, 8, 4), (4, 4), (2, 2), (1, 1), (0, 0), (2, 2)), (IMAGE,), "copy", (256,)),
    ("diag_embed", (ROW,), (f32(3, 3),), "copy", (48,)),
    ("grid_sampler_3d", (VOLUME, f32(1, 2, 2, 2, 3), 0, 0, False), (VOLUME,), "copy", (224,)),
    ("max_unpool2d", (f32(1, 2, 2, 2), i64(1, 2, 2, 2), (4, 4)), (IMAGE,), "copy", (224,)),
    ("rot90", (X,), (f32(3, 2),), "copy", (48,)),
    ("select_scatter", (X, ROW, 0, 0), (X,), "copy", (60,)),
    ("slice_scatter", (X, ROW, 0, 0, 1), (X,), "copy", (60,)),
    *((name, (X,), (X,), "pointwise", (24,)) for name in OVERWRITING),
    *((name, ((2, 3),), (X,), "pointwise", (24,)) for name in ("ones", "zeros", "rand", "randn")),
    ("eye", (3,), (f32(3, 3),), "pointwise", (36,)),
    ("randint", (9, (2,)), (i64(2),), "pointwise", (16,)),
    ("randperm", (3,), (i64(3),), "pointwise", (24,)),
    *((name, (2, 2), (i64(2, 3),), "pointwise", (48,)) for name in ("tril_indices", "triu_indices")),
    ("_fused_rms_norm", (X, (3,), ROW, 1e-5), (X, f32(2, 1)), "norm", (60,)),
)

BY_ITS_FLOP = (
    ("addbmm", (f32(3, 5), f32(2, 3, 4), f32(2, 4, 5)), (f32(3, 5),), "product", 2 * 2 * 3 * 4 * 5, False),
    ("_trilinear", (f32(6, 2), f32(5, 2, 3), f32(6, 3)), (f32(6, 5),), "product", 2 * 6 * 5 * 2 * 3 + 180, False),
    ("_euclidean_dist", (X, f32(4, 3)), (f32(2, 4),), "product", 2 * 2 * 4 * 5 + 3 * (6 + 12) + 8, False),
    ("_cdist_forward", (X, f32(4, 3), 1.0, None), (f32(2, 4),), "reduction", 3 * 2 * 4 * 3, False),
    ("_grouped_mm", (f32(6, 4), f32(3, 4, 5), i32(3)), (f32(6, 5),), "product", 2 * 6 * 4 * 5, True),
    ("_int_mm", (i8(32, 4), i8(4, 8)), (i32(32, 8),), "product", 2 * 32 * 4 * 8, False),
    ("_weight_int8pack_mm", (f16(6, 4), i8(5, 4), f16(5)), (f16(6, 5),), "product", 2 * 6 * 4 * 5, False),
    ("_weight_int4pack_mm", (f16(6, 4), i32(1, 1, 32, 4), 32), (f16(6, 5),), "product", 2 * 6 * 4 * 5, False),
    ("_scaled_mm", (i8(6, 4), i8(4, 5), ROW, ROW), (f16(6, 5),), "product", 2 * 6 * 4 * 5, False),
    *((name, (X,), (), "copy", 6, True) for name in ("_local_scalar_dense", "_is_all_true", "_is_any_true")),
    *((name, (X, X), (), "copy", 6, True) for name in ("allclose", "equal")),
    ("bincount", (i64(6),), (i64(9),), "copy", 9, True),
    *((name, (X,), (X,), "reduction", 6, False) for name in ORDERING),
    ("masked_scatter", (X, MASK, ROW), (X,), "copy", 6, False),
    *((name, (X,), (X,), "pointwise", 0, False) for name in ("rand_like", "randint_like", "randn_like")),
    *((name, (3,), (ROW,), "pointwise", 0, False) for name in ("hamming_window", "hann_window")),
    ("nonzero", (MASK,), (i64(4, 2),), "copy", 8, True),
    ("masked_select", (X, MASK), (f32(4),), "copy", 6, True),
    *((name, (X,), (X, X), "reduction", 6, True) for name in ("_unique2", "unique_dim", "unique_consecutive")),
    ("repeat_interleave", (i64(3),), (i64(7),), "copy", 7, True),
    ("torchvision.nms", (f32(70, 4), f32(70), 0.5), (i64(9),), "other", 16 * 70 * 70 // 2, True),
    *((name, (IMAGE, f32(3, 5), 0.5, 7, 7, 2), (f32(3, 2, 7, 7),), "copy", 32 * 294, False) for name in ALIGNING),
    *((name, (IMAGE, f32(3, 5), 0.5, 7, 7), (f32(3, 2, 7, 7),), "reduction", 294, False) for name in POOLING),
    (
        "torchvision.deform_conv2d",
        (IMAGE, f32(3, 2, 3, 3), f32(1, 18, 4, 4)),
        (f32(1, 3, 4, 4),),
        "convolution",
        2 * 16 * 18 * 3 + 8 * 16 * 18 + 48,
        False,
    ),
)
"""Name, arguments, results, kind on the host, FLOP of all kernels, and whether the host waits for the result."""
DECOMPOSITIONS = tuple(MULTIPLY_ADDS)


@pytest.mark.parametrize(
    ("name", "args", "outputs", "host_kind", "flops", "waits"), [pytest.param(*row, id=row[0]) for row in BY_ITS_FLOP]
)
def test_each_op_does_the_flop_that_its_arithmetic_takes(name, args, outputs, host_kind, flops, waits):
    (op,) = lower([call(name, args, *outputs)])
    assert op.has_rule
    assert (op.host_kind, sum(kernel.flops for kernel in op.kernels), op.waits) == (host_kind, flops, waits)
    moved = sum(kernel.bytes for kernel in op.kernels)
    assert moved >= sum(t.nbytes for t in op.op.outputs)


@pytest.mark.parametrize("name", DECOMPOSITIONS)
def test_a_decomposition_does_as_much_as_the_cube_of_its_side(name):
    small, large = (lower([call(name, (f32(2, n, n),), f32(2, n, n))])[0].kernels[0] for n in (300, 600))
    assert large.flops == pytest.approx(8 * small.flops, rel=0.02)
    assert small.flops >= 2 * 2 * 300**3 / 6 * 0.99


def test_a_mixture_of_experts_is_one_product_in_bfloat16_and_one_for_each_group_in_other_types():
    shapes = (7, 64), (4, 64, 32)
    single, half = (
        lower(
            [call("_grouped_mm", (*(TensorSpec(s, dtype, 2) for s in shapes), i32(4)), TensorSpec((7, 32), dtype, 2))]
        )[0]
        for dtype in ("float16", "bfloat16")
    )
    assert len(single.kernels) == 4
    assert single.waits
    assert len(half.kernels) == 1
    assert half.kernels[0].product == Product(4, 2, 32, 64)
    assert not half.waits


def test_every_rule_stands_in_the_table():
    names = [name for name, *_ in CALLS]
    names += [*(name for name, *_ in BY_ITS_FLOP), *DECOMPOSITIONS]
    named = {f"{full(name)}{suffix}" for name in names for suffix in ("", "_")}
    assert sorted(named) == list(known_ops())


@pytest.mark.parametrize("suffix", ["", "_"], ids=["", "in place"])
@pytest.mark.parametrize(
    ("name", "args", "outputs", "host_kind", "kernel_bytes"), [pytest.param(*row, id=row[0]) for row in CALLS]
)
def test_each_op_is_issued_as_its_kind_and_moves_its_bytes(name, args, outputs, host_kind, kernel_bytes, suffix):
    (op,) = lower([call(name + suffix, args, *outputs)])
    assert op.has_rule
    expected = kernel_bytes[1:] if suffix and name in SCATTERS else kernel_bytes
    assert op.host_kind == host_kind
    assert tuple(kernel.bytes for kernel in op.kernels) == expected
    chosen = name.startswith("_scaled_dot_product")
    assert op.calls == (0 if name in BY_LIBRARY else 1 if chosen else len(expected) - 1)


@pytest.mark.parametrize("name", ["embedding", "gather", "index", "index_select", "take", "_embedding_bag"])
def test_a_look_up_costs_the_same_in_a_table_of_any_size(name):
    (args,) = (args for row_name, args, *_ in CALLS if row_name == name)
    small, large = lower(call(name, (f32(rows, 3), *args[1:]), X) for rows in (10, 1_000_000))
    assert small.kernels == large.kernels


@pytest.mark.parametrize("strided", [(), (0,), (1,), (0, 1)], ids=str)
@pytest.mark.parametrize("name", ["mm", "bmm"])
def test_a_product_reads_in_order_where_both_sides_lie_in_order(name, strided):
    sides = (X, f32(3, 4)) if name == "mm" else (f32(2, 2, 3), f32(2, 3, 4))
    inputs = [replace(t, contiguous=place not in strided) for place, t in enumerate(sides)]
    (lowered,) = lower([call(name, tuple(inputs), f32(2, 4))])
    assert lowered.kernels[0].contiguous == (not strided)


@pytest.mark.parametrize(
    ("name", "source", "dims", "out", "flops"),
    [
        ("_fft_r2c", f32(4, 8), (1, 0), TensorSpec((4, 5), "complex64", 8), (5 * 32 * 3, 5 * 32 * 2)),
        ("_fft_c2r", TensorSpec((4, 5), "complex64", 8), (1,), f32(4, 8), (5 * 32 * 3,)),
        ("_fft_c2c", TensorSpec((1, 16), "complex64", 8), (0, 1), TensorSpec((1, 16), "complex64", 8), (80, 320)),
    ],
)
def test_a_fourier_transform_does_five_flop_an_element_and_power_of_two(name, source, dims, out, flops):
    (lowered,) = lower([call(name, (source, dims, 0, True), out)])
    assert tuple(kernel.flops for kernel in lowered.kernels) == flops


@pytest.mark.parametrize("strided", [(), (0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_fused_attention_reads_in_order_where_query_key_and_value_lie_in_order(strided):
    inputs = [replace(t, contiguous=place not in strided) for place, t in enumerate((QUERY, KEY, KEY))]
    for name in ("flash_attention", "efficient_attention"):
        mask = () if name == "flash_attention" else (None, False)
        (lowered,) = lower([call(f"_scaled_dot_product_{name}", (*inputs, *mask), QUERY)])
        assert lowered.kernels[0].contiguous == (not strided)


@pytest.mark.parametrize(
    ("side", "image", "weight", "expected"),
    [
        (3, True, True, True),
        (3, True, False, False),
        (3, False, True, False),
        (1, True, False, True),
        (1, False, False, False),
    ],
)
def test_a_convolution_is_in_channels_last_where_image_and_window_are(side, image, weight, expected):
    tensors = replace(IMAGE, channels_last=image), replace(f32(3, 2, side, side), channels_last=weight)
    (lowered,) = lower([call("convolution", (*tensors, *CONVOLUTION[2:]), f32(1, 3, 4, 4))])
    assert lowered.kernels[0].channels_last == expected


@pytest.mark.parametrize("pair", list(combinations(WEIGHTS, 2)), ids=" and ".join)
def test_two_weights_of_an_encoder_layer_are_not_interchangeable(pair):
    first, second = pair
    swapped = {**WEIGHTS, first: WEIGHTS[second], second: WEIGHTS[first]}
    right, wrong = lower(
        call("_transformer_encoder_layer_fwd", encoder_layer(**weights), TOKENS) for weights in (WEIGHTS, swapped)
    )
    assert right.kernels != wrong.kernels


def test_arguments_may_be_given_by_name():
    out, names = f32(1, 3, 4, 4), "input weight bias stride padding dilation transposed output_padding groups".split()
    by_place, by_name = lower(
        [call("convolution", CONVOLUTION, out), call("convolution", (), out, **dict(zip(names, CONVOLUTION)))]
    )
    assert by_place.kernels == by_name.kernels


@pytest.fixture
def no_rules(monkeypatch):
    monkeypatch.setattr("estimator.lower.rules._RULES", {})


@pytest.mark.usefixtures("no_rules")
def test_a_rule_is_one_function_that_names_what_it_needs():
    @rule("something_new")
    def something_new(op, self, times, *_, **__):
        return Lowered(op, "other", calls=times, kernels=())

    plain, in_place = lower([call("something_new", (X, 2, 3), X), call("something_new_", (X,), X, times=4)])
    assert (plain.calls, in_place.calls) == (2, 4)
    assert something_new(plain.op, X, 5).calls == 5


@pytest.mark.usefixtures("no_rules")
def test_two_rules_for_one_op_are_an_error_that_names_both():
    @rule("relu")
    def one(op, *_, **__):
        return Lowered(op, "pointwise", 0, ())

    def other(op, *_, **__):
        return Lowered(op, "pointwise", 0, ())

    with pytest.raises(
        ValueError, match=r"aten\.relu has two rules: .*test_rules\..*\.one and .*test_rules\..*\.other"
    ):
        rule("abs", "relu")(other)


def facts(kernel):
    """What a kernel says of itself: of work elements and FLOP, of traffic bytes read, written and cold."""
    work, traffic = (kernel.elements, kernel.flops), (kernel.read_bytes, kernel.write_bytes, kernel.cold_bytes)
    assert kernel.channels_last is False
    return kernel.kind, kernel.function, kernel.dtype, work, traffic, kernel.contiguous, kernel.product, kernel.window


def streamed(function, work, traffic, dtype="float32", contiguous=True, window=None):
    return "stream", function, dtype, work, (*traffic, 0), contiguous, None, window


def multiplied(function, product, traffic, contiguous=False):
    """In FP32; against the order of memory, as a layer's weights are."""
    work = product.batch * product.m * product.n, 2 * product.batch * product.m * product.n * product.k
    return "product", function, "float32", work, traffic, contiguous, product, None


def strided(t):
    return replace(t, contiguous=False)


LARGE, PIXELS = f32(4, 5), f32(2, 3, 4, 5, 6)
POOLED = f32(2, 3, 2, 2, 2)
EACH = {"channels": 1, "groups": 3, "images": 2, "input_elements": 720, "rows_inside": 1.0}
LINE = {"channels": 1, "groups": 4, "images": 6, "input_elements": 720, "rows_inside": 1.0}
ATTENTION_LAYER = (
    multiplied("mm", Product(1, 6, 12, 4), (96, 288, 192)),
    streamed("transform_bias_rescale_qkv", (72, 0), (288, 288)),
    multiplied("bmm", Product(4, 3, 3, 2), (192, 144, 0), contiguous=True),
    streamed("_softmax", (36, 5 * 36), (144, 144)),
    multiplied("bmm", Product(4, 3, 2, 3), (240, 96, 0), contiguous=True),
    streamed("transform_0213", (24, 0), (96, 96)),
    multiplied("mm", Product(1, 6, 4, 4), (96, 96, 64)),
)
PERCEPTRON = (
    multiplied("mm", Product(1, 6, 5, 4), (96, 120, 80)),
    streamed("activation", (30, 0), (120, 120)),
    multiplied("mm", Product(1, 6, 4, 5), (120, 96, 80)),
)
BEHIND = (streamed("add", (24, 0), (96, 96)), streamed("native_layer_norm", (24, 0), (96, 96)))
PAIR = f32(2, 3, 4)
INPUTS_OF_ALL_STEPS = multiplied("rnn_inputs", Product(1, 6, 16, 5), (120, 384, 320))
GATES = streamed("rnn_gates", (32, 32), (2 * 128 + 64, 64))
PROJECTED_WEIGHTS = (f32(16, 5), f32(16, 3), f32(16), f32(16), f32(3, 4))
STEPS = f32(3, 2, 5)


def persistent(product, cold_bytes, read_bytes, write_bytes, elements):
    flops = 2 * product.batch * product.m * product.n * product.k
    traffic = read_bytes, write_bytes, cold_bytes
    return "product", "rnn_persistent", "float32", (elements, flops), traffic, False, product, None


def attending(heads, product, pairs, read_bytes, write_bytes):
    """FLOP are those of Q x K, four wide, and of P x V, six wide."""
    work = heads * product.m * 6, 2 * heads * pairs * (4 + 6)
    return "product", "attention", "float32", work, (read_bytes, write_bytes, 0), True, product, None


def recurrent(source=STEPS, weights=LSTM_WEIGHTS, hx=STATE, cx=STATE, mode=2, hidden=4, proj=0, batch_first=False):
    count = len(weights) if proj else min(4, len(weights))
    return (source, weights, count, None, hx, cx, mode, hidden, proj, 1, batch_first, 0.0, False, False, (), None)


BY_HAND = (
    ("add", (f16(2, 3), LARGE), (X,), [streamed("add", (6, 20), (12 + 80, 24))]),
    ("add_", (X, strided(X)), (f16(2, 3), i64(3)), [streamed("add", (6, 6), (48, 12 + 24), "float16", False)]),
    ("sum", (f16(4, 5),), (), [streamed("sum", (0, 20), (40, 0), "float16")]),
    ("copy", (), (), [streamed("copy", (0, 0), (0, 0), "uint8")]),
    ("sum", (strided(X), X), (ROW,), [streamed("sum", (3, 6), (48, 12), contiguous=False)]),
    ("clone", (strided(X),), (X,), [streamed("clone", (6, 6), (24, 24), contiguous=False)]),
    ("full_like", (LARGE, 1.0), (f16(2, 3),), [streamed("full_like", (6, 0), (0, 12), "float16")]),
    ("native_layer_norm", (X, (3,), ROW, ROW), (X, ROW), [streamed("native_layer_norm", (6, 24), (48, 24))]),
    (
        "native_batch_norm",
        (strided(X), ROW),
        (X,),
        [streamed("native_batch_norm", (6, 24), (36, 24), contiguous=False)],
    ),
    ("index_select", (TABLE, 0, i64(2)), (X,), [streamed("index_select", (6, 0), (24 + 16, 24))]),
    ("_embedding_bag", (TABLE, i64(4), i64(2)), (X,), [streamed("_embedding_bag", (6, 0), (48 + 48, 24))]),
    ("index_add_", (TABLE, 0, i64(2), X), (TABLE,), [streamed("index_add", (6, 0), (40, 24))]),
    ("index_put_", (TABLE, (), 1.0), (TABLE,), [streamed("index_put", (0, 0), (0, 0))]),
    (
        "index_copy",
        (f16(100, 3), 0, i64(2), f16(2, 3)),
        (f16(100, 3),),
        [
            streamed("clone", (300, 0), (600, 600), "float16"),
            streamed("index_copy", (6, 0), (28, 12), "float16"),
        ],
    ),
    ("_fft_c2c", (COMPLEX, (0,), 0, True), (COMPLEX,), [streamed("_fft_c2c", (12, 120), (96, 96), "complex64")]),
    (
        "max_pool2d_with_indices",
        (PIXELS, (2, 3), (1, 2), (0, 0), (3, 4)),
        (POOLED,),
        [
            streamed(
                "max_pool2d_with_indices",
                (48, 720),
                (2880, 192),
                window=Window((2, 3), (1, 2), (3, 4), **LINE),
            )
        ],
    ),
    (
        "max_pool3d_with_indices",
        (PIXELS, (2, 2, 2), 3, 0, 2),
        (POOLED,),
        [
            streamed(
                "max_pool3d_with_indices",
                (48, 720),
                (2880, 192),
                window=Window((2, 2, 2), (3, 3, 3), (2, 2, 2), **EACH),
            )
        ],
    ),
    (
        "avg_pool2d",
        (f32(3, 4, 5), 3, 2),
        (f32(3, 1, 2),),
        [
            streamed(
                "avg_pool2d",
                (6, 60),
                (240, 24),
                window=Window((3, 3), (2, 2), (1, 1), 1, 3, 1, 60, 1.0),
            )
        ],
    ),
    ("mm", (X, f32(3, 4)), (f32(2, 4),), [multiplied("mm", Product(1, 2, 4, 3), (24, 32, 48), True)]),
    ("addmm", (f32(4), X, f32(3, 4)), (f32(2, 4),), [multiplied("addmm", Product(1, 2, 4, 3), (24, 32, 64), True)]),
    ("addmm_", (f32(4), X, f32(3, 4)), (f32(2, 4),), [multiplied("addmm", Product(1, 2, 4, 3), (72, 32, 16), True)]),
    (
        "bmm",
        (f32(5, 2, 3), f32(5, 3, 4)),
        (f32(5, 2, 4),),
        [multiplied("bmm", Product(5, 2, 4, 3), (120 + 240, 160, 0), True)],
    ),
    (
        "baddbmm",
        (f32(5, 2, 4), f32(5, 2, 3), f32(5, 3, 4)),
        (f32(5, 2, 4),),
        [multiplied("baddbmm", Product(5, 2, 4, 3), (120 + 240, 160, 160), True)],
    ),
    ("mv", (f32(4, 3), ROW), (f32(4),), [multiplied("mv", Product(1, 1, 4, 3), (12, 16, 48))]),
    ("addmv", (f32(4), f32(4, 3), ROW), (f32(4),), [multiplied("addmv", Product(1, 1, 4, 3), (12, 16, 64))]),
    (
        "_scaled_dot_product_flash_attention",
        (f32(2, 5, 3, 4), f32(2, 5, 7, 4), f32(2, 5, 7, 6)),
        (f32(2, 5, 3, 6),),
        [attending(10, Product(10, 3, 6, 2 * 7), 21, 4 * (120 + 280 + 420), 4 * 180)],
    ),
    (
        "_scaled_dot_product_flash_attention",
        (f32(2, 5, 3, 4), f32(2, 5, 7, 4), f32(2, 5, 7, 6), 0.0, True),
        (f32(2, 5, 3, 6),),
        [attending(10, Product(10, 3, 6, 2 * 6 // 3), 1 + 2 + 3, 4 * (120 + 280 + 420), 4 * 180)],
    ),
    (
        "_scaled_dot_product_flash_attention",
        (f32(2, 5, 0, 4), f32(2, 5, 0, 4), f32(2, 5, 0, 6)),
        (f32(2, 5, 0, 6),),
        [attending(10, Product(10, 0, 6, 1), 0, 0, 0)],
    ),
    (
        "_scaled_dot_product_efficient_attention",
        (f32(2, 5, 3, 4), f32(2, 5, 7, 4), f32(2, 5, 7, 6), f32(3, 7), False),
        (f32(2, 5, 3, 6),),
        [attending(10, Product(10, 3, 6, 2 * 7), 21, 4 * (120 + 280 + 420 + 21), 4 * 180)],
    ),
    (
        "_native_multi_head_attention",
        (PAIR, PAIR, PAIR, 4, 2, f32(12, 4), f32(12), f32(4, 4), f32(4)),
        (PAIR, EMPTY),
        ATTENTION_LAYER,
    ),
    (
        "_transformer_encoder_layer_fwd",
        (PAIR, *encoder_layer(**WEIGHTS)[1:]),
        (PAIR,),
        (*ATTENTION_LAYER, *BEHIND, *PERCEPTRON, *BEHIND),
    ),
    (
        "_cudnn_rnn",
        recurrent(),
        (X,),
        [INPUTS_OF_ALL_STEPS, persistent(Product(3, 2, 16, 4), 256, 3 * 128 + 64, 3 * 32 + 64, 24)],
    ),
    (
        "_cudnn_rnn",
        recurrent(f32(2, 3, 5), (f32(12, 5), f32(12, 4)), cx=None, mode=3, batch_first=True),
        (X,),
        [
            streamed("transpose", (30, 0), (120, 120)),
            multiplied("rnn_inputs", Product(1, 6, 12, 5), (120, 288, 240)),
            persistent(Product(3, 2, 12, 4), 192, 3 * 96 + 32, 3 * 32 + 32, 24),
        ],
    ),
    (
        "_cudnn_rnn",
        recurrent(weights=PROJECTED_WEIGHTS, hx=f32(1, 2, 3), proj=3),
        (X,),
        [
            INPUTS_OF_ALL_STEPS,
            multiplied("rnn_step", Product(1, 2, 16, 3), (24, 128, 192)),
            GATES,
            multiplied("rnn_projection", Product(1, 2, 3, 4), (32, 24, 48)),
            *(
                multiplied("rnn_step", Product(1, 2, 16, 3), (24 + 192, 128, 0)),
                GATES,
                multiplied("rnn_projection", Product(1, 2, 3, 4), (32 + 48, 24, 0)),
            )
            * 2,
        ],
    ),
    (
        "_cudnn_rnn",
        recurrent(f32(2, 1, 5), (f32(400, 5), f32(400, 400)), f32(1, 1, 400), None, 0, 400),
        (X,),
        [
            multiplied("rnn_inputs", Product(1, 2, 400, 5), (40, 3200, 8000)),
            multiplied("rnn_step", Product(1, 1, 400, 400), (1600, 1600, 640_000)),
            streamed("rnn_gates", (400, 400), (2 * 1600 + 1600, 1600)),
            multiplied("rnn_step", Product(1, 1, 400, 400), (641_600, 1600, 0)),
            streamed("rnn_gates", (400, 400), (2 * 1600 + 1600, 1600)),
        ],
    ),
    (
        "_thnn_fused_lstm_cell",
        (f16(2, 12), f16(2, 12), f16(2, 3), None, None),
        (f16(2, 3), f16(2, 3), f16(2, 12)),
        [streamed("rnn_gates", (24, 24), (108, 72), "float16")],
    ),
)


@pytest.mark.parametrize(("name", "args", "outputs", "expected"), [pytest.param(*row, id=row[0]) for row in BY_HAND])
def test_each_kernel_of_an_op_by_hand(name, args, outputs, expected):
    (lowered,) = lower([call(name, args, *outputs)])
    assert [facts(kernel) for kernel in lowered.kernels] == list(expected)


@pytest.mark.parametrize(
    ("shape", "batch_first", "copies"),
    [((2, 2, 5), True, 1), ((2, 1, 5), True, 0), ((1, 2, 5), True, 0), ((2, 2, 5), False, 0)],
)
def test_an_input_with_the_batch_first_is_copied_where_that_moves_anything(shape, batch_first, copies):
    state = f32(1, shape[0] if batch_first else shape[1], 4)
    (lowered,) = lower([call("_cudnn_rnn", recurrent(f32(*shape), hx=state, cx=state, batch_first=batch_first), X)])
    assert (lowered.calls, len(lowered.kernels)) == (copies, 2 + copies)


IMAGES, SPARSE = f32(2, 4, 4, 6), {"stride": (1, 3), "padding": (1, 0), "dilation": (1, 2)}


def convolved(weight, out, groups, transposed=False, image=IMAGES, bias=None):
    moves = SPARSE["stride"], SPARSE["padding"], SPARSE["dilation"]
    (lowered,) = lower([call("convolution", (image, weight, bias, *moves, transposed, (0, 0), groups), out)])
    return lowered


@pytest.mark.parametrize(
    ("weight", "out", "groups", "transposed", "kind", "product", "inside"),
    [
        (f32(6, 2, 3, 2), f32(2, 6, 4, 2), 2, False, "convolution", Product(2, 16, 3, 12), 10 / 12),
        (f32(6, 4, 3, 2), f32(2, 6, 4, 2), 1, False, "convolution", Product(1, 16, 6, 24), 10 / 12),
        (f32(8, 1, 3, 2), f32(2, 8, 4, 2), 4, False, "depthwise", Product(4, 16, 2, 6), 10 / 12),
        (f32(4, 3, 3, 2), f32(2, 6, 4, 13), 2, True, "convolution", Product(2, 48, 18, 2), 1.0),
        (f32(4, 2, 3, 2), f32(2, 8, 4, 13), 4, True, "convolution", Product(4, 48, 12, 1), 1.0),
    ],
    ids=["groups", "plain", "depthwise", "transposed", "transposed groups"],
)
def test_a_convolution_by_hand(weight, out, groups, transposed, kind, product, inside):
    lowered = convolved(weight, out, groups, transposed)
    flops = 2 * product.batch * product.m * product.n * product.k
    window = Window((3, 2), (1, 3), (1, 2), 4 // groups, groups, 2, 192, pytest.approx(inside))
    traffic = 768, out.nbytes, weight.nbytes
    of = kind, "convolution", "float32", (out.numel, flops), traffic, True, product, window
    assert [facts(kernel) for kernel in lowered.kernels] == [of]
    assert (lowered.host_kind, lowered.calls) == ("convolution", 0)


@pytest.mark.parametrize(
    ("channels", "groups", "kind"),
    [(1, 1, "convolution"), (2, 1, "convolution"), (2, 2, "depthwise"), (4, 2, "convolution"), (4, 4, "depthwise")],
)
def test_two_groups_and_more_of_one_channel_each_are_depthwise(channels, groups, kind):
    image, weight = f32(2, channels, 4, 6), f32(8, channels // groups, 3, 2)
    (kernel,) = convolved(weight, f32(2, 8, 4, 2), groups, image=image).kernels
    assert (kernel.kind, kernel.window.channels, kernel.window.groups) == (kind, channels // groups, groups)


def test_a_convolution_in_half_precision_with_a_bias_by_hand():
    lowered = convolved(f16(6, 4, 3, 2), f16(2, 6, 4, 2), 1, image=strided(f16(2, 4, 4, 6)), bias=f16(6))
    product, bias = map(facts, lowered.kernels)
    assert product[:6] == ("convolution", "convolution", "float16", (96, 2 * 96 * 24), (384, 192, 288), False)
    assert bias == streamed("bias", (96, 96), (192 + 12, 192), "float16")
    assert lowered.calls == 1


@pytest.mark.parametrize(
    ("name", "function"), [("relu", "relu"), ("relu_", "relu"), ("__and__", "__and__"), ("_new", "_new")]
)
def test_a_function_is_named_as_its_op_without_the_sign_of_being_in_place(name, function):
    op = Op(f"library.{name}", (X,), (), (X,), is_view=False, in_place=False)
    (lowered,) = lower([op])
    assert lowered.kernels[0].function == function
    assert (lowered.host_kind, lowered.calls, lowered.has_rule) == ("other", 0, False)


def test_a_view_launches_nothing_and_needs_no_rule():
    (lowered,) = lower([Op("library.view", (X,), (), (X,), is_view=True, in_place=False)])
    assert (lowered.host_kind, lowered.calls, lowered.kernels, lowered.has_rule) == ("view", 0, (), True)


def test_only_what_multiplies_must_be_of_a_type_with_a_rate():
    double = TensorSpec((3, 3), "float64", 8)
    assert lower([call("add", (double, double), double)])[0].kernels[0].dtype == "float64"
    message = "aten.mm multiplies float64, whose rate no profile knows; known: float32, float16, bfloat16"
    with pytest.raises(LoweringError) as error:
        lower([call("add", (X, X), X), call("mm", (double, double), double)])
    assert str(error.value) == message


def test_each_op_of_a_stream_has_its_own_place_though_it_is_lowered_once():
    first, second = call("relu", (X,), X), call("neg", (X,), X)
    stream = [first, second, first]
    found = lower(iter(stream))
    assert [lowered.op for lowered in found] == stream
    assert found[0] is found[2]


def test_bytes_of_a_kernel_are_all_that_it_moves():
    assert Kernel("stream", "relu", "float32", 1, 2, 30, 400, 5000).bytes == 5430
    assert Kernel("stream", "relu", "float32", 1, 2, 30, 400).bytes == 430
