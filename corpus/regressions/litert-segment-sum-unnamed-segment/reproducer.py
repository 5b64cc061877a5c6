# segment_sum(x0, x1) float32[2]: RuntimeError: tflite/kernels/segment_sum.cc:57 delta == 0 || delta == 1 was not true.Node number 1 (SEGMENT_SUM) failed to invoke.
# crash · inference · tflite · xnnpack
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import numpy as np
import tensorflow as tf

class Model(tf.Module):
    def __call__(self, x0, x1):
        v0 = tf.math.segment_sum(x0, x1)
        return v0

model = Model()
inputs = [tf.constant([1.0, 2.0], tf.float32), tf.constant([0, 2], tf.int64)]
feeds = [x.numpy() for x in inputs]
expected = [np.asarray(x) for x in [model(*inputs)]]
for package in ('tensorflow', 'ai-edge-litert', 'numpy'):
    print(package, importlib.metadata.version(package))

signature = [tf.TensorSpec(x.shape, x.dtype, name=f'input_{index}') for index, x in enumerate(inputs)]
function = tf.function(model.__call__, input_signature=signature, autograph=False)
converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
artifact = converter.convert()

try:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=artifact, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN)
    runner = interpreter.get_signature_runner()
    inputs = {name: detail['index'] for name, detail in runner.get_input_details().items()}
    outputs = {name: detail['index'] for name, detail in runner.get_output_details().items()}
    del runner  # holds a reference into the interpreter
    interpreter.allocate_tensors()
    for name, index in inputs.items():
        interpreter.set_tensor(index, feeds[int(name.removeprefix('input_'))])
    interpreter.invoke()
    actual = [interpreter.get_tensor(outputs[f'output_{number}']) for number in range(len(outputs))]
except Exception as error:
    while error.__cause__ is not None:
        error = error.__cause__
    print("expected no exception, got", f"{type(error).__name__}: {error}"[:2000])
    words = ['tflite', 'kernels', 'segment', 'delta', 'true', 'Node', 'number', 'SEGMENT']
    sys.exit(1 if type(error).__name__ == 'RuntimeError' and all(word in str(error) for word in words) else 2)
print("no exception")
