# cumprod(x0, axis=-1) float32[1]: ValueError: negative dimensions are not allowed
# crash · node conversion · tf2onnx
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import numpy as np
import tensorflow as tf

class Model(tf.Module):
    def __call__(self, x0):
        v0 = tf.math.cumprod(x0, axis=-1)
        return v0

model = Model()
inputs = [tf.constant([0.0], tf.float32)]
feeds = [x.numpy() for x in inputs]
expected = [np.asarray(x) for x in [model(*inputs)]]
for package in ('tensorflow', 'tf2onnx', 'onnx', 'numpy'):
    print(package, importlib.metadata.version(package))

try:
    import logging

    import tensorflow as tf
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
        frozen.graph.as_graph_def(), input_names=ends[0], output_names=ends[1], opset=17, tensors_to_rename=names
    )
    artifact = proto.SerializeToString()
except Exception as error:
    while error.__cause__ is not None:
        error = error.__cause__
    print("expected no exception, got", f"{type(error).__name__}: {error}"[:2000])
    words = ['negative', 'dimensions', 'allowed']
    sys.exit(1 if type(error).__name__ == 'ValueError' and all(word in str(error) for word in words) else 2)
print("no exception")
