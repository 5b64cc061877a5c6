"""Users' models as cases: ``.onnx``, ``.pt2``, ``.tflite``, ``module:function``, SavedModels, Keras files.

A model file may come from anyone. Reading one goes through :mod:`generators.importers.child`, a process of its own with
a limit on its memory and its time, and through the checks of :mod:`generators.importers.archives` before any framework
sees it. ``module:function`` is the exception: it is Python that its owner asks to be run.
"""
