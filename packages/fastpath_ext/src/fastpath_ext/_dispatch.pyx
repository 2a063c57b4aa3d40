# Operation handles and the string door, compiled.
#
# A handle stands in for a function: the first call asks its owner what the function would call,
# later calls jump there. One C pointer, ``call``, holds the state: unbound, bound, or off. The
# string door is a handle with routes: its calls name an operation, whose handle they go on to.
#
# A call owns a reference to its target, because the target's own code may unbind the handle. On
# free-threaded builds it takes it under the handle's lock.

cdef extern from *:
    """
    typedef PyObject *(*tg_call)(PyObject *, PyObject *const *, size_t, PyObject *);

    /* Cython knows vectorcall for constructing objects only. */
    static void tg_make_callable(PyTypeObject *type, Py_ssize_t offset) {
        type->tp_vectorcall_offset = offset;
        type->tp_call = PyVectorcall_Call;
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
        PyType_Modified(type);
    }

    #ifdef Py_GIL_DISABLED
    #define TG_LOCK(owner) Py_BEGIN_CRITICAL_SECTION(owner)
    #define TG_UNLOCK Py_END_CRITICAL_SECTION()
    #define TG_COUNT(calls) __atomic_fetch_add(&(calls), 1, __ATOMIC_RELAXED)
    #else
    #define TG_LOCK(owner) {
    #define TG_UNLOCK }
    #define TG_COUNT(calls) (calls)++
    #endif

    /* What a handle is bound to, and the function that calls it. */
    typedef struct {
        PyObject *object;
        tg_call call;
    } tg_target;

    /* What is in C all the way down could come back here until the stack ends. */
    static PyObject *tg_call_any(
        PyObject *target, PyObject *const *args, size_t nargsf, PyObject *kwnames
    ) {
        PyObject *result;
        if (Py_EnterRecursiveCall(" in a handle")) return NULL;
        result = PyObject_Vectorcall(target, args, nargsf, kwnames);
        Py_LeaveRecursiveCall();
        return result;
    }

    static CYTHON_INLINE tg_target tg_target_of(PyObject *object) {
        tg_target target = {object, tg_call_any};
        /* Functions and methods are called in one way all their life. */
        if (object != NULL && (PyCFunction_CheckExact(object) || PyFunction_Check(object)
                               || PyMethod_Check(object)))
            target.call = PyVectorcall_Function(object);
        return target;
    }

    /* Return a target with a reference of the caller's own. */
    static CYTHON_INLINE tg_target tg_take(PyObject *handle, tg_target *from) {
        tg_target target;
        TG_LOCK(handle);
        target = *from;
        Py_XINCREF(target.object);
        TG_UNLOCK;
        return target;
    }

    static CYTHON_INLINE void tg_set_call(tg_call *call, tg_call to) {
        __atomic_store_n(call, to, __ATOMIC_RELEASE);
    }

    /* Errors end here, an interruption does not. */
    static void tg_clear_error(void) {
        if (PyErr_ExceptionMatches(PyExc_Exception)) PyErr_Clear();
    }

    /* Return a new reference to what a dictionary holds, or NULL. */
    static PyObject *tg_look_up(PyObject *dictionary, PyObject *key) {
        PyObject *found;
    #if PY_VERSION_HEX >= 0x030D0000
        if (PyDict_GetItemRef(dictionary, key, &found) < 0) tg_clear_error();
    #else
        found = PyDict_GetItemWithError(dictionary, key);
        Py_XINCREF(found);
        if (found == NULL && PyErr_Occurred()) tg_clear_error();
    #endif
        return found;
    }

    /* Will the same object come again? A constant will, and an enumeration's member, whose class
       has a class of its own. */
    static int tg_is_lasting(PyObject *name) {
    #ifdef Py_GIL_DISABLED
        return 0;  /* the lines are not used there: they could be read half written */
    #else
        return PyUnicode_CheckExact(name) ? PyUnicode_CHECK_INTERNED(name) != 0
                                          : Py_TYPE(Py_TYPE(name)) != &PyType_Type;
    #endif
    }

    /* Return owner.fast_path.hollow(function), or NULL and an error. */
    static PyObject *tg_hollow(PyObject *owner, PyObject *function) {
        PyObject *hollow = NULL, *fast_path = PyObject_GetAttrString(owner, "fast_path");
        if (fast_path != NULL) {
            hollow = PyObject_CallMethod(fast_path, "hollow", "O", function);
            Py_DECREF(fast_path);
        }
        return hollow;
    }

    static CYTHON_INLINE size_t tg_line(PyObject *interface, PyObject *operation) {
        return (((size_t)interface >> 4) * 7 + ((size_t)operation >> 4)) & 63;
    }
    """
    ctypedef PyObject* (*tg_call)(PyObject*, PyObject**, size_t, PyObject*) noexcept
    ctypedef struct tg_target:
        PyObject* object
        tg_call call
    tg_target tg_target_of(PyObject*) noexcept
    void tg_make_callable(PyTypeObject*, Py_ssize_t) noexcept
    void TG_COUNT(uint64_t) noexcept
    tg_target tg_take(PyObject*, tg_target*) noexcept
    void tg_set_call(tg_call*, tg_call) noexcept
    void tg_clear_error() noexcept
    PyObject* tg_look_up(PyObject*, PyObject*) noexcept
    bint tg_is_lasting(PyObject*) noexcept
    PyObject* tg_hollow(PyObject*, PyObject*) noexcept
    size_t tg_line(PyObject*, PyObject*) noexcept

cdef extern from "Python.h":
    Py_ssize_t PyVectorcall_NARGS(size_t) noexcept
    PyObject* PyObject_Vectorcall(PyObject*, PyObject**, size_t, PyObject*) noexcept
    object PyMethod_New(object, object)
    object PyVectorcall_Call(object, object, object)
    bint PyErr_ExceptionMatches(object) noexcept
    PyObject* PyErr_Occurred() noexcept
    void PyErr_Fetch(PyObject**, PyObject**, PyObject**) noexcept
    void PyErr_Clear() noexcept
    void PyErr_Restore(PyObject*, PyObject*, PyObject*) noexcept
    void Py_XDECREF(PyObject*) noexcept
    object PyUnicode_FromFormat(const char*, ...)
    # Raw pointers: these are read before anything could hold a reference.
    PyObject* new_tuple "PyTuple_Pack"(Py_ssize_t, ...) noexcept
    PyObject* tuple_item "PyTuple_GET_ITEM"(PyObject*, Py_ssize_t) noexcept
    PyObject* list_item "PyList_GET_ITEM"(PyObject*, Py_ssize_t) noexcept
    int PyList_SetItem(PyObject*, Py_ssize_t, PyObject*) noexcept

cdef enum:
    LINES = 64  # a power of two


@cython.final
@cython.no_gc_clear  # target must not outlive held, nor lines their keeper
cdef class Handle:
    """Handle(function, owner, routes=None)
--

What stands in for *function*: a call goes straight to what the function would call.

That is what *owner.target_of(function)* returns at the first call; if it raises, the caller
gets the error and the next call tries again. When a target raises ``TypeError``, and
*owner.fast_path.hollow(function)* does as well for the same arguments, the caller gets that
one, which names the public function.

With *routes*, a dict of dicts, the handle is a string door: a call's first two arguments
name the interface and the operation, whose handle gets the keyword arguments.
What has no route goes to *function*.
"""

    cdef tg_call call
    cdef tg_target target  # kept by held; no object while unbound
    cdef uint64_t count
    cdef uint64_t generation
    cdef bint is_off
    cdef object held
    cdef object function
    cdef object owner
    cdef object routes
    # The latest routes by identity: tuples of the very objects that name an operation, and its
    # handle. The first to take a line keeps it.
    cdef object lines
    cdef object __weakref__

    def __cinit__(self, function, owner, routes=None):
        self.function = function
        self.owner = owner
        self.routes = routes
        hold(self, None, 0)

    def __call__(self, *args, **kwargs):  # by its name; a plain call uses the slot
        return PyVectorcall_Call(self, args, kwargs)

    def __get__(self, instance, owner):
        return self if instance is None else PyMethod_New(self, instance)

    # To all who look, it is the function.

    @property
    def __class__(self):
        return type(self.function)

    def __getattr__(self, name):
        return getattr(self.function, name)

    def __setattr__(self, name, value):
        setattr(self.function, name, value)

    def __delattr__(self, name):
        delattr(self.function, name)

    def __dir__(self):
        return dir(self.function)

    def __reduce__(self):
        return self.function.__qualname__

    def __repr__(self):
        return PyUnicode_FromFormat(b"<handle of %R>", <PyObject*>self.function)

    @property
    def __wrapped__(self):
        return self.function

    @property
    def __doc__(self):
        return self.function.__doc__

    @property
    def __module__(self):
        return self.function.__module__

    @property
    def calls(self):
        """How often the function was called since the handle was last unbound."""
        return self.count

    @property
    def bound(self):
        """What is called, or None before the first call."""
        with cython.critical_section(self):
            return self.held

    def bind(self, target):
        """Call *target* from now on; None unbinds, counts from 0, and forgets lines."""
        if type(target) is Handle:
            raise TypeError("a handle cannot be bound to a handle: pass its __wrapped__")
        hold(self, target, self.generation)

    def turn(self, on):
        """Jump, or call the function that the handle stands in for."""
        with cython.critical_section(self):
            self.is_off = not on
            set_call(self)


cdef int hold(Handle self, object target, uint64_t generation) except -1:
    """Bind or unbind, unless the handle was bound or unbound since that *generation*.

    What it was bound to is let go of last.
    """
    cdef object old
    with cython.critical_section(self):
        if generation != self.generation:
            return 0
        self.generation += 1
        old = self.held
        self.held = target
        self.target = tg_target_of(NULL if target is None else <PyObject*>target)
        if target is None:
            self.count = 0
            if self.routes is not None:
                self.lines = [(missing, missing, missing)] * LINES
        set_call(self)
    return 0


cdef void set_call(Handle self) noexcept:
    if self.is_off:
        tg_set_call(&self.call, <tg_call>pass_on)
    elif self.routes is not None:
        tg_set_call(&self.call, <tg_call>dispatch)
    elif self.target.object != NULL:
        tg_set_call(&self.call, <tg_call>call_target)
    else:
        tg_set_call(&self.call, <tg_call>call_first)


cdef PyObject* pass_on(
    PyObject* self, PyObject** args, size_t nargsf, PyObject* kwnames
) noexcept:
    TG_COUNT((<Handle>self).count)
    return PyObject_Vectorcall(<PyObject*>(<Handle>self).function, args, nargsf, kwnames)


cdef PyObject* call_first(
    PyObject* self, PyObject** args, size_t nargsf, PyObject* kwnames
) except NULL:
    cdef Handle handle = <Handle>self
    cdef uint64_t generation = handle.generation
    TG_COUNT(handle.count)
    target = handle.owner.target_of(handle.function)
    if type(target) is Handle:
        raise TypeError("a handle cannot be bound to a handle: pass its __wrapped__")
    hold(handle, target, generation)
    return call(handle, tg_target_of(<PyObject*>target), args, nargsf, kwnames)


cdef PyObject* call_target(
    PyObject* self, PyObject** args, size_t nargsf, PyObject* kwnames
) except NULL:
    cdef tg_target target = tg_take(self, &(<Handle>self).target)
    cdef PyObject* result
    if unlikely(target.object == NULL):
        return call_first(self, args, nargsf, kwnames)
    TG_COUNT((<Handle>self).count)
    result = call(<Handle>self, target, args, nargsf, kwnames)
    Py_DECREF(<object>target.object)
    return result


cdef inline PyObject* call(
    Handle self, tg_target target, PyObject** args, size_t nargsf, PyObject* kwnames
) noexcept:
    cdef PyObject* result = target.call(target.object, args, nargsf, kwnames)
    if unlikely(result == NULL) and PyErr_ExceptionMatches(TypeError):
        explain(self, args, nargsf, kwnames)
    return result


cdef void explain(
    Handle self, PyObject** args, size_t nargsf, PyObject* kwnames
) noexcept:
    """Replace a TypeError by the public function's own, if it has one for these arguments."""
    cdef PyObject *kind
    cdef PyObject *error
    cdef PyObject *trace
    cdef PyObject *hollow
    cdef PyObject *result = NULL
    cdef bint is_better = False
    PyErr_Fetch(&kind, &error, &trace)
    hollow = tg_hollow(<PyObject*>self.owner, <PyObject*>self.function)
    if hollow != NULL:
        result = PyObject_Vectorcall(hollow, args, nargsf, kwnames)
        Py_DECREF(<object>hollow)
        is_better = result == NULL and PyErr_ExceptionMatches(TypeError)
    if result == NULL and (is_better or not PyErr_ExceptionMatches(Exception)):
        Py_XDECREF(kind)
        Py_XDECREF(error)
        Py_XDECREF(trace)
    else:
        Py_XDECREF(result)
        PyErr_Clear()
        PyErr_Restore(kind, error, trace)


cdef PyObject* dispatch(
    PyObject* self, PyObject** args, size_t nargsf, PyObject* kwnames
) noexcept:
    """Pass a call on to the operation that its first two arguments name."""
    cdef PyObject* handle = NULL
    cdef PyObject* result
    if PyVectorcall_NARGS(nargsf) == 2:
        handle = find_route(<Handle>self, args[0], args[1])
    if handle == NULL:
        return NULL if PyErr_Occurred() else pass_on(self, args, nargsf, kwnames)
    # The keywords' values follow the two names, so no dictionary is needed. The flag that lends
    # the place in front of the arguments is not passed on: there lies one of the caller's.
    result = PyObject_Vectorcall(handle, args + 2, 0, kwnames)
    Py_DECREF(<object>handle)
    return result


cdef inline PyObject* find_route(
    Handle self, PyObject* interface, PyObject* operation
) noexcept:
    """Return a new reference to the handle of an operation, or NULL, perhaps with an error."""
    cdef PyObject* lines = <PyObject*>self.lines
    cdef PyObject* line
    cdef PyObject* operations
    cdef PyObject* handle
    cdef size_t at = tg_line(interface, operation)
    if not TG_FREE_THREADED:
        line = list_item(lines, at)
        if not is_line(line, interface, operation):
            line = list_item(lines, at ^ 1)
        if is_line(line, interface, operation):
            handle = tuple_item(line, 2)
            Py_INCREF(<object>handle)
            return handle
    operations = tg_look_up(<PyObject*>self.routes, interface)
    if operations == NULL:
        return NULL
    handle = tg_look_up(operations, operation)
    Py_DECREF(<object>operations)
    lines = <PyObject*>self.lines  # the names' own code may have replaced them
    if handle != NULL and tg_is_lasting(interface) and tg_is_lasting(operation):
        if not is_line(list_item(lines, at), <PyObject*>missing, <PyObject*>missing):
            at ^= 1
        if is_line(list_item(lines, at), <PyObject*>missing, <PyObject*>missing):
            line = new_tuple(3, interface, operation, handle)
            if line == NULL:
                PyErr_Clear()
            else:
                PyList_SetItem(lines, at, line)
    return handle


cdef inline bint is_line(PyObject* line, PyObject* interface, PyObject* operation) noexcept:
    return (
        tuple_item(line, 0) == interface and tuple_item(line, 1) == operation
    )


cdef Handle probe = Handle(None, None)
tg_make_callable(<PyTypeObject*>Handle, <char*>&probe.call - <char*><PyObject*>probe)
