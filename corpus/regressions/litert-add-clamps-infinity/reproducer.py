# bias_add(x0, x1) float32[1,1]: expected -inf, got -3.4028235e+38
# wrong model · inference · tflite · builtin, reference
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import numpy as np
import tensorflow as tf

class Model(tf.Module):
    def __call__(self, x0, x1):
        v0 = tf.nn.bias_add(x0, x1)
        return v0

model = Model()
inputs = [tf.constant([[float('-inf')]], tf.float32), tf.constant([0.0], tf.float32)]
feeds = [x.numpy() for x in inputs]
expected = [np.asarray(x) for x in [model(*inputs)]]
for package in ('tensorflow', 'ai-edge-litert', 'numpy'):
    print(package, importlib.metadata.version(package))

signature = [tf.TensorSpec(x.shape, x.dtype, name=f'input_{index}') for index, x in enumerate(inputs)]
function = tf.function(model.__call__, input_signature=signature, autograph=False)
converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
artifact = converter.convert()

from ai_edge_litert.interpreter import Interpreter, OpResolverType

interpreter = Interpreter(model_content=artifact, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
runner = interpreter.get_signature_runner()
inputs = {name: detail['index'] for name, detail in runner.get_input_details().items()}
outputs = {name: detail['index'] for name, detail in runner.get_output_details().items()}
del runner  # holds a reference into the interpreter
interpreter.allocate_tensors()
for name, index in inputs.items():
    interpreter.set_tensor(index, feeds[int(name.removeprefix('input_'))])
interpreter.invoke()
actual = [interpreter.get_tensor(outputs[f'output_{number}']) for number in range(len(outputs))]

types = [[f"{x.dtype}{list(x.shape)}" for x in side] for side in (expected, actual)]
print("expected", *types[0], *expected, "actual", *types[1], *actual, sep="\n")
if types[0] != types[1]:
    sys.exit(2)
wrong = other = False
for want, got in zip(expected, actual):
    want, got = (x.astype(float) for x in (want, got))
    finite = np.isfinite(want) & np.isfinite(got)
    atol = 1e-05 * min(1, abs(want[np.isfinite(want)]).max(initial=0))
    close = np.isclose(got, want, 1.3e-06, atol, equal_nan=True) | np.isclose(got, want, 0, 1.1754943508222875e-38)
    wrong |= (~close & ~finite).any()
    other |= (~close & finite).any()
sys.exit(1 if wrong else 2 if other else 0)
