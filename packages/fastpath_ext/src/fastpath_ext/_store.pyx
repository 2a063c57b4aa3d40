# The cache engine, compiled: the behaviour of ``cores.store`` without its interpreter.
#
# A slab of entries, which also form the eviction queues, is found through a table of 64-bit slots:
# the upper half of a slot is the entry's tag, 32 bits of its mixed hash, the lower half its index
# in the slab, and 0 is an empty slot. Probing is linear and starts where the tag's upper bits say,
# so the table can grow and close gaps without looking at an entry. What only evictions need lies
# beside the slab.
#
# Code of others runs when keys are compared, callbacks are called or an object loses its last
# reference. The first two are followed by a look at ``version``, which every change of structure
# bumps; the last happens only when the store is consistent and nothing in it is needed any more.

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.object cimport PyObject, Py_EQ
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <math.h>
    #include <time.h>

    #ifdef CLOCK_REALTIME_COARSE
    #define TG_CLOCK CLOCK_REALTIME_COARSE
    #else
    #define TG_CLOCK CLOCK_REALTIME
    #endif

    #ifdef Py_GIL_DISABLED
    #define TG_FREE_THREADED 1
    #else
    #define TG_FREE_THREADED 0
    #endif

    #define TG_LIKELY(truth) __builtin_expect(!!(truth), 1)

    #define MOST_ENTRIES ((int64_t)1 << 30)
    /* The upper bit of a link between entries, which no number of an entry needs, is a flag. */
    #define FLAG ((uint32_t)1 << 31)
    #define LINK (FLAG - 1)
    #define MOST_BYTES ((int64_t)1 << 62)
    /* As in cores.store: what lies further behind is a clock that was set back. */
    #define JITTER_S 1.0

    /* Tracebacks end on the caller's line, as those of builtins do. The frames that Cython would
       add show lines of a file that is not installed, and are an eighth of the module's code.
       A function without effect need not be called. */
    #pragma GCC diagnostic push
    #pragma GCC diagnostic ignored "-Wattributes"
    __attribute__((const)) static void __Pyx_AddTraceback(const char *, int, int, const char *);
    #pragma GCC diagnostic pop

    static CYTHON_INLINE double tg_wall_clock(int64_t *second) {
        struct timespec now;
        clock_gettime(TG_CLOCK, &now);
        *second = (int64_t)now.tv_sec;
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }

    /* The same clock's full second, at a fraction of the price. */
    static CYTHON_INLINE int64_t tg_wall_second(void) {
        return (int64_t)time(NULL);
    }

    static CYTHON_INLINE uint64_t tg_mix(Py_hash_t hash) {
        return ((uint64_t)hash * 0x9E3779B97F4A7C15u) >> 32;
    }

    /* A str computes its hash once and keeps it. */
    static CYTHON_INLINE Py_hash_t tg_hash(PyObject *key) {
        if (TG_LIKELY(PyUnicode_CheckExact(key))) {
            Py_hash_t hash = __atomic_load_n(&((PyASCIIObject *)key)->hash, __ATOMIC_RELAXED);
            if (TG_LIKELY(hash != -1)) return hash;
        }
        return PyObject_Hash(key);
    }

    static CYTHON_INLINE int tg_same_text(PyObject *a, PyObject *b) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(a);
        return length == PyUnicode_GET_LENGTH(b) && PyUnicode_KIND(a) == PyUnicode_KIND(b)
            && memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b),
                      (size_t)length * (size_t)PyUnicode_KIND(a)) == 0;
    }

    /* The collector has to see the references in the slab; Cython knows only the attributes. */
    static traverseproc tg_traverse_attributes;
    static inquiry tg_clear_attributes;

    static void tg_own_collection(PyTypeObject *type, traverseproc traverse, inquiry clear) {
        tg_traverse_attributes = type->tp_traverse;
        tg_clear_attributes = type->tp_clear;
        type->tp_traverse = traverse;
        type->tp_clear = clear;
        PyType_Modified(type);
    }
    """
    ctypedef struct PyTypeObject:
        pass
    ctypedef int (*visitproc)(PyObject*, void*) noexcept
    ctypedef int (*traverseproc)(PyObject*, visitproc, void*) noexcept
    ctypedef int (*inquiry)(PyObject*) noexcept
    const double INFINITY
    const double JITTER_S
    const uint32_t FLAG
    const uint32_t LINK
    const int64_t MOST_ENTRIES
    const int64_t MOST_BYTES
    const bint TG_FREE_THREADED
    double tg_wall_clock(int64_t*) noexcept
    int64_t tg_wall_second() noexcept
    uint64_t tg_mix(Py_hash_t) noexcept
    Py_hash_t tg_hash(object) except -1
    bint tg_same_text(PyObject*, PyObject*) noexcept
    void tg_own_collection(PyTypeObject*, traverseproc, inquiry) noexcept
    traverseproc tg_traverse_attributes
    inquiry tg_clear_attributes
    bint likely(bint) noexcept
    bint unlikely(bint) noexcept

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(PyObject*) noexcept
    bint PyBool_Check(object) noexcept
    bint PyFloat_Check(object) noexcept
    bint PyLong_Check(object) noexcept
    double PyFloat_AsDouble(object) except? -1.0
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1
    Py_ssize_t PyLong_AsSsize_t(object) except? -1
    object PyLong_FromVoidPtr(PyObject*)
    bint PyUnicode_Check(object) noexcept
    int PyUnicode_CompareWithASCIIString(object, const char*) noexcept
    PyObject* PyList_GET_ITEM(list, Py_ssize_t) noexcept
    void PyList_SET_ITEM(list, Py_ssize_t, PyObject*) noexcept
    list PyList_New(Py_ssize_t)
    int PyList_SetSlice(list, Py_ssize_t, Py_ssize_t, PyObject*) except -1
    object PyTuple_Pack(Py_ssize_t, ...)
    int PyDict_Next(dict, Py_ssize_t*, PyObject**, PyObject**) noexcept
    bint PyDict_CheckExact(object) noexcept
    bint PyList_CheckExact(object) noexcept
    bint PyTuple_CheckExact(object) noexcept
    list PyDict_Keys(object)
    list PyDict_Values(object)
    int PySet_Add(set, object) except -1
    bint PySet_Contains(set, object) except -1
    const Py_ssize_t PY_SSIZE_T_MAX
    list PyMapping_Keys(object)
    object PyObject_GetItem(object, object)
    object PyObject_GetAttrString(object, const char*)
    object PyObject_CallNoArgs(object)
    object PyObject_CallOneArg(object, object)
    object PyObject_CallFunctionObjArgs(object, ...)
    object PyImport_ImportModule(const char*)
    PyObject* PySys_GetObject(const char*) except NULL
    object Py_BuildValue(const char*, ...)
    void* PyErr_Format(object, const char*, ...) except NULL
    void PyErr_SetObject(object, object)
    int PyObject_RichCompareBool(PyObject*, PyObject*, int) noexcept

cdef enum:
    # Results of find that are no entries, and the heads of the queues: the main queue, which is
    # the only one of LRU, and S3-FIFO's queue of new entries.
    MISSING = 0
    FAILED = 1
    MAIN = 0
    SMALL = 1
    FIRST = 2
    LINE = 64
    # Results of compare.
    DIFFERENT = 0
    EQUAL = 1
    RESTART = 2

# Two to a line of the processor's cache.
cdef struct Entry:
    PyObject* key  # NULL: free, and newer is the next free entry
    PyObject* value
    double expires
    # The neighbours in a queue. Flags of S3-FIFO: older says whether the entry was used (one bit
    # is enough, see cores.store), newer, of all in that queue, that it is the one of new entries.
    uint32_t older
    uint32_t newer

cdef struct Contents:
    Entry* entries  # NULL: there are none
    void* slab
    uint64_t* slots
    uint32_t* tags
    int64_t* sizes
    uint64_t* ghosts
    uint32_t made


@cython.trashcan(True)
cdef class Store:
    """Store(max_entries=1024, *, max_bytes=None, default_ttl=None, policy='lru', clock=None, sizeof=None, on_evict=None)
--

A bounded mapping in memory whose entries may expire.

*max_entries* bounds how many entries there are, *max_bytes* how large they are together.
An entry's size is the *size* given to ``set``, else what *sizeof(value)* returns, else an
estimate: ``sys.getsizeof`` of the key and the value, together with everything that str,
bytes, numbers, lists, tuples and dicts hold, each object once; of other objects only the
outside. Without *max_bytes* nothing is measured.
An entry larger than *max_bytes* is evicted at once and pushes nothing else out.

*default_ttl* is the lifetime in seconds of entries stored without one; None is for ever.
Time is wall time, so entries also age while the process is frozen; it is exact to some ten
milliseconds. When the clock is set back, time goes on from the latest reading: nothing that
has expired comes back, but what had passed since that reading is not counted; steps back of
less than a second are not noticed. *clock* replaces the system's clock by a callable that
returns seconds since the epoch.

*policy* chooses what to evict: ``"lru"`` the least recently used entry, ``"s3fifo"`` what
S3-FIFO (Yang et al., SOSP 2023) chooses, which keeps popular entries through scans.
*on_evict(key, value)* is called, after the store has changed, for each entry that left to
make room; what it raises reaches the caller. It is not called for expired, replaced,
deleted or cleared entries.

Safe under threads. Keys, values and callbacks may use the store from within.
A ``Store`` can be neither copied nor pickled.

>>> store = Store(max_entries=100, default_ttl=300)
>>> store["answer"] = 42
>>> store.get("answer")
42
"""

    cdef Entry* entries
    cdef void* slab  # the memory of entries, which start where a line of the cache does
    cdef uint64_t* slots
    cdef uint32_t* tags
    cdef int64_t* sizes  # only with max_bytes
    cdef uint32_t mask
    cdef uint32_t shift
    cdef bint is_lru
    cdef bint counts_bytes
    cdef bint is_watched  # by a byte bound or a callback
    cdef uint32_t count
    cdef uint32_t max_entries
    cdef uint32_t made  # entries of the slab that have been used so far
    cdef uint32_t room
    cdef uint32_t free
    cdef uint32_t small_count
    cdef uint64_t version
    cdef double latest
    cdef double offset
    # The second of the latest look at the system's clock, and when it ends. What lives longer
    # is alive as long as that second lasts.
    cdef int64_t second
    cdef double second_end
    cdef double default_ttl
    cdef int64_t bytes
    cdef int64_t max_bytes
    cdef uint64_t hits
    cdef uint64_t misses
    cdef uint64_t expirations
    cdef uint64_t evictions
    cdef object clock
    cdef object size_of
    cdef object on_evict
    # Of S3-FIFO: tag and time (in evictions) of keys that were evicted while new.
    cdef uint64_t* ghosts
    cdef uint32_t ghost_bits
    cdef uint32_t ghost_time
    cdef uint32_t ghost_window
    cdef uint64_t no_slot
    cdef Entry heads[2]

    def __cinit__(self):
        self.is_lru = True
        self.max_entries = 1024
        self.default_ttl = INFINITY
        self.second = -1
        make_empty(self)

    def __init__(
        self,
        max_entries=1024,
        *,
        max_bytes=None,
        default_ttl=None,
        policy="lru",
        clock=None,
        on_evict=None,
        **others,
    ):
        # sizeof is an operator in this language, so it cannot be a parameter.
        cdef object size_of = None
        cdef PyObject* name
        cdef PyObject* option
        cdef Py_ssize_t at = 0
        cdef uint32_t entries
        cdef int64_t bytes_ = 0
        cdef double ttl = INFINITY
        while PyDict_Next(others, &at, &name, &option):
            if not is_text(<object>name, b"sizeof"):
                PyErr_Format(
                    TypeError, b"Store.__init__() got an unexpected keyword argument %R", name
                )
            size_of = <object>option
        entries = <uint32_t>check_bound(b"max_entries", max_entries, MOST_ENTRIES)
        if max_bytes is not None:
            bytes_ = check_bound(b"max_bytes", max_bytes, MOST_BYTES)
        elif size_of is not None:
            PyErr_Format(
                ValueError, b"sizeof needs max_bytes: without a bound nothing is measured"
            )
        if default_ttl is not None:
            ttl = lifetime(b"default_ttl", default_ttl)
        if not is_text(policy, b"lru") and not is_text(policy, b"s3fifo"):
            PyErr_Format(
                ValueError, b"policy must be 'lru' or 's3fifo', not %R", <PyObject*>policy
            )
        check_callable(b"clock", clock)
        check_callable(b"sizeof", size_of)
        check_callable(b"on_evict", on_evict)
        cdef bint is_lru = is_text(policy, b"lru")
        # Empty, and with all that decides about entries, before anything is let go: what an object
        # does when it goes already finds the new store.
        cdef Contents old = take_contents(self)
        self.max_entries = entries
        self.counts_bytes = max_bytes is not None
        self.max_bytes = bytes_
        self.default_ttl = ttl
        self.is_lru = is_lru
        self.latest = self.offset = 0
        self.second = -1
        self.hits = self.misses = self.expirations = self.evictions = 0
        self.is_watched = self.counts_bytes or on_evict is not None
        self.clock = None if is_system_clock(clock) else clock
        self.size_of = size_of
        self.on_evict = on_evict
        let_go(old)

    def __dealloc__(self):
        release(self)

    def get(self, key, default=None):
        """Return the value stored under *key*, or *default* on a miss.

        A hit returns the object that was stored, and counts as a use of the entry.
        """
        if TG_FREE_THREADED:
            return look_up_alone(self, key, default)
        return look_up(self, key, default)

    def set(self, key, value, ttl=None, *, size=None):
        """Store *value* under *key*, evicting others if there is no room.

        *ttl* is the lifetime in seconds, more than 0, or ``math.inf``; None is the store's
        default. *size* is the entry's size in bytes, for stores with *max_bytes*.
        An existing entry is replaced and starts a new lifetime.
        """
        put_alone(self, key, value, ttl, size)

    @cython.critical_section
    def delete(self, key):
        """Remove the entry under *key* and say whether there was a living one."""
        return take_out(self, key)

    @cython.critical_section
    def clear(self):
        """Remove all entries. The statistics go on."""
        release(self)

    def contains(self, key):
        """Say whether there is a living entry under *key*, without counting as a use."""
        return holds(self, key)

    @cython.critical_section
    def get_many(self, keys):
        """Return a dict of those *keys* that hit, in their order.

        Other threads may change the store between two of the keys.
        """
        cdef dict found = {}
        for key in list(keys):
            value = look_up(self, key, found)
            if value is not found:
                found[key] = value
        return found

    @cython.critical_section
    def set_many(self, items, ttl=None):
        """Store each pair of the mapping *items*, all with the lifetime *ttl*.

        Other threads may change the store between two of the pairs.
        """
        cdef double expires = expiry(self, ttl)
        for key in PyMapping_Keys(items):
            put(self, key, PyObject_GetItem(items, key), expires, None)

    @cython.critical_section
    def touch(self, key, ttl=None):
        """Start a new lifetime for the entry under *key* and say whether there was one.

        *ttl* is as in ``set``. Counts as a use of the entry, not as a hit or miss.
        """
        cdef uint32_t found, position
        cdef bint alive
        cdef double expires = expiry(self, ttl)
        found = find_with_life(self, key, tg_mix(tg_hash(key)), &position, &alive)
        if found == MISSING:
            return False
        if not alive:
            self.expirations += 1
            remove(self, found, position)
            return False
        self.entries[found].expires = expires
        use(self, found)
        return True

    @cython.critical_section
    def pop(self, key, default=None):
        """Remove the entry under *key* and return its value, or *default* on a miss."""
        cdef uint32_t found, position
        cdef bint alive
        found = find_with_life(self, key, tg_mix(tg_hash(key)), &position, &alive)
        if found == MISSING:
            self.misses += 1
            return default
        value = <object>self.entries[found].value
        if alive:
            self.hits += 1
        else:
            self.expirations += 1
            self.misses += 1
        remove(self, found, position)
        return value if alive else default

    @cython.critical_section
    def items(self):
        """Return the living entries as a list of pairs, without counting as a use.

        With the policy ``"lru"`` the least recently used entry comes first.
        """
        cdef list living = snapshot(self, 2)
        cdef Py_ssize_t at
        return [
            PyTuple_Pack(2, PyList_GET_ITEM(living, at), PyList_GET_ITEM(living, at + 1))
            for at in range(0, len(living), 2)
        ]

    @cython.critical_section
    def resize(self, max_entries=None, *, max_bytes=None):
        """Change the bounds, evicting what no longer fits. None leaves a bound as it is.

        *max_bytes* can be changed only in a store that was made with one.
        """
        cdef uint32_t entries = self.max_entries
        cdef int64_t bytes_ = self.max_bytes
        cdef list gone = []
        if max_entries is not None:
            entries = <uint32_t>check_bound(b"max_entries", max_entries, MOST_ENTRIES)
        if max_bytes is not None:
            bytes_ = check_bound(b"max_bytes", max_bytes, MOST_BYTES)
            if not self.counts_bytes:
                PyErr_Format(
                    ValueError, b"max_bytes cannot be added: make a new Store with max_bytes"
                )
        self.max_entries = entries
        self.max_bytes = bytes_
        make_room(self, 0, 0, gone)
        announce(self, gone)

    @cython.critical_section
    def stats(self):
        """Return how many entries and bytes there are, and what has happened so far.

        The keys are entries, bytes, hits, misses, expirations and evictions. Entries that have
        expired are counted until they are met; bytes is 0 without *max_bytes*.
        """
        return Py_BuildValue(
            b"{sI sL sK sK sK sK}",
            b"entries", <unsigned int>self.count,
            b"bytes", <long long>self.bytes,
            b"hits", <unsigned long long>self.hits,
            b"misses", <unsigned long long>self.misses,
            b"expirations", <unsigned long long>self.expirations,
            b"evictions", <unsigned long long>self.evictions,
        )

    def __len__(self):
        return self.count

    def __contains__(self, key):
        return holds(self, key)

    @cython.critical_section
    def __iter__(self):
        return iter(snapshot(self, 1))

    def __getitem__(self, key):
        if TG_FREE_THREADED:
            value = look_up_alone(self, key, missing)
        else:
            value = look_up(self, key, missing)
        if value is missing:
            raise_key_error(key)
        return value

    def __setitem__(self, key, value):
        if TG_FREE_THREADED:
            put_alone(self, key, value, None, None)
        else:
            store(self, key, value, default_expiry(self), None)

    @cython.critical_section
    def __delitem__(self, key):
        if not take_out(self, key):
            raise_key_error(key)

    def __reduce__(self):
        PyErr_Format(
            TypeError, b"a Store can be neither copied nor pickled; take what items() returns"
        )


cdef object missing = []
cdef object getsizeof = <object>PySys_GetObject(b"getsizeof")


cdef int raise_key_error(object key) except -1:
    PyErr_SetObject(KeyError, (key,))
    return -1


# ---- with the lock of a free-threaded interpreter; it costs something in any


@cython.critical_section
cdef object look_up_alone(Store self, object key, object default):
    return look_up(self, key, default)


@cython.critical_section
cdef int put_alone(Store self, object key, object value, object ttl, object size) except -1:
    return put(self, key, value, expiry(self, ttl), size)


@cython.critical_section
cdef bint holds(Store self, object key) except -1:
    cdef uint32_t position
    cdef bint alive = False
    find_with_life(self, key, tg_mix(tg_hash(key)), &position, &alive)
    return alive


# ---- finding


cdef inline uint32_t home_of(Store self, uint64_t tag) noexcept:
    return <uint32_t>(tag >> self.shift)


cdef inline uint32_t find_simply(
    Store self, object key, uint64_t tag, uint32_t* position
) noexcept:
    """Do what ``find`` does without code of others, or return FAILED where that must compare."""
    cdef uint32_t at = home_of(self, tag)
    cdef uint64_t slot
    cdef PyObject* stored
    while True:
        slot = self.slots[at]
        if slot >> 32 == tag and slot != 0:
            stored = self.entries[<uint32_t>slot].key
            if stored == <PyObject*>key or (
                PyUnicode_CheckExact(stored)
                and PyUnicode_CheckExact(<PyObject*>key)
                and tg_same_text(stored, <PyObject*>key)
            ):
                return <uint32_t>slot
            return FAILED
        if slot == 0:
            position[0] = at
            return MISSING
        at = (at + 1) & self.mask


cdef uint32_t find(Store self, object key, uint64_t tag, uint32_t* position) except FAILED:
    """Return the entry of *key* and its slot, or MISSING and the slot where it would go.

    The slot is right until the next change of structure.
    """
    cdef PyObject* wanted = <PyObject*>key
    cdef PyObject* stored
    cdef uint32_t at = home_of(self, tag)
    cdef uint64_t slot
    cdef int found
    while True:
        slot = self.slots[at]
        if slot >> 32 == tag and slot != 0:
            stored = self.entries[<uint32_t>slot].key
            if stored == wanted:
                break
            if likely(PyUnicode_CheckExact(stored) and PyUnicode_CheckExact(wanted)):
                if tg_same_text(stored, wanted):
                    break
            else:
                found = compare(self, stored, wanted)
                if found == EQUAL:
                    break
                if found == RESTART:
                    at = home_of(self, tag)
                    continue
        elif slot == 0:
            position[0] = at
            return MISSING
        at = (at + 1) & self.mask
    position[0] = at
    return <uint32_t>slot


cdef int compare(Store self, PyObject* stored, PyObject* wanted) except -1:
    """Compare two keys by code that may do anything, also to the store."""
    cdef uint64_t version = self.version
    cdef object held = <object>stored
    cdef int equal = PyObject_RichCompareBool(stored, wanted, Py_EQ)
    if equal < 0:
        return -1
    del held
    if self.version != version:
        return RESTART
    return EQUAL if equal else DIFFERENT


cdef uint32_t find_with_life(
    Store self, object key, uint64_t tag, uint32_t* position, bint* alive
) except FAILED:
    """Find *key* and say whether its entry is alive; only a mortal one costs a look at the clock."""
    cdef uint64_t version
    cdef uint32_t found
    cdef double time
    while True:
        found = find(self, key, tag, position)
        if found == MISSING:
            return MISSING
        if self.entries[found].expires == INFINITY:
            alive[0] = True
            return found
        version = self.version
        time = now(self)
        if likely(self.version == version):
            alive[0] = time < self.entries[found].expires
            return found


cdef object look_up_slowly(Store self, object key, uint64_t tag, object default):
    cdef uint32_t found, position
    cdef bint alive
    found = find_with_life(self, key, tag, &position, &alive)
    if unlikely(found == MISSING):
        self.misses += 1
        return default
    if unlikely(not alive):
        self.expirations += 1
        self.misses += 1
        remove(self, found, position)
        return default
    self.hits += 1
    use(self, found)
    return <object>self.entries[found].value


cdef inline object look_up(Store self, object key, object default):
    cdef uint64_t tag = tg_mix(tg_hash(key))
    cdef uint32_t position
    cdef uint32_t found = find_simply(self, key, tag, &position)
    cdef Entry* entry
    if unlikely(found == MISSING):
        self.misses += 1
        return default
    if likely(found != FAILED):
        entry = self.entries + found
        if entry.expires == INFINITY or likely(
            entry.expires >= self.second_end and self.second == tg_wall_second()
        ):
            self.hits += 1
            use(self, found)
            return <object>entry.value
    return look_up_slowly(self, key, tag, default)


cdef bint take_out(Store self, object key) except -1:
    cdef uint32_t found, position
    cdef bint alive
    found = find_with_life(self, key, tg_mix(tg_hash(key)), &position, &alive)
    if found == MISSING:
        return False
    if not alive:
        self.expirations += 1
    remove(self, found, position)
    return alive


cdef list snapshot(Store self, uint32_t width):
    """Return the living keys (*width* 1), or keys and values in turn (*width* 2)."""
    cdef list living
    cdef Py_ssize_t used = 0
    cdef uint32_t at, count
    cdef int head
    cdef double time
    cdef Entry* entry
    while True:
        time = now(self) if has_mortals(self) else 0
        count = self.count
        living = PyList_New(<Py_ssize_t>count * width)
        # Making a list may start the collector, and with it code that changes the store.
        if count == self.count:
            break
    for head in range(SMALL, MAIN - 1, -1):
        at = self.entries[head].newer & LINK
        while at != <uint32_t>head:
            entry = self.entries + at
            at = entry.newer & LINK
            if time < entry.expires:
                Py_INCREF(<object>entry.key)
                PyList_SET_ITEM(living, used, entry.key)
                if width == 2:
                    Py_INCREF(<object>entry.value)
                    PyList_SET_ITEM(living, used + 1, entry.value)
                used += width
    PyList_SetSlice(living, used, len(living), NULL)
    return living


cdef bint has_mortals(Store self) noexcept:
    cdef uint32_t at
    for at in range(FIRST, self.made):
        if self.entries[at].key != NULL and self.entries[at].expires != INFINITY:
            return True
    return False


# ---- storing


cdef int put(Store self, object key, object value, double expires, object size) except -1:
    return store(self, key, value, expires, size)


cdef inline int store(
    Store self, object key, object value, double expires, object size
) except -1:
    cdef uint64_t tag
    cdef uint32_t found, position
    if unlikely(self.is_watched or size is not None):
        return put_measured(self, key, value, expires, measure(self, key, value, size))
    tag = tg_mix(tg_hash(key))
    found = find_simply(self, key, tag, &position)
    if unlikely(found == FAILED):
        found = find(self, key, tag, &position)
    if found != MISSING:
        use(self, found)
        replace(self, found, value, expires)
    elif self.count < self.max_entries:
        insert(self, key, value, expires, 0, tag)
    elif self.count == self.max_entries:
        supersede(self, key, value, expires, tag, position)
    else:  # making the store smaller was interrupted
        put_measured(self, key, value, expires, 0)
    return 0


cdef int put_measured(
    Store self, object key, object value, double expires, int64_t size
) except -1:
    """Store under a byte bound or with a callback.

    What leaves is held by a list until all is done, so that no code of others runs in between.
    There is room for the new entry where something left, so it is the list alone that can lack
    memory then: in that case what has left is gone, and nothing is stored.
    """
    cdef list gone = []
    cdef uint64_t tag = tg_mix(tg_hash(key))
    cdef uint32_t position
    cdef uint32_t found = find(self, key, tag, &position)
    cdef int64_t more
    if self.counts_bytes and size > self.max_bytes:
        gone.append(key)
        gone.append(value)
        self.evictions += 1
        if found != MISSING:
            remove(self, found, position)
        announce(self, gone)
        return 0
    if found != MISSING and self.counts_bytes:
        more = size - self.sizes[found]
        if more > self.max_bytes - self.bytes:
            # It enters anew, so as not to be evicted for its own sake.
            old_key = <object>self.entries[found].key
            old_value = <object>self.entries[found].value
            remove(self, found, position)
            found = MISSING
        else:
            self.sizes[found] = size
            self.bytes += more
    if found != MISSING:
        use(self, found)
        replace(self, found, value, expires)
    else:
        make_room(self, 1, size, gone)
        insert(self, key, value, expires, size, tag)
    announce(self, gone)
    return 0


cdef inline void replace(Store self, uint32_t at, object value, double expires) noexcept:
    cdef Entry* entry = self.entries + at
    cdef PyObject* old = entry.value
    Py_INCREF(value)
    entry.value = <PyObject*>value
    entry.expires = expires
    Py_DECREF(<object>old)


cdef int insert(
    Store self, object key, object value, double expires, int64_t size, uint64_t tag
) except -1:
    """Add an entry that the bounds allow, or change nothing and raise MemoryError."""
    cdef uint32_t at = self.free
    if at != 0:
        self.free = self.entries[at].newer
    else:
        if self.made == self.room:
            grow(self)
        at = self.made
        self.entries[at].key = NULL  # what is made, the collector may look at
        self.made += 1
    if self.counts_bytes:
        self.sizes[at] = size
        self.bytes += size
    self.count += 1
    self.slots[gap_for(self, tag)] = tag << 32 | at
    fill(self, at, key, value, expires, tag)
    return 0


cdef inline void fill(
    Store self, uint32_t at, object key, object value, double expires, uint64_t tag
) noexcept:
    cdef Entry* entry = self.entries + at
    Py_INCREF(key)
    Py_INCREF(value)
    entry.key = <PyObject*>key
    entry.value = <PyObject*>value
    entry.expires = expires
    self.tags[at] = <uint32_t>tag
    join_queue(self, at, 0 if self.is_lru or is_ghost(self, tag) else FLAG)
    self.version += 1


cdef void supersede(
    Store self, object key, object value, double expires, uint64_t tag, uint32_t position
) noexcept:
    """Put a new entry, to be found at *position*, in the place of the one to evict."""
    cdef uint32_t at = victim(self)
    cdef Entry* entry = self.entries + at
    cdef PyObject* old_key = entry.key
    cdef PyObject* old_value = entry.value
    cdef uint32_t old = slot_of(self, at)
    # Before the gap is closed, which may lie on the way; there is always a free slot more.
    self.slots[position] = tag << 32 | at
    close_gap(self, old)
    leave_queue(self, at)
    self.evictions += 1
    fill(self, at, key, value, expires, tag)
    Py_DECREF(<object>old_key)
    Py_DECREF(<object>old_value)


cdef void remove(Store self, uint32_t at, uint32_t position) noexcept:
    cdef Entry* entry = self.entries + at
    cdef PyObject* key = entry.key
    cdef PyObject* value = entry.value
    leave_queue(self, at)
    close_gap(self, position)
    if self.counts_bytes:
        self.bytes -= self.sizes[at]
    self.count -= 1
    self.version += 1
    entry.key = NULL
    entry.newer = self.free
    self.free = at
    Py_DECREF(<object>key)
    Py_DECREF(<object>value)


cdef int make_room(Store self, uint32_t entries, int64_t size, list gone) except -1:
    """Evict into *gone* until so many more entries and bytes fit."""
    cdef uint32_t at
    while self.count + entries > self.max_entries or (
        self.counts_bytes and size > self.max_bytes - self.bytes
    ):
        at = victim(self)
        if at == MISSING:
            break
        gone.append(<object>self.entries[at].key)
        gone.append(<object>self.entries[at].value)
        self.evictions += 1
        remove(self, at, slot_of(self, at))
    return 0


cdef int announce(Store self, list gone) except -1:
    cdef Py_ssize_t at
    cdef object on_evict = self.on_evict  # which its own code may replace
    if on_evict is not None:
        for at in range(0, len(gone), 2):
            PyObject_CallFunctionObjArgs(
                on_evict, PyList_GET_ITEM(gone, at), PyList_GET_ITEM(gone, at + 1), NULL
            )
    return 0


# ---- the eviction queues


cdef inline void join_queue(Store self, uint32_t at, uint32_t is_new) noexcept:
    """Add an entry to the main queue, or to that of new entries if *is_new* is FLAG."""
    cdef Entry* entry = self.entries + at
    cdef uint32_t head = is_new >> 31  # MAIN or SMALL
    self.small_count += head
    entry.newer = head | is_new
    entry.older = self.entries[head].older
    self.entries[entry.older].newer = at | is_new
    self.entries[head].older = at


cdef inline void leave_queue(Store self, uint32_t at) noexcept:
    cdef uint32_t newer = self.entries[at].newer
    cdef uint32_t older = self.entries[at].older & LINK
    cdef Entry* next = self.entries + (newer & LINK)
    self.entries[older].newer = newer
    next.older = older | next.older & FLAG
    self.small_count -= newer >> 31


cdef inline void use(Store self, uint32_t at) noexcept:
    cdef Entry* entries = self.entries
    cdef Entry* entry = entries + at
    if self.is_lru:
        if entries[MAIN].older != at:
            entries[entry.older].newer = entry.newer
            entries[entry.newer].older = entry.older
            entry.newer = MAIN
            entry.older = entries[MAIN].older
            entries[entry.older].newer = at
            entries[MAIN].older = at
    else:
        entry.older |= FLAG


cdef inline uint32_t victim(Store self) noexcept:
    """Return the entry to evict, which is still in its queue, or MISSING if there is none."""
    cdef uint32_t at
    if self.is_lru:
        at = self.entries[MAIN].newer
        return MISSING if at == MAIN else at
    return s3_victim(self)


cdef inline uint32_t s3_victim(Store self) noexcept:
    cdef uint32_t at
    cdef Entry* entry
    while True:
        at = self.entries[MAIN].newer
        if at == MAIN or <uint64_t>self.small_count * 10 >= self.count:
            at = self.entries[SMALL].newer & LINK
            if at == SMALL:
                return MISSING
        entry = self.entries + at
        if not entry.older & FLAG:
            if entry.newer & FLAG:
                remember(self, self.tags[at])
            return at
        leave_queue(self, at)
        join_queue(self, at, 0)


cdef inline bint is_ghost(Store self, uint64_t tag) noexcept:
    cdef uint64_t ghost
    if self.ghosts == NULL:
        return False
    ghost = self.ghosts[tag >> (32 - self.ghost_bits)]
    return (
        ghost >> 32 == tag
        and ghost != 0
        and self.ghost_time - <uint32_t>ghost < self.ghost_window
    )


cdef inline void remember(Store self, uint64_t tag) noexcept:
    """Note an eviction. Without memory for it nothing is noted."""
    cdef uint32_t bits = self.ghost_bits
    self.ghost_window = self.count
    while <uint64_t>1 << bits < 2 * <uint64_t>self.count:
        bits += 1
    if bits != self.ghost_bits:
        PyMem_RawFree(self.ghosts)
        self.ghosts = <uint64_t*>PyMem_RawCalloc(<size_t>1 << bits, sizeof(uint64_t))
        self.ghost_bits = bits
        if self.ghosts == NULL:
            self.ghost_bits = 0
            return
    self.ghost_time += 1
    self.ghosts[tag >> (32 - bits)] = tag << 32 | self.ghost_time


# ---- the table


cdef inline uint32_t gap_for(Store self, uint64_t tag) noexcept:
    cdef uint32_t at = home_of(self, tag)
    while self.slots[at] != 0:
        at = (at + 1) & self.mask
    return at


cdef inline uint32_t slot_of(Store self, uint32_t entry) noexcept:
    cdef uint32_t at = home_of(self, self.tags[entry])
    while <uint32_t>self.slots[at] != entry:
        at = (at + 1) & self.mask
    return at


cdef void close_gap(Store self, uint32_t gap) noexcept:
    """Empty a slot, moving later ones forward so that probing finds them."""
    cdef uint32_t at = gap
    cdef uint32_t moves
    cdef uint64_t slot
    while True:
        at = (at + 1) & self.mask
        slot = self.slots[at]
        if slot == 0:
            break
        # A slot that has to stay leaves a copy in the gap, where the next one, or 0, takes its
        # place: whether one moves is a matter of chance, and branches on that are slow.
        self.slots[gap] = slot
        moves = (at - home_of(self, slot >> 32)) & self.mask >= (at - gap) & self.mask
        gap ^= (gap ^ at) & (0 - moves)
    self.slots[gap] = 0


cdef int grow(Store self) except -1:
    """Make the slab and the table larger, or change nothing and raise MemoryError."""
    cdef uint64_t entries = 2 * <uint64_t>(self.room - FIRST)
    cdef uint64_t size = 16
    cdef uint32_t shift = 28
    cdef uint64_t old
    cdef uint64_t at
    cdef uint64_t* slots
    cdef void* memory
    cdef Entry* aligned
    entries = min(max(entries, <uint64_t>8), <uint64_t>self.max_entries)
    while size * 5 < entries * 8:
        size *= 2
        shift -= 1
    memory = PyMem_RawRealloc(self.tags, (entries + FIRST) * sizeof(uint32_t))
    if memory == NULL:
        raise MemoryError
    self.tags = <uint32_t*>memory
    if self.counts_bytes:
        memory = PyMem_RawRealloc(self.sizes, (entries + FIRST) * sizeof(int64_t))
        if memory == NULL:
            raise MemoryError
        self.sizes = <int64_t*>memory
    slots = <uint64_t*>PyMem_RawCalloc(size, sizeof(uint64_t))
    if slots == NULL:
        raise MemoryError
    memory = PyMem_RawMalloc((entries + FIRST) * sizeof(Entry) + LINE - 1)
    if memory == NULL:
        PyMem_RawFree(slots)
        raise MemoryError
    aligned = <Entry*>((<size_t>memory + LINE - 1) & ~<size_t>(LINE - 1))
    memcpy(aligned, self.entries, self.room * sizeof(Entry))
    PyMem_RawFree(self.slab)
    self.slab = memory
    self.entries = aligned
    for old in range(<uint64_t>self.mask + 1):
        if self.slots[old] != 0:
            at = self.slots[old] >> 32 >> shift
            while slots[at] != 0:
                at = (at + 1) & (size - 1)
            slots[at] = self.slots[old]
    if self.room != FIRST:
        PyMem_RawFree(self.slots)
    self.slots = slots
    self.mask = <uint32_t>(size - 1)
    self.shift = shift
    self.room = <uint32_t>(entries + FIRST)
    self.version += 1
    return 0


cdef void make_empty(Store self) noexcept:
    memset(self.heads, 0, sizeof(self.heads))
    self.heads[MAIN].older = self.heads[MAIN].newer = MAIN
    self.heads[SMALL].older = self.heads[SMALL].newer = SMALL
    self.entries = self.heads
    self.slab = NULL
    self.no_slot = 0
    self.slots = &self.no_slot
    self.tags = NULL
    self.sizes = NULL
    self.mask = 0
    self.shift = 32
    self.made = self.room = FIRST
    self.free = self.count = self.small_count = 0
    self.bytes = 0
    self.ghosts = NULL
    self.ghost_bits = self.ghost_time = self.ghost_window = 0
    self.version += 1


cdef Contents take_contents(Store self) noexcept:
    """Become empty."""
    cdef Contents old
    # An attempt to grow that failed may have left tags and sizes, and no slab.
    old.slab = self.slab
    old.entries = self.entries if self.slab != NULL else NULL
    old.slots = self.slots if self.slab != NULL else NULL
    old.tags = self.tags
    old.sizes = self.sizes
    old.ghosts = self.ghosts
    old.made = self.made
    make_empty(self)
    return old


cdef void let_go(Contents old) noexcept:
    cdef uint32_t at
    if old.entries != NULL:
        for at in range(FIRST, old.made):
            if old.entries[at].key != NULL:
                Py_DECREF(<object>old.entries[at].key)
                Py_DECREF(<object>old.entries[at].value)
    PyMem_RawFree(old.slab)
    PyMem_RawFree(old.slots)
    PyMem_RawFree(old.tags)
    PyMem_RawFree(old.sizes)
    PyMem_RawFree(old.ghosts)


cdef void release(Store self) noexcept:
    """Become empty, then let go of all that was held."""
    let_go(take_contents(self))


cdef int traverse(PyObject* store, visitproc visit, void* arg) noexcept:
    cdef Entry* entries = (<Store>store).entries
    cdef uint32_t at
    cdef int result = tg_traverse_attributes(store, visit, arg)
    if result != 0:
        return result
    for at in range(FIRST, (<Store>store).made):
        if entries[at].key != NULL:
            result = visit(entries[at].key, arg)
            if result != 0:
                return result
            result = visit(entries[at].value, arg)
            if result != 0:
                return result
    return 0


cdef int clear(PyObject* store) noexcept:
    cdef int result = tg_clear_attributes(store)
    release(<Store>store)
    return result


# ---- time, sizes and arguments


cdef inline double now(Store self) except? -1.0:
    cdef int64_t second
    cdef double reading
    if unlikely(self.clock is not None):
        return ask_clock(self)
    reading = tg_wall_clock(&second) + self.offset
    if unlikely(not (self.latest <= reading < INFINITY)):
        return straighten(self, reading)
    if unlikely(self.second != second):
        self.second = second
        self.second_end = <double>(second + 1) + self.offset
    self.latest = reading
    return reading


cdef double ask_clock(Store self) except? -1.0:
    cdef double reading = PyFloat_AsDouble(PyObject_CallNoArgs(self.clock)) + self.offset
    if unlikely(not (self.latest <= reading < INFINITY)):
        return straighten(self, reading)
    self.latest = reading
    return reading


cdef double straighten(Store self, double reading) except? -1.0:
    """Return the time, given a reading that lies before the latest one or is no time."""
    cdef object shown
    if not (-INFINITY < reading < INFINITY):
        shown = <object>reading
        PyErr_Format(
            ValueError, b"clock must return a finite number of seconds, not %R", <PyObject*>shown
        )
    self.second = -1
    if reading < self.latest - JITTER_S:
        self.offset += self.latest - reading
    return self.latest


cdef inline double default_expiry(Store self) except? -1.0:
    return INFINITY if self.default_ttl == INFINITY else now(self) + self.default_ttl


cdef double expiry(Store self, object ttl) except? -1.0:
    cdef double seconds
    if ttl is None:
        return default_expiry(self)
    seconds = lifetime(b"ttl", ttl)
    return INFINITY if seconds == INFINITY else now(self) + seconds


cdef double lifetime(const char* name, object ttl) except -1.0:
    cdef const char* text = b"%s must be a number of seconds above 0, math.inf or None, not %R"
    cdef int overflow
    cdef double seconds = 0
    if PyFloat_Check(ttl):
        seconds = PyFloat_AsDouble(ttl)
    elif is_int(ttl):
        seconds = <double>PyLong_AsLongLongAndOverflow(ttl, &overflow)
        if overflow > 0:  # longer than the sun will shine
            seconds = INFINITY
    else:
        PyErr_Format(TypeError, text, name, <PyObject*>ttl)
    if not seconds > 0:
        PyErr_Format(ValueError, text, name, <PyObject*>ttl)
    return seconds


cdef bint is_int(object number) noexcept:
    return PyLong_Check(number) and not PyBool_Check(number)


cdef int64_t measure(Store self, object key, object value, object size) except -1:
    cdef const char* name = b"size"
    cdef const char* text = b"%s must be an int of at least 0, not %R"
    cdef int overflow
    cdef int64_t measured
    if size is None:
        if not self.counts_bytes:
            return 0
        if self.size_of is None:
            size = estimate(key, value)
        else:
            name = b"sizeof(value)"
            size = PyObject_CallOneArg(self.size_of, value)
    if not is_int(size):
        PyErr_Format(TypeError, text, name, <PyObject*>size)
    measured = PyLong_AsLongLongAndOverflow(size, &overflow)
    if overflow > 0:
        measured = MOST_BYTES + 1
    elif overflow < 0 or measured < 0:
        PyErr_Format(ValueError, text, name, <PyObject*>size)
    return measured if self.counts_bytes else 0


cdef object estimate(object key, object value):
    """Return the bytes of *key* and *value* with what they hold, each object once."""
    cdef Py_ssize_t total = 0
    cdef set seen = set()
    cdef list found = [key, value]
    for item in found:  # which grows meanwhile
        identity = PyLong_FromVoidPtr(<PyObject*>item)
        if PySet_Contains(seen, identity):
            continue
        PySet_Add(seen, identity)
        total += PyLong_AsSsize_t(PyObject_CallOneArg(getsizeof, item))
        if PyDict_CheckExact(item):
            extend(found, PyDict_Keys(item))
            extend(found, PyDict_Values(item))
        elif PyList_CheckExact(item) or PyTuple_CheckExact(item):
            extend(found, item)
    return total


cdef int extend(list items, object more) except -1:
    return PyList_SetSlice(items, PY_SSIZE_T_MAX, PY_SSIZE_T_MAX, <PyObject*>more)


cdef bint is_system_clock(object clock) except -1:
    """Say whether a call of *clock* would tell what the system's clock tells without."""
    return clock is not None and clock is PyObject_GetAttrString(
        PyImport_ImportModule(b"time"), b"time"
    )


cdef bint is_text(object text, const char* wanted) noexcept:
    return PyUnicode_Check(text) and PyUnicode_CompareWithASCIIString(text, wanted) == 0


cdef int check_callable(const char* name, object option) except -1:
    if option is not None and not callable(option):
        PyErr_Format(TypeError, b"%s must be callable or None, not %R", name, <PyObject*>option)
    return 0


cdef int64_t check_bound(const char* name, object bound, int64_t most) except -1:
    cdef const char* text = b"%s must be an int from 1 to %lld, not %R"
    cdef int overflow
    cdef int64_t checked
    if not is_int(bound):
        PyErr_Format(TypeError, text, name, <long long>most, <PyObject*>bound)
    checked = PyLong_AsLongLongAndOverflow(bound, &overflow)
    if overflow != 0 or not 1 <= checked <= most:
        PyErr_Format(ValueError, text, name, <long long>most, <PyObject*>bound)
    return checked


tg_own_collection(<PyTypeObject*>Store, traverse, clear)
