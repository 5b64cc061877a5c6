# crop_and_resize(x0, x1, x2, (2, 2)) float32[1,2,1,1]: expected 1.0, got 0.0
# wrong model · inference · tf2onnx · onnxruntime unoptimized, onnxruntime optimized
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import numpy as np
import tensorflow as tf

class Model(tf.Module):
    def __call__(self, x0, x1, x2):
        v0 = tf.image.crop_and_resize(x0, x1, x2, (2, 2))
        return v0

model = Model()
inputs = [
    tf.constant([[[[1.0]], [[0.0]]]], tf.float32),
    tf.constant([[0.0, 0.0, 0.0, 0.0]], tf.float32),
    tf.constant([0], tf.int32),
]
feeds = [x.numpy() for x in inputs]
expected = [np.asarray(x) for x in [model(*inputs)]]
for package in ('tensorflow', 'tf2onnx', 'onnx', 'onnxruntime', 'numpy'):
    print(package, importlib.metadata.version(package))

import logging

import tf2onnx

def throw(record):  # tf2onnx logs what its handlers raise, and returns a broken model
    if record.exc_info:
        raise record.exc_info[1]

handler = logging.Handler(logging.ERROR)
handler.emit = throw
logging.getLogger('tf2onnx').addHandler(handler)
signature = [tf.TensorSpec(x.shape, x.dtype, name=f'input_{index}') for index, x in enumerate(inputs)]
function = tf.function(model.__call__, input_signature=signature, autograph=False)
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

frozen = convert_variables_to_constants_v2(function.get_concrete_function())
ends = [[tensor.name for tensor in side] for side in (frozen.inputs, frozen.outputs)]
names = {x: f'{kind}_{index}' for kind, end in zip(('input', 'output'), ends) for index, x in enumerate(end)}
proto, _ = tf2onnx.convert.from_graph_def(
    frozen.graph.as_graph_def(), input_names=ends[0], output_names=ends[1], opset=15, tensors_to_rename=names
)
artifact = proto.SerializeToString()

import onnxruntime

options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(artifact, options, providers=['CPUExecutionProvider'])
named = {value.name: feeds[int(value.name.removeprefix('input_'))] for value in session.get_inputs()}
actual = session.run(None, named)

types = [[f"{x.dtype}{list(x.shape)}" for x in side] for side in (expected, actual)]
print("expected", *types[0], *expected, "actual", *types[1], *actual, sep="\n")
if types[0] != types[1]:
    sys.exit(2)
wrong = other = False
for want, got in zip(expected, actual):
    want, got = (x.astype(float) for x in (want, got))
    finite = np.isfinite(want) & np.isfinite(got)
    atol = 1e-05 * min(1, abs(want[np.isfinite(want)]).max(initial=0))
    close = np.isclose(got, want, 1.3e-06, atol, equal_nan=True) | np.isclose(got, want, 0, 3.337860107421875e-06)
    wrong |= (~close & finite).any()
    other |= (~close & ~finite).any()
sys.exit(1 if wrong else 2 if other else 0)
