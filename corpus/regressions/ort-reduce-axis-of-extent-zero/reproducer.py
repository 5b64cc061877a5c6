# reduce_any(x0, axis=-1) bool[7,7,0]: output 0: bool of shape [7, 7] expected, got [7, 7, 0]
# wrong model · inference · tf2onnx · onnxruntime unoptimized, onnxruntime optimized
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import numpy as np
import tensorflow as tf

class Model(tf.Module):
    def __call__(self, x0):
        v0 = tf.reduce_any(x0, axis=-1)
        return v0

model = Model()
inputs = [tf.zeros((7, 7, 0), tf.bool)]
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
    frozen.graph.as_graph_def(), input_names=ends[0], output_names=ends[1], opset=18, tensors_to_rename=names
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
same = [e.dtype for e in expected] == [a.dtype for a in actual]
sys.exit(2 if not same else any(e.shape != a.shape for e, a in zip(expected, actual)))
