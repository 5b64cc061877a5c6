# atan2(x0, x1) float32[1]: ConverterError: 'tfl.atan2' op requires the same type for all operands and results <frozen runpy>:198:1: note: called from <unknown>:0: note: loc(fused["Partit…
# crash · node conversion · tflite
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import numpy as np
import tensorflow as tf

class Model(tf.Module):
    def __call__(self, x0, x1):
        v0 = tf.math.atan2(x0, x1)
        return v0

model = Model()
inputs = [tf.constant([0.0], tf.float32), tf.constant(0.0, tf.float32)]
feeds = [x.numpy() for x in inputs]
expected = [np.asarray(x) for x in [model(*inputs)]]
for package in ('tensorflow', 'numpy'):
    print(package, importlib.metadata.version(package))

try:
    import tensorflow as tf

    signature = [tf.TensorSpec(x.shape, x.dtype, name=f'input_{index}') for index, x in enumerate(inputs)]
    function = tf.function(model.__call__, input_signature=signature, autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
    artifact = converter.convert()
except Exception as error:
    while error.__cause__ is not None:
        error = error.__cause__
    print("expected no exception, got", f"{type(error).__name__}: {error}"[:2000])
    words = ['atan', 'requires', 'same', 'type', 'operands', 'results']
    sys.exit(1 if type(error).__name__ == 'ConverterError' and all(word in str(error) for word in words) else 2)
print("no exception")
