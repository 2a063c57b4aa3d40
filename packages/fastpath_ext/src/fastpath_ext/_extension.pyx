# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=clinic
# cython: freethreading_compatible=True
# The one extension module: a second shared object would cost a cold start as much as this one.

include "_store.pyx"
include "_dispatch.pyx"
