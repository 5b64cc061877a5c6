"""Operator samples that the test suite of a framework comes with, as nodes of our graphs.

Torch tests its operators on samples of their arguments (``OpInfo``, ``ModuleInfo`` in ``torch.testing._internal``).
:mod:`collecting` turns them into cases of a single node and finds out, by running them, which tensors may hold other
values; :mod:`building` does so in child processes, once for each version of the framework, and keeps the result in the
user's cache directory (:mod:`records`); :mod:`samplers` makes samplers of it.
"""
